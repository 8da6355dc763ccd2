"""Raw records become lines of output, a chunk at a time: parsed, judged, extracted, written out.

What a record becomes depends on nothing but itself, its place and the extractor. So a file can be
gone through by one process (`predict`) or its chunks by many (`pool`), and the lines are the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from grel import records
from grel.extraction.reading import REMARKS, Extraction, as_record, without_places
from grel.families.writer import Tally
from grel.files.faults import Fault, RecordError
from grel.files.parsing import decode, expect, member, parse_json
from grel.files.reading import Item
from grel.records import Document, OnError

# Documents decoded together: enough for full batches of every length.
CHUNK = 2048
# Long ones are fewer, or they would fill the memory.
_CHUNK_BYTES = 1 << 22
# Longer ones are refused: with its triples a record must still be a line that can be read.
MAX_RECORD_BYTES = 1 << 22
TOO_LONG = f"longer than {MAX_RECORD_BYTES:,} bytes; divide the text"


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

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Summary:
        """The summary that another process wrote by `to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"tally": Tally(**fields["tally"])})

    def __add__(self, other: Summary) -> Summary:
        return Summary(*(mine + vars(other)[name] for name, mine in vars(self).items()))


class Source(NamedTuple):
    """Where raw records come from, and how they are read.

    Attributes:
        path: the file, for messages.
        format: "jsonl" or "text".
        is_guess: whether that is a guess.
        prefix: of the id of a document that has none; the number of its line follows.
    """

    path: str
    format: str
    is_guess: bool = False
    prefix: str = ""

    def is_blank(self, item: Item) -> bool:
        """Whether it is a line of blanks, of any kind where lines are text."""
        if self.format == "jsonl":
            return not item.data.strip()
        return len(item.data) <= MAX_RECORD_BYTES and not item.data.decode(errors="replace").strip()

    def parse(self, item: Item, on_error: OnError | None) -> Iterator[Document]:
        """The document of a raw record, or none where `on_error` took it."""
        return records.read_documents(self.path, [item], self._document, on_error=on_error)

    def _document(self, item: Item) -> Document:
        if len(item.data) > MAX_RECORD_BYTES:
            raise Fault(TOO_LONG)
        id = f"{self.prefix}{item.number or item.line}"
        if self.format != "jsonl":
            return Document(id, decode(item.data))
        try:
            return _document(parse_json(item.data), id)
        except Fault as fault:
            hint = "; if the file is lines of text, say --input_format=text"
            raise Fault(f"{fault}{hint if self.is_guess else ''}") from None


def _document(record: Any, default_id: str) -> Document:
    """The document of a record, or of a string that is its text; raises Fault."""
    if isinstance(record, str):
        return Document(default_id, record)
    record = expect(record, dict, "the record")
    id = record.setdefault("id", default_id)
    other = records.other_fields(record)
    return Document(
        str(id) if type(id) is int else member(record, "id", str),
        member(record, "text", str),
        # What was told of an earlier extraction is not true of this one.
        other={name: value for name, value in other.items() if name not in REMARKS},
    )


def chunked(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """The items, at most so many at once, and fewer where they are long."""
    chunk: list[Item] = []
    num_bytes = 0
    for item in items:
        chunk.append(item)
        num_bytes += len(item.data)
        if len(chunk) == size or num_bytes >= _CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


class Result(NamedTuple):
    """What a chunk became: lines of output, lines of traces, and what was done."""

    lines: bytes
    traces: bytes
    summary: Summary


def extract(
    extractor: Extracts,
    source: Source,
    chunk: Sequence[Item],
    on_error: OnError | None,
    *,
    with_traces: bool,
) -> Result:
    """What the raw records of one chunk become; `on_error` is as in `records.read_jsonl`."""
    stated = [item for item in chunk if not source.is_blank(item)]
    parsed = [(item, document) for item in stated for document in source.parse(item, on_error)]
    extractions = extractor.extractions([document for _, document in parsed])
    tally = Tally()
    without_places = 0
    lines: list[bytes] = []
    traces: list[bytes] = []
    for (item, _), extraction in zip(parsed, extractions, strict=True):
        try:
            line, is_whole = _to_line(extraction)
        except Fault as fault:
            error = RecordError(source.path, item.line, f"with its triples, {fault}")
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
    return Result(b"".join(lines), b"".join(traces), summary)


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
