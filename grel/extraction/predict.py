"""Prediction over files of any size: texts or records in, records with triples out.

The input is read once, in chunks, so memory does not grow with it (but with JSON that is one list
or laid out over several lines), and what is written does not depend on where a chunk ends: each
record is judged and extracted by itself. An interrupted run goes on where it stopped (see
`journal`), and checks by a digest that what it skips is what it has read.

Input is what people have: an id may lack or be an integer, further fields go with the record, and
its triples, if it has any, are replaced by those extracted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import tqdm

from grel import records
from grel.extraction.reading import REMARKS, Extraction, as_record, without_places
from grel.extraction.shards import Shard
from grel.families.writer import Tally
from grel.files import journal, textio
from grel.files.textio import Fault, Item, RecordError, member
from grel.records import Document, OnError

# Documents decoded together: enough for full batches of every length.
CHUNK = 2048
# Long ones are fewer, or they would fill the memory.
_CHUNK_BYTES = 1 << 22
# Longer ones are refused: with its triples a record must still be a line that can be read.
MAX_RECORD_BYTES = 1 << 22


class Extracts(Protocol):
    """What is needed of an `extractor.Extractor`; its methods are described there."""

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]: ...

    def traces(self, extraction: Extraction) -> list[dict[str, Any]]: ...

    def identity(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        records: read from the input, faulty ones and blank lines included.
        skipped: faulty records left out.
        tally: what went wrong with the others.
        blank: blank lines, which are no records.
        without_places: records too long for a line with all places of their names, and so written
            without `head_spans` and `tail_spans`.
    """

    records: int = 0
    skipped: int = 0
    tally: Tally = dataclasses.field(default_factory=Tally)
    blank: int = 0
    without_places: int = 0

    def __add__(self, other: Summary) -> Summary:
        return Summary(*(mine + vars(other)[name] for name, mine in vars(self).items()))


_WHOLE = Shard()


def predict(
    extractor: Extracts,
    source: str,
    target: str,
    *,
    trace: str | None = None,
    shard: Shard = _WHOLE,
    input_format: str = "auto",
    on_error: OnError | None = None,
    chunk_size: int = CHUNK,
) -> Summary:
    """Extracts triples from all documents of a file, and writes them in their order.

    The input is JSON, records or strings, one a line, in a list or pretty-printed, or it is text
    with one document a line. A document without an id has the number of its line, or its place in
    the list. Blank lines are passed over and counted. `-` is standard input or output. Ids are not
    compared with each other.

    A record of the output has the other fields of its record, and where they say something
    `truncated` (the model saw only the beginning of the text), `windowed` (it was read in windows)
    and `unknown_tokens` (how many wordpieces of it the vocabulary lacks).

    A file as output is called `TARGET.partial` until it is complete. After an interruption the same
    call goes on, and the output is as if nothing had happened. Output to standard output or a
    device can't go on and starts anew.

    Args:
        trace: a second output: how each output was written, one JSON object a line.
        shard: the part of the input to do; the input must then be a file that does not change.
        input_format: "jsonl" or "text"; "auto" tells by the first line, and says so in doubt.
        on_error: is called with each faulty record, which is then skipped and counted; by default
            the first one is raised, and once it is mended the same call goes on.
        chunk_size: most documents extracted together, and most that an interruption costs.

    Raises:
        RecordError: on faulty input, a file that can't be read or written or is both, and where
            what was begun belongs to another input, model or option. Without `on_error` a record
            of a file that is too long is raised before anything is extracted.
    """
    targets = [shard.path(path) for path in (target, trace) if path is not None]
    _refuse_overwriting(source, targets)
    num_records = _count(source, input_format, on_error)
    options = {
        **extractor.identity(),
        "trace": trace is not None,
        "shard": [shard.index, shard.count],
    }
    first = 0
    if shard.count > 1:
        if num_records is None or target == "-":
            raise RecordError(source, None, "only a file can be divided, and only into files")
        options["records"] = num_records
        first, num_records = shard.share(num_records)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(textio.text_or_json(source, input_format))
        options["input_format"] = raw.format
        out = stack.enter_context(_outputs(targets, options))
        if out.finished:
            return _summary(out)
        if raw.is_guess and raw.format == "text":
            _tell_guess(source)
        reader = _Reader(source, raw, first, None if shard.count == 1 else num_records)
        done = _go_on(reader, out)
        with tqdm.tqdm(
            total=num_records, initial=done.records, unit="record", dynamic_ncols=True
        ) as bar:
            for chunk in reader.chunks(chunk_size):
                result = _extract(extractor, reader, chunk, on_error, with_traces=trace is not None)
                done += result.summary
                state = {**dataclasses.asdict(done), "sha256": reader.sha256}
                out.commit([result.lines, result.traces][: len(targets)], state)
                bar.update(len(chunk))
    return done


def _refuse_overwriting(source: str, targets: Sequence[str]) -> None:
    files = [Path(target) for target in targets if target != "-"]
    beside = [*map(journal.partial_of, files), *map(journal.progress_of, files[:1])]
    textio.refuse_overwriting([source], [*targets, *map(str, beside)])


def _count(source: str, input_format: str, on_error: OnError | None) -> int | None:
    """How many items there are; None where they can be read only once.

    Without `on_error` raises RecordError for the first that is too long.
    """
    if source == "-" or not Path(source).is_file():
        return None
    count = 0
    with textio.text_or_json(source, input_format) as raw:
        for item in raw.items:
            count += 1
            if on_error is None and len(item.data) > MAX_RECORD_BYTES:
                raise RecordError(source, item.line, _TOO_LONG)
    return count


def _tell_guess(source: str) -> None:
    print(
        f"note: {source} begins like JSON and is taken for lines of text; if it is JSON, say "
        "--input_format=jsonl",
        file=sys.stderr,
    )


class _Result(NamedTuple):
    lines: bytes
    traces: bytes
    summary: Summary


def _extract(
    extractor: Extracts,
    reader: _Reader,
    chunk: Sequence[Item],
    on_error: OnError | None,
    *,
    with_traces: bool,
) -> _Result:
    """What the raw records of one chunk become."""
    stated = [item for item in chunk if not reader.is_blank(item)]
    parsed = [(item, document) for item in stated for document in reader.parse(item, on_error)]
    extractions = extractor.extractions([document for _, document in parsed])
    tally = Tally()
    without_places = 0
    lines: list[bytes] = []
    traces: list[bytes] = []
    for (item, _), extraction in zip(parsed, extractions, strict=True):
        try:
            line, is_whole = _to_line(extraction)
        except Fault as fault:
            error = RecordError(reader.path, item.line, f"with its triples, {fault}")
            if on_error is None:
                raise error from None
            on_error(error)
            continue
        lines.append(line)
        without_places += not is_whole
        tally += extraction.tally
        if with_traces:
            found = extractor.traces(extraction)
            traces += (json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in found)
    summary = Summary(
        records=len(chunk),
        skipped=len(stated) - len(lines),
        blank=len(chunk) - len(stated),
        without_places=without_places,
        tally=tally,
    )
    return _Result(b"".join(lines), b"".join(traces), summary)


def _to_line(extraction: Extraction) -> tuple[bytes, bool]:
    """The record that is written, and whether it has all places; raises Fault where it has no form.

    The places of one name can be as many as the text has words, and every triple that has the name
    repeats them, so that a text far from too long can make a record that is.
    """
    document = as_record(extraction)
    try:
        return records.to_line(document), True
    except Fault:
        return records.to_line(without_places(document)), False


class _Reader:
    """The raw records of a file, or some of them, and a digest of those that were read.

    Args:
        path: the file.
        raw: it, opened.
        first: records to pass over; length: how many to read, None for all.
    """

    def __init__(self, path: str, raw: textio.Input, first: int, length: int | None):
        self.path = path
        self._is_json = raw.format == "jsonl"
        self._is_guess = raw.is_guess
        behind = None if length is None else first + length
        self._items = itertools.islice(raw.items, first, behind)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of everything read so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self._digest.update(b"%d %d\n" % (item.line, len(item.data)))
            self._digest.update(item.data)
            yield item

    def chunks(self, size: int) -> Iterator[list[Item]]:
        """The records that are left, at most so many at once, and fewer where they are long."""
        chunk: list[Item] = []
        num_bytes = 0
        for item in self:
            chunk.append(item)
            num_bytes += len(item.data)
            if len(chunk) == size or num_bytes >= _CHUNK_BYTES:
                yield chunk
                chunk, num_bytes = [], 0
        if chunk:
            yield chunk

    def is_blank(self, item: Item) -> bool:
        """Whether it is a line of blanks, of any kind where lines are text."""
        if self._is_json:
            return not item.data.strip()
        return len(item.data) <= MAX_RECORD_BYTES and not item.data.decode(errors="replace").strip()

    def parse(self, item: Item, on_error: OnError | None) -> Iterator[Document]:
        """The document of a raw record, or none where `on_error` took it."""
        return records.read_documents(self.path, [item], self._document, on_error=on_error)

    def _document(self, item: Item) -> Document:
        if len(item.data) > MAX_RECORD_BYTES:
            raise Fault(_TOO_LONG)
        if not self._is_json:
            return Document(str(item.line), textio.decode(item.data))
        try:
            return _document(textio.parse_json(item.data), item.number or item.line)
        except Fault as fault:
            hint = "; if the file is lines of text, say --input_format=text"
            raise Fault(f"{fault}{hint if self._is_guess else ''}") from None


def _document(record: Any, number: int) -> Document:
    """The document of a record, or of a string that is its text; raises Fault."""
    if isinstance(record, str):
        return Document(str(number), record)
    record = textio.expect(record, dict, "the record")
    id = record.get("id", number)
    other = records.other_fields(record)
    return Document(
        str(id) if type(id) is int else member(record, "id", str),
        member(record, "text", str),
        # What was told of an earlier extraction is not true of this one.
        other={name: value for name, value in other.items() if name not in REMARKS},
    )


_TOO_LONG = f"longer than {MAX_RECORD_BYTES:,} bytes; divide the text"


def _go_on(reader: _Reader, out: journal.Journal | _Streams) -> Summary:
    """Passes over what was done before; raises RecordError where the input is another one."""
    done = _summary(out)
    num_read = sum(1 for _ in itertools.islice(reader, done.records))
    if out.state is not None and (num_read, reader.sha256) != (done.records, out.state["sha256"]):
        raise RecordError(
            reader.path,
            None,
            f"its first {done.records:,} records are not those that {out.path} tells of; give the "
            f"same input, or {out.remove}",
        )
    return done


def _summary(out: journal.Journal | _Streams) -> Summary:
    """What was done when the last chunk was committed; RecordError if nobody can tell."""
    if out.state is None:
        return Summary()
    try:
        tally = member(out.state, "tally", dict)
        names = [field.name for field in dataclasses.fields(Tally)]
        member(out.state, "sha256", str)
        counts = (field.name for field in dataclasses.fields(Summary) if field.name != "tally")
        return Summary(
            **{name: member(out.state, name, int) for name in counts},
            tally=Tally(**{name: member(tally, name, int) for name in names}),
        )
    except Fault as fault:
        raise RecordError(out.path, None, f"{fault}; {out.remove}") from None


class _Streams:
    """Outputs that can't go on after an interruption, to be used like a `journal.Journal`."""

    path = remove = ""
    state = None
    finished = False

    def __init__(self, files: Sequence[BinaryIO]):
        self._files = files

    def commit(self, chunks: Iterable[bytes], state: Mapping[str, Any]) -> None:
        """Writes a chunk to each."""
        for file, chunk in zip(self._files, chunks, strict=True):
            file.write(chunk)
            file.flush()


@contextlib.contextmanager
def _outputs(
    targets: Sequence[str], options: Mapping[str, Any]
) -> Iterator[journal.Journal | _Streams]:
    paths = [Path(target) for target in targets]
    if "-" not in targets and all(path.is_file() or not path.exists() for path in paths):
        with journal.resumable(targets, options) as opened:
            yield opened
    else:
        with contextlib.ExitStack() as files:
            yield _Streams([files.enter_context(textio.replacing(target)) for target in targets])
