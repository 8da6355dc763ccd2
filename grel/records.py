"""Documents with triples, and their JSONL form: the one format every stage of grel reads and writes.

A record is one JSON object a line:
`{"id": str, "text": str, "triples": [{"head", "relation", "tail", "head_span", "tail_span", "score"}]}`.
Spans are `[start, end)` character offsets into `text`; they and `score` are optional, everything
else is required and nothing else is known. A prediction is the same record with scores, so gold and
predicted files join on `id`. Reading is strict, because a typo in a data file that goes unnoticed
costs a training run: whatever is wrong is reported with file, line and reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import reprlib
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAX_LINE_BYTES = 1 << 20

Span = tuple[int, int]


class Fault(ValueError):
    """What is wrong with a record, told by code that does not know where the record stands."""


class RecordError(ValueError):
    """One faulty record: says which file, which line (from 1) and what is wrong with it."""

    def __init__(self, path: str | Path, line: int | None, reason: str):
        self.path, self.line, self.reason = str(path), line, reason
        name = "<stdin>" if self.path == "-" else self.path
        super().__init__(f"{name}: {reason}" if line is None else f"{name}:{line}: {reason}")


OnError = Callable[[RecordError], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Triple:
    """(head entity, relation, tail entity); spans are character offsets, end excluded."""

    head: str
    relation: str
    tail: str
    head_span: Span | None = None
    tail_span: Span | None = None
    score: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two triples the same one: names and relation, not where they stand."""
        return self.head, self.relation, self.tail


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A sentence (or a longer text) and the triples it states."""

    id: str
    text: str
    triples: tuple[Triple, ...] = ()

    def without_duplicates(self) -> Document:
        """The first of every group of triples with the same `key`, in the order of the file."""
        first: dict[tuple[str, str, str], Triple] = {}
        for triple in self.triples:
            first.setdefault(triple.key, triple)
        return dataclasses.replace(self, triples=tuple(first.values()))


def fold(text: str) -> str:
    """Every character without its accents, one for one, so that offsets hold: `é` becomes `e`."""
    return text if text.isascii() else "".join(map(_base, text))


def locate(text: str, entity: str) -> tuple[Span, ...]:
    """Where `entity` occurs in `text`, from left to right; overlapping occurrences count.

    Exact occurrences win over those that differ in accents, and whole words over parts of words:
    each second choice is returned only where there is no first. Empty if there is none at all.

    Example: `ana` stands in `Dana, ana, anana` at (6, 9) only, in `banana` at (1, 4) and (3, 6).
    """
    spans = [(start, start + len(entity)) for start in _find_all(text, entity)]
    if not spans and not (text.isascii() and entity.isascii()):
        letters, places = _letters(text)
        wanted, _ = _letters(entity)
        places.append(len(text))
        spans = [(places[i], places[i + len(wanted)]) for i in _find_all(letters, wanted)]
    whole = [span for span in spans if _is_whole(text, *span)]
    return tuple(whole or spans)


def _base(char: str) -> str:
    base, *marks = unicodedata.normalize("NFD", char)
    # Only accents go: Hangul syllables decompose too, but into letters.
    return base if all(map(unicodedata.combining, marks)) else char


def _letters(text: str) -> tuple[str, list[int]]:
    """The text without accents, also those that are characters of their own, and their offsets."""
    folded = fold(text)
    places = [i for i, char in enumerate(folded) if not unicodedata.combining(char)]
    return "".join(folded[i] for i in places), places


def _find_all(text: str, part: str) -> Iterator[int]:
    start = text.find(part) if part else -1
    while start >= 0:
        yield start
        start = text.find(part, start + 1)


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word runs across either end of the span."""
    cuts = (cut for cut in (start, end) if 0 < cut < len(text))
    return not any(_in_word(text[cut - 1]) and _in_word(text[cut]) for cut in cuts)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.combining(char) != 0


def read_jsonl(
    path: str | Path,
    *,
    relations: Collection[str] | None = None,
    on_error: OnError | None = None,
) -> Iterator[Document]:
    """Reads records one by one; `-` is standard input.

    Blank lines are an error except at the end of the file; a byte order mark at its start is not
    one. Only the ids are kept in memory, to find duplicates.

    Args:
      path: the file.
      relations: where given, the only relations that may occur.
      on_error: called with each faulty record, which is then skipped. Without it the first one is
        raised.

    Raises:
      RecordError: at the first faulty record; always if the file can't be read.
    """
    return read_documents(
        path,
        json_lines(path),
        lambda _, data: _document(parse_json(data)),
        relations=relations,
        on_error=on_error,
    )


def parse_document(data: bytes, path: str | Path, line: int) -> Document:
    """The document of one line of JSONL; raises RecordError with `path` and `line`."""
    try:
        document = _document(parse_json(data))
        check(document)
    except Fault as fault:
        raise RecordError(path, line, str(fault)) from None
    return document


def to_json(document: Document) -> str:
    """The record as one line without its end; what is None is left out."""
    record = dataclasses.asdict(document)
    record["triples"] = [
        {name: value for name, value in triple.items() if value is not None}
        for triple in record["triples"]
    ]
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def write_jsonl(path: str | Path, documents: Iterable[Document]) -> None:
    """Writes records; the file appears complete or not at all. `-` is standard output.

    Raises:
      RecordError: where the file can't be written or a line would be too long to be read again.
    """
    try:
        with _replacing(path) as file:
            for line, document in enumerate(documents, start=1):
                data = to_json(document).encode()
                if len(data) > MAX_LINE_BYTES:
                    raise RecordError(path, line, f"{document.id!r}: {_too_long(len(data))}")
                file.write(data + b"\n")
    except OSError as error:
        raise RecordError(path, None, f"cannot write: {error.strerror}") from None


@contextlib.contextmanager
def _replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends without an error."""
    target = Path(path)
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif target.exists() and not target.is_file():
        # A device or a pipe: renaming over /dev/null would take it away from everybody.
        with target.open("wb") as file:
            yield file
    else:
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def read_documents(
    path: str | Path,
    items: Iterable[tuple[int, Any]],
    parse: Callable[[int, Any], Document],
    *,
    relations: Collection[str] | None = None,
    on_error: OnError | None = None,
) -> Iterator[Document]:
    """Parses (line, raw record) items; what every reader of any format does with faulty ones.

    `parse(line, raw)` raises `Fault`. Its documents must pass `check`, bear ids of their own and
    hold no relation outside `relations`. `on_error` is that of `read_jsonl`.
    """
    known = None if relations is None else frozenset(relations)
    line_of_id: dict[str, int] = {}
    for line, raw in items:
        try:
            document = parse(line, raw)
            check(document)
            if document.id in line_of_id:
                first = line_of_id[document.id]
                raise Fault(f"id {quote(document.id)} stands on line {first} already")
            for triple in document.triples if known is not None else ():
                if triple.relation not in known:
                    raise Fault(f"unknown relation {quote(triple.relation)}")
        except Fault as fault:
            error = RecordError(path, line, str(fault))
            if on_error is None:
                raise error from None
            on_error(error)
            continue
        line_of_id[document.id] = line
        yield document


def check(document: Document) -> None:
    """Raises Fault unless all strings say something and all spans spell their entities."""
    for name in ("id", "text"):
        if not getattr(document, name).strip():
            raise Fault(f"{name} is empty")
    for number, triple in enumerate(document.triples, start=1):
        for name in ("head", "relation", "tail"):
            if not getattr(triple, name).strip():
                raise Fault(f"triple {number}: {name} is empty")
        for name in ("head", "tail"):
            entity, span = getattr(triple, name), getattr(triple, f"{name}_span")
            if span is not None:
                try:
                    _check_span(document.text, entity, *span)
                except Fault as fault:
                    raise Fault(f"triple {number}: {name}_span {fault}") from None


def _check_span(text: str, entity: str, start: int, end: int) -> None:
    if not 0 <= start < end <= len(text):
        raise Fault(f"[{start}, {end}] is not within the text, which has {len(text)} characters")
    spelled = text[start:end]
    if spelled != entity and _letters(spelled)[0] != _letters(entity)[0]:
        raise Fault(f"[{start}, {end}] spells {quote(spelled)}, not {quote(entity)}")


def numbered_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Lines from 1 without their ends; of one that is too long just enough to tell.

    Raises RecordError where the file can't be read.
    """
    try:
        with open_binary(path) as file:
            longest = MAX_LINE_BYTES + len(b"\r\n")
            line = 0
            while data := file.readline(longest):
                line += 1
                rest = data
                while len(rest) == longest and not rest.endswith(b"\n"):
                    rest = file.readline(longest)
                if line == 1:
                    data = data.removeprefix(b"\xef\xbb\xbf")
                yield line, data.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise RecordError(path, None, f"cannot read: {error.strerror}") from None


@contextlib.contextmanager
def open_binary(path: str | Path) -> Iterator[BinaryIO]:
    """The bytes of a file, or of standard input for `-`."""
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


def json_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """`numbered_lines` without blank ones at the end; of others that follow one another, one."""
    blank = None
    for line, data in numbered_lines(path):
        if not data.strip():
            blank = blank or (line, data)
            continue
        if blank:
            yield blank
            blank = None
        yield line, data


def parse_json(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`, which must be UTF-8, have no duplicate keys and no NaN."""
    if len(data) > MAX_LINE_BYTES:
        raise Fault(_too_long(len(data)))
    if not data.strip():
        raise Fault("blank line")
    try:
        value = _DECODER.decode(decode(data))
        # A lone surrogate can only come from an escape, and could never be written again.
        if b"\\ud" in data or b"\\uD" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise Fault(f"not JSON: {error.msg} at column {error.colno}") from None
    except UnicodeEncodeError:
        raise Fault("a string has half of a surrogate pair") from None
    except RecursionError:
        raise Fault("nested too deeply") from None
    except Fault:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise Fault(str(error)) from None
    return expect(value, dict, "the record")


def decode(data: bytes) -> str:
    """UTF-8 to text; raises Fault."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start + 1}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        keys = [key for key, _ in pairs]
        raise Fault(f"key {quote(next(k for k in keys if keys.count(k) > 1))} stands twice")
    return seen


def _no_constant(name: str) -> None:
    raise Fault(f"{name} is not a number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
_KINDS = {str: "a string", list: "a list", dict: "an object", int: "an integer"}
_QUOTE = reprlib.Repr()
_QUOTE.maxstring = 60


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, and short."""
    return _QUOTE.repr(value)


def expect(value: Any, kind: type, what: str) -> Any:
    """`value` if it is of `kind`, one of str, list, dict, int (bool is not int); else a Fault."""
    if type(value) is not kind:
        raise Fault(f"{what} must be {_KINDS[kind]}, not {quote(value)}")
    return value


def field(record: dict[str, Any], name: str, kind: type) -> Any:
    """The field `name` of a JSON object; raises Fault where it is missing or of another kind."""
    if name not in record:
        raise Fault(f"field {name!r} is missing")
    return expect(record[name], kind, f"field {name!r}")


def _document(record: dict[str, Any]) -> Document:
    _only(record, ("id", "text", "triples"), "the record")
    triples = []
    for number, raw in enumerate(field(record, "triples", list), start=1):
        try:
            triples.append(_triple(expect(raw, dict, "it")))
        except Fault as fault:
            raise Fault(f"triple {number}: {fault}") from None
    return Document(field(record, "id", str), field(record, "text", str), tuple(triples))


def _triple(raw: dict[str, Any]) -> Triple:
    _only(raw, [f.name for f in dataclasses.fields(Triple)], "it")
    return Triple(
        head=field(raw, "head", str),
        relation=field(raw, "relation", str),
        tail=field(raw, "tail", str),
        head_span=_span(raw, "head_span"),
        tail_span=_span(raw, "tail_span"),
        score=_score(raw),
    )


def _only(record: dict[str, Any], names: Iterable[str], what: str) -> None:
    if unknown := sorted(record.keys() - set(names)):
        raise Fault(f"{what} has unknown fields: {', '.join(map(quote, unknown))}")


def _span(raw: dict[str, Any], name: str) -> Span | None:
    if name not in raw:
        return None
    offsets = [
        expect(offset, int, f"every offset of {name!r}") for offset in field(raw, name, list)
    ]
    if len(offsets) != 2:
        raise Fault(f"field {name!r} must be [start, end], not {quote(offsets)}")
    return offsets[0], offsets[1]


def _score(raw: dict[str, Any]) -> float | None:
    if "score" not in raw:
        return None
    score = raw["score"]
    with contextlib.suppress(OverflowError):
        if type(score) in (int, float) and math.isfinite(score):
            return float(score)
    raise Fault(f"field 'score' must be a finite number, not {quote(score)}")


def _too_long(num_bytes: int) -> str:
    return f"a line of {num_bytes:,} bytes; the limit is {MAX_LINE_BYTES:,}"
