"""Extraction by a pool of actors on a Ray cluster: files in, a folder of documents out.

What Ray Data moves about are rows that hold a chunk each: the raw records that `predict` would have
read at once, and later the lines that they became. So every line is what `predict` writes, and a
chunk is also what is done again where an actor, or its machine, is lost. Nothing of it is written
twice: what is written is called after its place in the input.

Files may be anywhere that Arrow's file systems reach: `s3://`, `gs://`, `hdfs://`, `abfss://`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import ray
import ray.data
import ray.exceptions

from grel import records
from grel.errors import UserError
from grel.extraction.chunks import CHUNK, Extracts, Source, Summary, chunked, extract
from grel.files.faults import RecordError
from grel.files.reading import Input, Item, OpenFn, text_or_json

# Name and password, which stand before the bucket, and options.
_ABOUT_SERVICE = re.compile(r"(?<=://)[^/@]*@|\?.*", re.DOTALL)
# Is written last: a folder without it is not complete.
SUMMARY = "summary.json"

# Of a block of Ray's: chunks that are smaller share a task.
_BLOCK_BYTES = 1 << 18
# Chunks in a file of output, at least, but for the last ones.
_CHUNKS_PER_FILE = 32
# Tasks that the files are divided among.
_MAX_READERS = 4096

_SPAN = pa.list_(pa.int64())
_TRIPLE = pa.struct(
    [
        *((name, pa.string()) for name in ("head", "relation", "tail")),
        *((name, _SPAN) for name in ("head_span", "tail_span")),
        *((name, pa.float64()) for name in ("score", "score_per_token")),
        *((name, pa.list_(_SPAN)) for name in ("head_spans", "tail_spans")),
    ]
)
# `other` is JSON: the further fields of a record, which may be any.
_DOCUMENTS = pa.schema(
    [
        *(("id", pa.string()), ("text", pa.string())),
        *(("triples", pa.list_(_TRIPLE)), ("other", pa.string())),
    ]
)
_ROW = pa.schema(
    [
        *(("root", pa.string()), ("name", pa.string()), ("prefix", pa.string())),
        *(("format", pa.string()), ("is_guess", pa.bool_()), ("fault", pa.string())),
        *(("lines", pa.list_(pa.int64())), ("numbers", pa.list_(pa.int64()))),
        ("data", pa.list_(pa.large_binary())),
    ]
)
_DONE = pa.schema(
    [
        *(("place", pa.string()), ("lines", pa.large_binary())),
        *(("faults", pa.large_binary()), ("summary", pa.string()), ("unread", pa.int64())),
    ]
)


class Done(NamedTuple):
    """What was done, and how many files could not be read, or not to their end."""

    summary: Summary
    num_unread: int


class Devices(NamedTuple):
    """What each actor gets: so many CPUs, and one of the accelerators of that name, if any."""

    num_cpus: float = 1
    accelerator: str = ""  # "GPU" or "TPU"

    def options(self) -> dict[str, Any]:
        """As Ray Data takes them."""
        if self.accelerator == "GPU":
            return {"num_cpus": self.num_cpus, "num_gpus": 1}
        if self.accelerator:
            return {"num_cpus": self.num_cpus, "resources": {self.accelerator: 1}}
        return {"num_cpus": self.num_cpus}


_A_CPU = Devices()


def run(
    open_extractor: Callable[[], Extracts],
    inputs: Sequence[str],
    output: str,
    *,
    num_actors: int,
    devices: Devices = _A_CPU,
    input_format: str = "auto",
    output_format: str = "jsonl",
    chunk_size: int = CHUNK,
) -> Done:
    """Extracts triples from all documents of files, on the cluster that Ray is connected to.

    The input is as that of `predict`, or Parquet, whose rows are records by their columns. A
    document without an id is called after its file, below the folder that all of the input is in,
    and line: `part-3.jsonl:17`. Faulty records, and files that can't be read to their end, are left
    out, counted and listed.

    The output folder has `documents-*`, `faults-*.jsonl` where there are some (`path`, `line`,
    `reason`) and in the end `summary.json`, in no particular order.

    Args:
        open_extractor: is called by each actor.
        inputs: files, or folders, of which all files are read whose names begin with no `.` or `_`.
        output: a folder; it must be empty, or not there.
        num_actors: how many extractors there are; what each has is in `devices`.
        input_format: in `files.reading.INPUT_FORMATS`, or "parquet"; "auto" takes for that what
            ends in `.parquet`.
        output_format: "jsonl" or "parquet".
        chunk_size: most documents extracted together.

    Raises:
        RecordError: there is no input, or one twice; the output is not empty or can't be written.
    """
    files = _files(inputs)
    sink = _Sink(_absolute(output), output_format)
    sink.begin()
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    rows = ray.data.from_items(files, override_num_blocks=min(len(files), _MAX_READERS))
    # Reading waits for storage. It is not given what actors are: Ray would do it in them then, and
    # a file would be extracted by the one that reads it.
    rows = rows.map_batches(
        _read,
        batch_size=1,
        batch_format="pyarrow",
        fn_args=(input_format, chunk_size),
        num_cpus=min(0.5, devices.num_cpus / 2),
    )
    # Ray starts actors again that are lost, and gives what they were at to others, without end.
    rows = rows.map_batches(
        _Actor,
        fn_constructor_args=(open_extractor,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        **devices.options(),
    )
    try:
        rows.write_datasink(sink)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    return sink.finish()


def _absolute(path: str) -> str:
    """The same for processes in other folders."""
    return path if "://" in path else os.path.abspath(path)


def _located(path: str) -> tuple[pyarrow.fs.FileSystem, str]:
    try:
        if "://" in path:
            return pyarrow.fs.FileSystem.from_uri(path)
    except (pa.ArrowException, OSError) as error:
        reason = f"cannot be reached: {error}".replace(path, _shown(path))
        raise RecordError(_shown(path), None, reason) from None
    return pyarrow.fs.LocalFileSystem(), path


def _shown(root: str) -> str:
    """A path for messages: without what an address says of the service, or of who asks."""
    return _ABOUT_SERVICE.sub("", root).rstrip("/") if "://" in root else root


def _files(inputs: Sequence[str]) -> list[dict[str, str]]:
    """The files that are read, each with the `prefix` of its documents' ids, which no other has.

    Example: of `/data/x` and `/data/y`, each with a `part.txt`, they are `x/part.txt:` and
    `y/part.txt:`; of one of the folders by itself it is `part.txt:`.
    """
    files = [file for root in inputs for file in _below(root)]
    paths = [_path(file) for file in files]
    if twice := [path for path, count in Counter(paths).items() if count > 1]:
        raise RecordError(twice[0], None, "is given twice; name each input once")
    # A file that is given by itself is in a folder too.
    folders = [
        _shown(file["root"]) if file["name"] else path.rpartition("/")[0]
        for file, path in zip(files, paths, strict=True)
    ]
    parts = zip(*(folder.split("/") for folder in set(folders)), strict=False)
    num_shared = len(list(itertools.takewhile(lambda names: len(set(names)) == 1, parts)))
    return [
        {**file, "prefix": "/".join(path.split("/")[num_shared:]) + ":"}
        for file, path in zip(files, paths, strict=True)
    ]


def _below(root: str) -> list[dict[str, str]]:
    """The files that a path leads to, each with its name below it, "" if it is one itself."""
    root = _absolute(root)
    system, base = _located(root)
    try:
        found = system.get_file_info(base)
        if found.is_file:
            return [{"root": root, "name": ""}]
        below = pyarrow.fs.FileSelector(base, recursive=True, allow_not_found=True)
        names = sorted(
            info.path.removeprefix(base).strip("/")
            for info in system.get_file_info(below)
            if info.is_file
        )
    except OSError as error:
        raise RecordError(_shown(root), None, f"cannot read: {error}") from None
    files = [
        {"root": root, "name": name}
        for name in names
        if not any(part.startswith((".", "_")) for part in name.split("/"))
    ]
    if not files:
        raise RecordError(
            _shown(root), None, "there is no file; name files, or a folder that has some"
        )
    return files


def _read(files: pa.Table, input_format: str, chunk_size: int) -> Iterator[pa.Table]:
    """The chunks of each file, a row each; what can't be read is told in a last one."""
    for file in files.to_pylist():
        path = _path(file)
        is_parquet = input_format == "parquet" or (
            input_format == "auto" and path.endswith(".parquet")
        )
        system, base = _located(file["root"])
        target = f"{base}/{file['name']}" if file["name"] else base

        def open_fn(system: Any = system, target: str = target) -> io.BufferedReader:
            return io.BufferedReader(system.open_input_stream(target, compression=None))

        errors: list[RecordError] = []
        read = _parquet(path, system, target) if is_parquet else _text(path, open_fn, input_format)
        with _caught(errors), read as raw:
            for chunk in chunked(_until_error(raw.items, errors), chunk_size):
                yield _row(file, raw, chunk)
        for error in errors:
            yield _row(file, Input(iter(()), "jsonl", False), [], error)


@contextlib.contextmanager
def _caught(errors: list[RecordError]) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        errors.append(error)


def _until_error(items: Iterator[Item], errors: list[RecordError]) -> Iterator[Item]:
    """The items before an error, which is put aside, so that none of them is lost."""
    with _caught(errors):
        yield from items


def _path(file: dict[str, str]) -> str:
    """The file, for messages."""
    root = _shown(file["root"])
    return f"{root}/{file['name']}" if file["name"] else root


def _text(path: str, open_fn: OpenFn, format: str) -> contextlib.AbstractContextManager:
    return text_or_json(path, format, open_fn=open_fn)


@contextlib.contextmanager
def _parquet(path: str, system: Any, target: str) -> Iterator[Input]:
    """The rows of a file as records of JSON, numbered from 1; a field that is null is missing."""
    try:
        with system.open_input_file(target) as opened:
            table = pyarrow.parquet.ParquetFile(opened)
            # One group after the other: those before a damaged one are whole.
            rows = (
                row
                for group in range(table.num_row_groups)
                for batch in table.iter_batches(CHUNK, row_groups=[group])
                for row in batch.to_pylist()
            )
            yield Input(_items(path, rows), "jsonl", False)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(path, None, f"cannot read: {error}") from None


def _items(path: str, rows: Iterable[dict[str, Any]]) -> Iterator[Item]:
    try:
        for number, row in enumerate(rows, start=1):
            stated = {name: value for name, value in row.items() if value is not None}
            line = json.dumps(stated, ensure_ascii=False, default=_as_text)
            # Bytes that are no UTF-8 come out as they were, and are told of the record.
            yield Item(number, line.encode(errors="surrogateescape"))
    except (pa.ArrowException, OSError) as error:
        raise RecordError(path, None, f"cannot read: {error}") from None


def _as_text(value: object) -> str:
    """A value that JSON has no form for, such as a date or a decimal; bytes are UTF-8."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _row(
    file: dict[str, str],
    raw: Input,
    chunk: Sequence[Item],
    error: RecordError | None = None,
) -> pa.Table:
    fault = {"path": error.path, "line": error.line, "reason": error.reason} if error else None
    row = {
        **file,
        "format": raw.format,
        "is_guess": raw.is_guess,
        "fault": json.dumps(fault) if fault else None,
        "lines": [item.line for item in chunk],
        "numbers": [item.number for item in chunk],
        "data": [item.data for item in chunk],
    }
    return pa.Table.from_pylist([row], schema=_ROW)


class _Actor:
    """An extractor of the pool."""

    def __init__(self, open_extractor: Callable[[], Extracts]):
        self._extractor = open_extractor()

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._do(row) for row in rows.to_pylist()], schema=_DONE)

    def _do(self, row: dict[str, Any]) -> dict[str, Any]:
        path = _path(row)
        source = Source(path, row["format"], row["is_guess"], row["prefix"])
        items = [
            Item(*item) for item in zip(row["lines"], row["data"], row["numbers"], strict=True)
        ]
        faults = [json.loads(row["fault"])] if row["fault"] else []

        def on_error(error: RecordError) -> None:
            faults.append({"path": error.path, "line": error.line, "reason": error.reason})

        result = extract(self._extractor, source, items, on_error, with_traces=False)
        lines = (json.dumps(fault, ensure_ascii=False).encode() + b"\n" for fault in faults)
        # A list may have all its records on one line.
        first = (items[0].line, items[0].number) if items else "end"
        return {
            "place": f"{path}:{first}",
            "lines": result.lines,
            "faults": b"".join(lines),
            "summary": result.summary.to_json(),
            "unread": int(row["fault"] is not None),
        }


class _Sink(ray.data.Datasink):
    """Writes lines, or Parquet made of them, and faults; adds up what was done."""

    def __init__(self, output: str, format: str):
        self._output, self._format = output, format
        self._done = Done(Summary(), 0)

    @property
    def min_rows_per_write(self) -> int:
        return _CHUNKS_PER_FILE

    def begin(self) -> None:
        """Makes the folder; raises RecordError where it holds something or can't be made."""
        system, base = _located(self._output)
        try:
            system.create_dir(base, recursive=True)
            taken = system.get_file_info(pyarrow.fs.FileSelector(base))
        except OSError as error:
            raise RecordError(_shown(self._output), None, f"cannot write: {error}") from None
        if taken:
            raise RecordError(_shown(self._output), None, "is not empty; name another folder")

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> str:
        """Some chunks of output, by a task, which may have to be done again: returns JSON."""
        chunks = [chunk for block in blocks for chunk in block.to_pylist()]
        if not chunks:
            return json.dumps([Summary().to_json(), 0])
        # The same for the same chunks, so that a task which is done again writes nothing twice.
        name = hashlib.sha256(chunks[0]["place"].encode()).hexdigest()[:20]
        if lines := b"".join(chunk["lines"] for chunk in chunks):
            self._put(f"documents-{name}.{self._format}", self._formatted(lines))
        if faults := b"".join(chunk["faults"] for chunk in chunks):
            self._put(f"faults-{name}.jsonl", faults)
        total = sum((Summary.from_json(chunk["summary"]) for chunk in chunks), Summary())
        return json.dumps([total.to_json(), sum(chunk["unread"] for chunk in chunks)])

    def on_write_complete(self, write_result: Any) -> None:
        """Adds up what the tasks returned."""
        parts = [json.loads(part) for part in write_result.write_returns]
        summary = sum((Summary.from_json(part[0]) for part in parts), Summary())
        self._done = Done(summary, sum(part[1] for part in parts))

    def finish(self) -> Done:
        """Says that the folder is complete."""
        told = json.loads(self._done.summary.to_json()) | {"unread": self._done.num_unread}
        self._put(SUMMARY, json.dumps(told).encode() + b"\n")
        return self._done

    def _put(self, name: str, data: bytes) -> None:
        system, base = _located(self._output)
        with system.open_output_stream(f"{base}/{name}") as file:
            file.write(data)

    def _formatted(self, lines: bytes) -> bytes:
        if self._format == "jsonl":
            return lines
        rows = []
        for line in lines.removesuffix(b"\n").split(b"\n"):
            record = json.loads(line)
            other = records.other_fields(record)
            stated = {name: value for name, value in record.items() if name not in other}
            rows.append({**stated, "other": json.dumps(other, ensure_ascii=False)})
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=_DOCUMENTS), buffer)
        return buffer.getvalue()
