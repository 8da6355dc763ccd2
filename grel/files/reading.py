"""Text files that nobody vouches for: their lines and the records that they hold, unparsed.

A file compressed with gzip is read, whatever its name, and JSON however it is laid out. A line or
a record without end, or a file that is no text in UTF-8, is an error that says where. Of a file of
records only a few are in memory at a time.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import itertools
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from grel.files.faults import RecordError
from grel.files.parsing import MAX_LINE_BYTES
from grel.files.splitting import values

T = TypeVar("T")
MAX_FILE_BYTES = 1 << 28
INPUT_FORMATS = ("auto", "jsonl", "text")

Opened = io.BufferedReader | gzip.GzipFile
OpenFn = Callable[[], io.BufferedReader]

# Of a JSON list, and of values over several lines.
_CHUNK = 1 << 20
_LONGEST_READ = MAX_LINE_BYTES + len(b"\r\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What files begin with that are not text in UTF-8, and what would make them so.
_FOREIGN = {
    b"\xff\xfe\0\0": "UTF-32; save it as UTF-8",
    b"\0\0\xfe\xff": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"BZh91AY&SY": "compressed with bzip2; decompress it, or use gzip",
    b"\xfd7zXZ": "compressed with xz; decompress it, or use gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it, or use gzip",
    b"PK\x03\x04": "a zip archive; unpack it",
}
_GZIP = b"\x1f\x8b"
# How JSON begins, and no ordinary text does; and what might be either. Blanks are never given back
# (`*+`), or a line of them would be tried at each.
_JSON_START = re.compile(rb'\s*+(\{\s*+("|\}?\s*+\Z)|\[\s*+([{"]|\]?\s*+\Z))')
_LIKE_JSON = re.compile(rb'\s*([{\[]|".*"\s*\Z)')
# The first line of a JSON value that is laid out over several.
_UNFINISHED = re.compile(rb"[{\[,:]\s*\Z")
# Lines at the start of a file that are looked at, if they are blank, to see what it holds.
_HEAD_LINES = 100


class Item(NamedTuple, Generic[T]):
    """A raw record and where it stands, from 1; `number` is its place in a JSON list."""

    line: int
    data: T
    number: int | None = None

    def error(self, path: str | Path, reason: object) -> RecordError:
        """What is wrong with this record of a file."""
        place = "" if self.number is None else f"item {self.number}: "
        return RecordError(path, self.line, f"{place}{reason}")


def numbered_lines(path: str | Path) -> Iterator[Item[bytes]]:
    """Lines without their ends; `-` is standard input.

    A byte order mark is dropped, and of a line over `MAX_LINE_BYTES` all but the start, which is
    still over it. Raises RecordError where the file can't be read.
    """
    with opened(path) as file:
        yield from guarded(path, _lines(file))


def whole(path: str | Path, *, keep_mark: bool = False) -> bytes:
    """A file that is one record, with up to `MAX_FILE_BYTES`; RecordError where it can't be read.

    A byte order mark is dropped, unless it is to be kept, where offsets count it.
    """
    with opened(path) as file:
        (data,) = guarded(path, (file.read(MAX_FILE_BYTES + 1) for _ in range(1)))
    if len(data) > MAX_FILE_BYTES:
        raise RecordError(path, None, f"longer than {MAX_FILE_BYTES:,} bytes; divide it")
    return data if keep_mark else data.removeprefix(_BYTE_ORDER_MARK)


def json_lines(path: str | Path) -> Iterator[Item[bytes]]:
    """`numbered_lines` without blank ones at the end; others are left to be found faulty."""
    return _without_blank_end(numbered_lines(path))


def json_items(path: str | Path) -> Iterator[Item[bytes]]:
    """The records of a JSON file, one a line or however it is laid out; none is parsed yet.

    A file that is one list has its items as records, and one whose first line does not end a value
    has values of several lines each. Blank lines are dropped at the end only. Raises RecordError
    where the file can't be read, or not be split, as where a value of several lines, or of a list,
    goes on over `MAX_LINE_BYTES`.
    """
    with opened(path) as file:
        head = _head(path, file)
        yield from _without_blank_end(guarded(path, _json_items(path, file, head)))


class Input(NamedTuple):
    """The items of a file, and whether it was taken for "jsonl" or "text", by a guess or not."""

    items: Iterator[Item[bytes]]
    format: str
    is_guess: bool


@contextlib.contextmanager
def text_or_json(
    path: str | Path, format: str = "auto", *, open_fn: OpenFn | None = None
) -> Iterator[Input]:
    """Opens a file of texts, one a line, or of JSON, laid out as `json_items` says.

    Blank lines are items too, at the end as well. `format` is one of `INPUT_FORMATS`; "auto" takes
    for JSON what begins like a record or a list of records or strings, blank lines aside.
    `open_fn` opens what is no file of this machine. Raises RecordError where the file can't be
    read, or not be split.
    """
    with opened(path, open_fn) as file:
        head = _head(path, file)
        first = _first_line(head)
        is_json = format == "jsonl" or (format == "auto" and _JSON_START.match(first) is not None)
        is_guess = format == "auto" and _LIKE_JSON.match(first) is not None
        items = _json_items(path, file, head) if is_json else _lines(file, head)
        yield Input(guarded(path, items), "jsonl" if is_json else "text", is_guess)


@contextlib.contextmanager
def opened(
    path: str | Path, open_fn: OpenFn | None = None, *, any_content: bool = False
) -> Iterator[Opened]:
    """The file, decompressed, and closed in the end; RecordError where it can't be read.

    Unless `any_content` is welcome, what is no text in UTF-8 by its first bytes is refused.
    """
    with contextlib.ExitStack() as stack:
        try:
            if open_fn is not None:
                file = stack.enter_context(open_fn())
            else:
                file = stack.enter_context(open(path, "rb")) if str(path) != "-" else _stdin()
            start = file.peek(4)
        except OSError as error:
            raise _cannot_read(path, error) from None
        for mark, what in _FOREIGN.items():
            if start.startswith(mark) and not any_content:
                raise RecordError(path, None, f"not UTF-8 text but {what}")
        yield gzip.GzipFile(mode="rb", fileobj=file) if start.startswith(_GZIP) else file


def _stdin() -> io.BufferedReader:
    if sys.stdin is None:
        raise RecordError("-", None, "standard input is closed; name a file")
    stream: Any = sys.stdin.buffer  # or what stands in for it, which may not be buffered
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)


def guarded(path: str | Path, items: Iterator[T]) -> Iterator[T]:
    """The same; where reading fails, that is told of the file, by RecordError."""
    try:
        yield from items
    except EOFError:
        raise RecordError(path, None, "the compressed data ends too early") from None
    except (OSError, zlib.error) as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: str | Path, error: Exception) -> RecordError:
    return RecordError(path, None, f"cannot read: {getattr(error, 'strerror', None) or error}")


def _head(path: str | Path, file: Opened) -> list[bytes]:
    """The lines up to the first that is not blank, if that is near."""
    head: list[bytes] = []
    for data in itertools.islice(guarded(path, _raw_lines(file)), _HEAD_LINES):
        head.append(data)
        if _first_line(head).strip():
            break
    return head


def _first_line(head: Sequence[bytes]) -> bytes:
    """The last line of the head: the first of the file that is not blank, if there is one."""
    if len(head) == 1:
        return head[0].removeprefix(_BYTE_ORDER_MARK)
    return head[-1] if head else b""


def _raw_lines(file: Opened) -> Iterator[bytes]:
    return iter(functools.partial(file.readline, _LONGEST_READ), b"")


def _lines(file: Opened, head: Sequence[bytes] = ()) -> Iterator[Item[bytes]]:
    for line, data in enumerate(itertools.chain(head, _raw_lines(file)), start=1):
        rest = data
        while len(rest) == _LONGEST_READ and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_READ)
        if line == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        yield Item(line, data.removesuffix(b"\n").removesuffix(b"\r"))


def _without_blank_end(items: Iterator[Item[bytes]]) -> Iterator[Item[bytes]]:
    blank: list[Item[bytes]] = []
    for item in items:
        if not item.data.strip():
            # One stands for all that follow it, or a file of line ends would fill the memory.
            blank = blank or [item]
            continue
        yield from blank
        yield item
        blank = []


def _json_items(path: str | Path, file: Opened, head: Sequence[bytes]) -> Iterator[Item[bytes]]:
    first = _first_line(head)
    is_list = first.lstrip().startswith(b"[")
    if is_list or _UNFINISHED.search(first):
        chunks = itertools.chain(head, iter(lambda: file.read(_CHUNK), b""))
        yield from itertools.starmap(Item, values(path, chunks, is_list=is_list))
    else:
        yield from _lines(file, head)
