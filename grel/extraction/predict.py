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
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import tqdm

from grel.extraction.chunks import (
    CHUNK,
    MAX_RECORD_BYTES,
    TOO_LONG,
    Extracts,
    Source,
    Summary,
    chunked,
    extract,
)
from grel.extraction.shards import Shard
from grel.families.writer import Tally
from grel.files import journal
from grel.files.faults import Fault, RecordError
from grel.files.parsing import member
from grel.files.reading import Input, Item, text_or_json
from grel.files.writing import refuse_overwriting, replacing
from grel.records import OnError

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
    named: bool = True,
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
        named: whether complete files take their names; see `journal.resumable`.

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
        raw = stack.enter_context(text_or_json(source, input_format))
        options["input_format"] = raw.format
        out = stack.enter_context(_outputs(targets, options, named))
        if out.finished:
            return _summary(out)
        if raw.is_guess and raw.format == "text":
            _tell_guess(source)
        reader = _Reader(source, raw, first, None if shard.count == 1 else num_records)
        done = _go_on(reader, out)
        with tqdm.tqdm(
            total=num_records, initial=done.records, unit="record", dynamic_ncols=True
        ) as bar:
            for chunk in chunked(reader, chunk_size):
                result = extract(
                    extractor, reader.source, chunk, on_error, with_traces=trace is not None
                )
                done += result.summary
                state = {**dataclasses.asdict(done), "sha256": reader.sha256}
                out.commit([result.lines, result.traces][: len(targets)], state)
                bar.update(len(chunk))
    return done


def _refuse_overwriting(source: str, targets: Sequence[str]) -> None:
    files = [Path(target) for target in targets if target != "-"]
    beside = [*map(journal.partial_of, files), *map(journal.progress_of, files[:1])]
    refuse_overwriting([source], [*targets, *map(str, beside)])


def _count(source: str, input_format: str, on_error: OnError | None) -> int | None:
    """How many items there are; None where they can be read only once.

    Without `on_error` raises RecordError for the first that is too long.
    """
    if source == "-" or not Path(source).is_file():
        return None
    count = 0
    with text_or_json(source, input_format) as raw:
        for item in raw.items:
            count += 1
            if on_error is None and len(item.data) > MAX_RECORD_BYTES:
                raise RecordError(source, item.line, TOO_LONG)
    return count


def _tell_guess(source: str) -> None:
    print(
        f"note: {source} begins like JSON and is taken for lines of text; if it is JSON, say "
        "--input_format=jsonl",
        file=sys.stderr,
    )


class _Reader:
    """The raw records of a file, or some of them, and a digest of those that were read.

    Args:
        path: the file.
        raw: it, opened.
        first: records to pass over; length: how many to read, None for all.
    """

    def __init__(self, path: str, raw: Input, first: int, length: int | None):
        self.source = Source(path, raw.format, raw.is_guess)
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


def _go_on(reader: _Reader, out: journal.Journal | _Streams) -> Summary:
    """Passes over what was done before; raises RecordError where the input is another one."""
    done = _summary(out)
    num_read = sum(1 for _ in itertools.islice(reader, done.records))
    if out.state is not None and (num_read, reader.sha256) != (done.records, out.state["sha256"]):
        raise RecordError(
            reader.source.path,
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
    targets: Sequence[str], options: Mapping[str, Any], named: bool
) -> Iterator[journal.Journal | _Streams]:
    paths = [Path(target) for target in targets]
    if "-" not in targets and all(path.is_file() or not path.exists() for path in paths):
        with journal.resumable(targets, options, named=named) as opened:
            yield opened
    else:
        with contextlib.ExitStack() as files:
            yield _Streams([files.enter_context(replacing(target)) for target in targets])
