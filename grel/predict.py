"""Prediction over files of any size: texts or records in, records with triples out.

The input is read once, in chunks, so memory does not grow with it, and what is written does not
depend on where a chunk ends: each record is judged and extracted by itself. An interrupted run goes
on where it stopped (see `resume`), and checks by a digest that what it skips is what it has read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import tqdm

from grel import records, resume, textio
from grel.outputs import Extraction, Tally
from grel.records import Document, OnError
from grel.textio import Fault, Item, RecordError, member

# Documents decoded together: enough for full batches of every length.
CHUNK = 2048
# Long ones are fewer, or they would fill the memory.
_CHUNK_BYTES = 1 << 22


class Extracts(Protocol):
    """What is needed of an `extract.Extractor`; its methods are described there."""

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]: ...

    def traces(self, extraction: Extraction) -> list[dict[str, Any]]: ...

    def identity(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        records: read from the input, faulty ones included.
        skipped: faulty records left out.
        tally: what went wrong with the others.
    """

    records: int = 0
    skipped: int = 0
    tally: Tally = dataclasses.field(default_factory=Tally)

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            self.records + other.records, self.skipped + other.skipped, self.tally + other.tally
        )


class Shard(NamedTuple):
    """Part `index`, from 0, of `count` parts of the input.

    Parts are runs of records, so their outputs joined in order are the output of a single process:
    `cat OUT-*-of-00004 > OUT`.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `INDEX/COUNT` says, such as `1/4`; raises ValueError."""
        match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        if match is None or int(match[1]) >= int(match[2]):
            raise ValueError(f"shard is {text!r}; it must be INDEX/COUNT, from 0/4 to 3/4 for four")
        return cls(int(match[1]), int(match[2]))

    def path(self, target: str) -> str:
        """Where the output of this part goes: `OUT-00001-of-00004`, or `OUT` if it is all."""
        return target if self.count == 1 else f"{target}-{self.index:05d}-of-{self.count:05d}"

    def share(self, num_records: int) -> tuple[int, int]:
        """The first record of this part, and how many there are."""
        start, stop = (num_records * i // self.count for i in (self.index, self.index + 1))
        return start, stop - start


_WHOLE = Shard()


def predict(
    extractor: Extracts,
    source: str,
    target: str,
    *,
    trace: str | None = None,
    shard: Shard = _WHOLE,
    on_error: OnError | None = None,
    chunk_size: int = CHUNK,
) -> Summary:
    """Extracts triples from all documents of a file, and writes them in their order.

    Where the first line begins with `{` the input is JSONL records; else each line is a text with
    the line number as id. `-` is standard input or output. Ids are not compared with each other.

    A file as output is called `TARGET.partial` until it is complete. After an interruption the same
    call goes on, and the output is as if nothing had happened. Output to standard output or a
    device can't go on and starts anew.

    Args:
        trace: a second output: how each output was written, one JSON object a line.
        shard: the part of the input to do; the input must then be a file that does not change.
        on_error: is called with each faulty record, which is then skipped and counted; by default
            the first one is raised, and once it is mended the same call goes on.
        chunk_size: most documents extracted together, and most that an interruption costs.

    Raises:
        RecordError: on faulty input, a file that can't be read or written, and where what was begun
            belongs to another input, model or option.
    """
    num_records = _count(source)
    options = {**extractor.identity(), "trace": trace is not None, "shard": shard}
    first = 0
    if shard.count > 1:
        if num_records is None or target == "-":
            raise RecordError(source, None, "only a file can be divided, and only into files")
        options["records"] = num_records
        first, num_records = shard.share(num_records)
    targets = [shard.path(path) for path in (target, trace) if path is not None]
    with _outputs(targets, options) as out:
        if out.finished:
            return _summary(out)
        reader = _Reader(source, first, None if shard.count == 1 else num_records)
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


def _count(source: str) -> int | None:
    """How many records there are; None where they can be read only once."""
    if source == "-" or not Path(source).is_file():
        return None
    return sum(1 for _ in textio.json_lines(source))


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
    parsed = [(item, document) for item in chunk for document in reader.parse(item, on_error)]
    extractions = extractor.extractions([document for _, document in parsed])
    tally = Tally()
    lines: list[bytes] = []
    traces: list[bytes] = []
    for (item, _), extraction in zip(parsed, extractions, strict=True):
        try:
            lines.append(records.to_line(extraction.document))
        except Fault as fault:
            error = RecordError(reader.path, item.line, f"with its triples, {fault}")
            if on_error is None:
                raise error from None
            on_error(error)
            continue
        tally += extraction.tally
        if with_traces:
            found = extractor.traces(extraction)
            traces += (json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in found)
    summary = Summary(len(chunk), len(chunk) - len(lines), tally)
    return _Result(b"".join(lines), b"".join(traces), summary)


class _Reader:
    """The raw records of a file, or some of them, and a digest of those that were read.

    Args:
        path: the file.
        first: records to pass over; length: how many to read, None for all.
    """

    def __init__(self, path: str, first: int, length: int | None):
        self.path = path
        items = textio.json_lines(path)
        head = list(itertools.islice(items, 1))
        is_record = bool(head) and head[0].data.lstrip().startswith(b"{")
        self._parse = records.parse_line if is_record else _line_of_text
        behind = None if length is None else first + length
        self._items = itertools.islice(itertools.chain(head, items), first, behind)
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

    def parse(self, item: Item, on_error: OnError | None) -> Iterator[Document]:
        """The document of a raw record, or none where `on_error` took it."""
        return records.read_documents(self.path, [item], self._parse, on_error=on_error)


def _line_of_text(item: Item) -> Document:
    return Document(str(item.line), textio.decode(item.data))


def _go_on(reader: _Reader, out: resume.Journal | _Streams) -> Summary:
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


def _summary(out: resume.Journal | _Streams) -> Summary:
    """What was done when the last chunk was committed; RecordError if nobody can tell."""
    if out.state is None:
        return Summary()
    try:
        tally = member(out.state, "tally", dict)
        names = [field.name for field in dataclasses.fields(Tally)]
        member(out.state, "sha256", str)
        return Summary(
            member(out.state, "records", int),
            member(out.state, "skipped", int),
            Tally(**{name: member(tally, name, int) for name in names}),
        )
    except Fault as fault:
        raise RecordError(out.path, None, f"{fault}; {out.remove}") from None


class _Streams:
    """Outputs that can't go on after an interruption, to be used like a `resume.Journal`."""

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
) -> Iterator[resume.Journal | _Streams]:
    paths = [Path(target) for target in targets]
    if "-" not in targets and all(path.is_file() or not path.exists() for path in paths):
        with resume.resumable(targets, options) as journal:
            yield journal
    else:
        with contextlib.ExitStack() as files:
            yield _Streams([files.enter_context(textio.replacing(target)) for target in targets])
