"""Documents with triples, and their JSONL form, the one format every stage reads and writes.

A record is one JSON object a line, `{"id": str, "text": str, "triples": [...]}`, and a triple is
`{"head": str, "relation": str, "tail": str, "head_span": [start, end], "tail_span": [start, end],
"score": float, "score_per_token": float, "head_spans": [[start, end], ...], "tail_spans": [...]}`.
Spans are character offsets into `text`, end excluded; they and the scores are optional, everything
else is required and a triple has nothing else. Other fields of the record itself are kept as they
are. `head_spans` are all places of the name, that of `head_span` first, so that who needs one place
and who needs all read the same record. A prediction is the same record with scores, so gold and
predicted files join on `id`. Reading is strict, because a typo in a data file that goes unnoticed
costs a training run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grel.drawing import Edge, Span, drawing
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import MAX_LINE_BYTES, member, parse_members, parse_object
from grel.files.reading import Item, json_lines
from grel.files.writing import replacing
from grel.names import canonical, locate, spelled_unlike, spells

OnError = Callable[[RecordError], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Triple:
    """(head entity, relation, tail entity); spans are character offsets, end excluded.

    Attributes:
        head_span, tail_span: where the entity meant stands.
        score: probability of the triple, the product of those of its tokens.
        score_per_token: their geometric mean, so that long names are not the less sure.
        head_spans, tail_spans: all places where the name stands, that of the entity meant first;
            empty where they were not looked up.
    """

    head: str
    relation: str
    tail: str
    head_span: Span | None = None
    tail_span: Span | None = None
    score: float | None = None
    score_per_token: float | None = None
    head_spans: tuple[Span, ...] = ()
    tail_spans: tuple[Span, ...] = ()

    def __str__(self) -> str:
        score = "" if self.score is None else f" {self.score:.3f}"
        return f"({self.head}; {self.relation}; {self.tail}){score}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two triples the same one: names and relation, not where they stand.

        Strings that Unicode calls canonically equal are the same name.
        """
        return canonical(self.head), canonical(self.relation), canonical(self.tail)

    @property
    def names(self) -> tuple[str, str]:
        """Head and tail as the key has them, to be compared with names of other triples."""
        return canonical(self.head), canonical(self.tail)

    def places(self, text: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Where to mark head and tail: their spans, or without one wherever the name stands."""
        head, tail = ((self.head, self.head_span), (self.tail, self.tail_span))
        return _places(text, *head), _places(text, *tail)


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A sentence (or a longer text) and the triples it states.

    Attributes:
        other: further fields of its record, as JSON.
    """

    id: str
    text: str
    triples: tuple[Triple, ...] = ()
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def without_duplicates(self) -> Document:
        """The first of every group of triples with the same `key`, in the order of the file."""
        first: dict[tuple[str, str, str], Triple] = {}
        for triple in self.triples:
            first.setdefault(triple.key, triple)
        return dataclasses.replace(self, triples=tuple(first.values()))

    def _repr_html_(self) -> str:
        """What IPython shows: the text with its entities marked, the triples as graph and table."""
        edges = [
            Edge(t.head, t.relation, t.tail, t.score, t.places(self.text)) for t in self.triples
        ]
        return drawing(self.text, edges)


_TRIPLE = tuple(field.name for field in dataclasses.fields(Triple))
_DOCUMENT = ("id", "text", "triples")


def _places(text: str, entity: str, span: Span | None) -> tuple[Span, ...]:
    return (span,) if span is not None else locate(text, entity)


def num_unlike_text(document: Document) -> int:
    """How many names of its triples, each counted once, are `spelled_unlike` its text."""
    names = {
        (name, span)
        for triple in document.triples
        for name, span in ((triple.head, triple.head_span), (triple.tail, triple.tail_span))
    }
    return len({name for name, span in names if spelled_unlike(document.text, name, span)})


def read_jsonl(
    path: str | Path,
    *,
    relations: Collection[str] | None = None,
    on_error: OnError | None = None,
) -> Iterator[Document]:
    """Reads records one by one; `-` is standard input.

    Blank lines are faulty records, except at the end of the file; a byte order mark at its start
    is passed over. Only the ids stay in memory, to find duplicates.

    Args:
      path: the file.
      relations: where given, the only relations that may occur.
      on_error: is called with each faulty record, which is then skipped; by default the first one
        is raised.

    Raises:
      RecordError: at the first faulty record; with `on_error` only if the file can't be read.
    """
    return read_documents(
        path, json_lines(path), parse_line, relations=relations, on_error=on_error
    )


def read_documents(
    path: str | Path,
    items: Iterable[Item],
    parse: Callable[[Item], Document | None],
    *,
    relations: Collection[str] | None = None,
    on_error: OnError | None = None,
) -> Iterator[Document]:
    """Parses raw records; what every reader of every format does with faulty ones.

    A record of which `parse` makes None is passed over.

    A record is faulty if `parse` raises Fault, or RecordError to name a place of its own, if the
    document fails `check`, if its id was seen before, or if it holds a relation that is not in
    `relations`. See `read_jsonl` for the rest.
    """
    known = None if relations is None else frozenset(relations)
    line_of_id: dict[str, int] = {}
    for item in items:
        try:
            document = parse(item)
            if document is None:
                continue
            check(document)
            if document.id in line_of_id:
                first = line_of_id[document.id]
                raise Fault(f"id {quote(document.id)} stands on line {first} already")
            if known is not None:
                for triple in document.triples:
                    if triple.relation not in known:
                        raise Fault(f"unknown relation {quote(triple.relation)}")
        except (Fault, RecordError) as problem:
            error = problem if isinstance(problem, RecordError) else item.error(path, problem)
            if on_error is None:
                raise error from None
            on_error(error)
            continue
        line_of_id[document.id] = item.line
        yield document


def parse_document(data: bytes, path: str | Path, line: int) -> Document:
    """The document of one line of JSONL; raises RecordError with `path` and `line`."""
    return next(read_documents(path, [Item(line, data)], parse_line))


def check(document: Document) -> None:
    """Raises Fault unless all strings say something and all spans spell their entities."""
    for name in ("id", "text"):
        _check_not_empty(getattr(document, name), name)
    for index, triple in enumerate(document.triples):
        for name in ("head", "relation", "tail"):
            _check_not_empty(getattr(triple, name), f"triples[{index}]: {name}")
        for name, entity, span, spans in (
            ("head_span", triple.head, triple.head_span, triple.head_spans),
            ("tail_span", triple.tail, triple.tail_span, triple.tail_spans),
        ):
            if span is not None:
                _check_span(document.text, span, entity, f"triples[{index}]: {name}")
            if spans and spans[0] != span:
                raise Fault(f"triples[{index}]: the first of {name}s must be {name}")
            if len(set(spans)) < len(spans):
                raise Fault(f"triples[{index}]: {name}s holds a span twice")
            for number, place in enumerate(spans):
                _check_span(document.text, place, entity, f"triples[{index}]: {name}s[{number}]")


def _check_span(text: str, span: Span, entity: str, what: str) -> None:
    if spells(text, span, entity):
        return
    start, end = span
    if 0 <= start < end <= len(text):
        problem = f"is {quote(text[start:end])}, not {quote(entity)}"
    else:
        problem = f"lies outside the text, which has {len(text)} characters"
    raise Fault(f"{what} [{start}, {end}] {problem}")


def _check_not_empty(value: str, what: str) -> None:
    if not value.strip():
        raise Fault(f"{what} is empty")


def parse_line(item: Item) -> Document:
    """The document that a line of JSONL is, not checked yet; raises Fault."""
    return parse_record(parse_object(item.data))


def parse_record(record: dict[str, Any]) -> Document:
    """The document that a JSON object is, not checked yet; raises Fault."""
    return Document(
        id=member(record, "id", str),
        text=member(record, "text", str),
        triples=tuple(parse_members(record, "triples", dict, _triple)),
        other=other_fields(record),
    )


def other_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that are not known here."""
    return {name: value for name, value in record.items() if name not in _DOCUMENT}


def _triple(raw: dict[str, Any]) -> Triple:
    _check_names(raw, _TRIPLE)
    return Triple(
        head=member(raw, "head", str),
        relation=member(raw, "relation", str),
        tail=member(raw, "tail", str),
        head_span=span_member(raw, "head_span"),
        tail_span=span_member(raw, "tail_span"),
        score=_score(raw, "score"),
        score_per_token=_score(raw, "score_per_token"),
        head_spans=_spans(raw, "head_spans"),
        tail_spans=_spans(raw, "tail_spans"),
    )


def _check_names(record: dict[str, Any], names: Collection[str]) -> None:
    if unknown := record.keys() - set(names):
        raise Fault(f"unknown field {quote(min(unknown))}; there are {', '.join(names)}")


def span_member(record: dict[str, Any], name: str) -> Span | None:
    """The span `[start, end]` under `name`, None if there is none; raises Fault."""
    if name not in record:
        return None
    return _span(member(record, name, list), f"field {name!r}")


def _spans(record: dict[str, Any], name: str) -> tuple[Span, ...]:
    if name not in record:
        return ()
    if not member(record, name, list):
        raise Fault(f"field {name!r} is empty; leave it out")
    return tuple(parse_members(record, name, list, lambda offsets: _span(offsets, "it")))


def _span(offsets: list[Any], what: str) -> Span:
    if [type(offset) for offset in offsets] != [int, int]:
        raise Fault(f"{what} must be [start, end], two integers, not {quote(offsets)}")
    return offsets[0], offsets[1]


def _score(record: dict[str, Any], name: str) -> float | None:
    if name not in record:
        return None
    score = record[name]
    if type(score) not in (int, float) or not math.isfinite(score):
        raise Fault(f"field {name!r} must be a finite number, not {quote(score)}")
    return float(score)


def to_json(document: Document) -> str:
    """The record as one line, without its end; what is None or has no members is left out."""
    triples = list(map(fields, document.triples))
    record = {"id": document.id, "text": document.text, "triples": triples, **document.other}
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def fields(triple: Triple) -> dict[str, Any]:
    """A triple as JSON has it; what is None or has no members is left out."""
    return {name: value for name in _TRIPLE if (value := getattr(triple, name)) not in (None, ())}


def relations(documents: Iterable[Document]) -> set[str]:
    """Those that occur."""
    return {triple.relation for document in documents for triple in document.triples}


def fingerprint(documents: Iterable[Document], how: str = "") -> str:
    """Changes whenever a document does, or `how`, what is made of them."""
    digest = hashlib.sha256(how.encode())
    for document in documents:
        digest.update(to_json(document).encode() + b"\n")
    return digest.hexdigest()[:32]


def to_line(document: Document) -> bytes:
    """The record as one line of a file, with its end; ValueError if it could not be read again."""
    data = to_json(document).encode()
    if len(data) > MAX_LINE_BYTES:
        raise Fault(f"longer than {MAX_LINE_BYTES:,} bytes")
    return data + b"\n"


def write_jsonl(path: str | Path, documents: Iterable[Document]) -> None:
    """Writes records; the file appears complete or not at all. `-` is standard output.

    Raises:
      RecordError: where the file can't be written, or a document has no form that could be read
        again: a score that is not finite, half of a surrogate pair, too long a line.
    """
    with replacing(path) as file:
        for line, document in enumerate(documents, start=1):
            try:
                file.write(to_line(document))
            except ValueError as error:
                raise RecordError(path, line, f"{quote(document.id)}: {error}") from None
