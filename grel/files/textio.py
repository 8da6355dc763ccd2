"""Text files that nobody vouches for: lines and JSON read strictly, files written whole or not.

What Python's own readers forgive (duplicate keys, NaN, half of a surrogate pair, a line without
end) is a mistake in a data file, so here it is an error that says where. What is no mistake is
read: a file compressed with gzip, whatever its name, and JSON however it is laid out. Nothing in
this module knows what a record means.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import itertools
import json
import math
import os
import re
import reprlib
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Generic, NamedTuple, TypeVar

from grel.errors import UserError

MAX_LINE_BYTES = 1 << 24
MAX_FILE_BYTES = 1 << 28
INPUT_FORMATS = ("auto", "jsonl", "text")

T = TypeVar("T")
Opened = io.BufferedReader | gzip.GzipFile
OpenFn = Callable[[], io.BufferedReader]

_LONGEST_READ = MAX_LINE_BYTES + len(b"\r\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_SPACE = re.compile(r"[^ \t\r\n]")
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
# How JSON begins, and no ordinary text does; and what might be either.
_JSON_START = re.compile(rb'\s*(\{\s*("|\}?\s*\Z)|\[\s*([{"]|\]?\s*\Z))')
_LIKE_JSON = re.compile(rb'\s*([{\[]|".*"\s*\Z)')
# The first line of a JSON value that is laid out over several.
_UNFINISHED = re.compile(rb"[{\[,:]\s*\Z")
# Lines at the start of a file that are looked at, if they are blank, to see what it holds.
_HEAD_LINES = 100
_MAX_DIGITS = 64


class Fault(ValueError):
    """What is wrong with a record, told by code that does not know where the record stands."""


class RecordError(UserError):
    """One faulty record: says which file, which line (from 1) and what is wrong with it."""

    def __init__(self, path: str | Path, line: int | None, reason: str):
        self.path, self.line, self.reason = str(path), line, reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


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
    has values of several lines each. These two are read into memory. Blank lines are dropped at the
    end only. Raises RecordError where the file can't be read, or not be split.
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
        yield from _split(path, b"".join(head) + file.read(), is_list=is_list)
    else:
        yield from _lines(file, head)


def _split(path: str | Path, data: bytes, *, is_list: bool) -> Iterator[Item[bytes]]:
    """Splits a JSON list, or values side by side.

    The parser forgives, so that each item is judged by itself.
    """
    splitter = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
    line, number, counted = 1, 0, 0
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
        cursor = _skip_space(text, text.index("[") + 1 if is_list else 0)
        more = text[cursor : cursor + 1] != "]" if is_list else cursor < len(text)
        while more:
            end = splitter.raw_decode(text, cursor)[1]
            line, number = line + text.count("\n", counted, cursor), number + 1
            counted = cursor
            yield Item(line, text[cursor:end].encode(), number)
            cursor = _skip_space(text, end)
            if is_list:
                more = text[cursor : cursor + 1] == ","
                cursor = _skip_space(text, cursor + 1) if more else cursor
            else:
                more = cursor < len(text)
        if is_list and text[cursor:].rstrip() != "]":
            raise json.JSONDecodeError("Expecting ',' or the end of the list", text, cursor)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordError(path, line, _not_utf8(error)) from None
    except json.JSONDecodeError as error:
        raise RecordError(path, error.lineno, _not_json(error)) from None
    except RecursionError:
        raise RecordError(path, None, f"item {number + 1} is nested too deeply") from None


def _skip_space(text: str, position: int) -> int:
    found = _NO_SPACE.search(text, position)
    return found.start() if found else len(text)


def parse_object(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`; raises Fault, also for a line that is too long or blank."""
    return expect(parse_json(data), dict, "the record")


def parse_json(data: bytes, max_bytes: int = MAX_LINE_BYTES) -> Any:
    """The one JSON value in `data`; raises Fault, also for a line that is too long or blank."""
    if not data.strip():
        raise Fault("blank line")
    text = decode(data, max_bytes)
    try:
        value = _STRICT.decode(text)
        # Half of a surrogate pair can only come from an escape, and could never be written again.
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip())
        hint = "; it ends too early: here a record is one line, and whole" if is_cut else ""
        raise Fault(f"{_not_json(error)}{hint}") from None
    except UnicodeEncodeError:
        raise Fault("a string holds half of a surrogate pair") from None
    except RecursionError:
        raise Fault("nested too deeply") from None
    return value


def decode(data: bytes, max_bytes: int = MAX_LINE_BYTES) -> str:
    """UTF-8 to text; raises Fault, also for a line that is too long."""
    if len(data) > max_bytes:
        raise Fault(f"longer than {max_bytes:,} bytes")
    if b"\0" in data:
        raise Fault("holds a zero byte, as UTF-16 does; save the file as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(_not_utf8(error)) from None


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at byte {error.start + 1}"


def _not_json(error: json.JSONDecodeError) -> str:
    return f"not JSON: {error.msg} at column {error.colno}"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Fault(f"key {quote(twice)} stands more than once in an object")
    return members


def _short_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise Fault(f"an integer of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Fault(f"{quote(digits)} is too large a number")
    return number


def _no_constant(name: str) -> None:
    raise Fault(f"{name} is no number in JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_short_integer,
    parse_float=_finite,
    parse_constant=_no_constant,
)
_KINDS = {str: "a string", list: "a list", dict: "an object", int: "an integer"}
_REPR = reprlib.Repr()
_REPR.maxstring = 60
_MAX_QUOTED = 120


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, of at most `_MAX_QUOTED` characters."""
    text = _REPR.repr(value)  # which shortens each part, but values in values add up
    return text if len(text) <= _MAX_QUOTED else f"{text[: _MAX_QUOTED - 3]}..."


def expect(value: Any, kind: type, what: str) -> Any:
    """`value` if it is of `kind`: str, list, dict or int, and a bool is no int; else a Fault."""
    if type(value) is not kind:
        raise Fault(f"{what} must be {_KINDS[kind]}, not {quote(value)}")
    return value


def member(record: Mapping[str, Any], name: str, kind: type) -> Any:
    """What stands under `name` in a JSON object; a Fault where it is missing or of another kind."""
    if name not in record:
        raise Fault(f"field {name!r} is missing{_instead(record, name)}")
    return expect(record[name], kind, f"field {name!r}")


def _instead(record: Mapping[str, Any], name: str) -> str:
    """What a record without that field has, which may be a list of records with it."""
    for key, value in record.items():
        if isinstance(value, list) and any(isinstance(v, dict) and name in v for v in value[:1]):
            return f"; {quote(key)} is a list of records with it: let the file be that list alone"
    return f"; there are {quote(list(record))}" if record else ""


def parse_members(
    record: Mapping[str, Any], name: str, kind: type, parse: Callable[[Any], T]
) -> list[T]:
    """What `parse` makes of each value of the list under `name`; Faults say of which it was."""
    parsed = []
    for index, value in enumerate(member(record, name, list)):
        try:
            parsed.append(parse(expect(value, kind, "it")))
        except Fault as fault:
            raise Fault(f"{name}[{index}]: {fault}") from None
    return parsed


@contextlib.contextmanager
def replacing(path: str | Path, *, through_links: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` once the block has ended without an error.

    `-` is standard output. A link stays one, and its file is replaced; without `through_links`,
    for folders that may be a stranger's, the link itself is. Raises RecordError where the file
    can't be written.
    """
    target = Path(path)
    try:
        if str(path) == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif through_links and target.exists() and not target.is_file():
            # A pipe or a device: putting a file in the place of /dev/null would break the machine.
            with target.open("wb") as file:
                yield file
        else:
            if through_links:
                target = target.resolve()
            partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
            try:
                partial.unlink(missing_ok=True)  # of a killed process, or a link
                with partial.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    except BrokenPipeError:
        raise  # the reader has seen enough, which is no error of the output
    except OSError as error:
        raise RecordError(path, None, f"cannot write: {error.strerror or error}") from None


def refuse_overwriting(sources: Iterable[str | Path], targets: Iterable[str | Path]) -> None:
    """Raises RecordError where a file to write is one to read, by whatever name, or two are one.

    `-` is standard input among the sources, and standard output among the targets.
    """
    taken = [("input", path, _stat(path, sys.stdin)) for path in sources]
    for target in targets:
        found = _stat(target, sys.stdout)
        for use, path, other in taken:
            if _is_one_file(path, other, target, found):
                raise RecordError(target, None, f"is the {use} {path} as well; name another file")
        taken.append(("output", target, found))


def _stat(path: str | Path, stream: IO | None) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        if str(path) != "-":
            return os.stat(path)
        if stream is not None:
            return os.fstat(stream.fileno())
    return None


def _is_one_file(
    path: str | Path,
    stat_of_path: os.stat_result | None,
    other: str | Path,
    stat_of_other: os.stat_result | None,
) -> bool:
    """Whether both lead to one file, or will; pipes, terminals and devices are no files."""
    if stat_of_path and stat_of_other:
        is_file = stat.S_ISREG(stat_of_path.st_mode)
        return is_file and os.path.samestat(stat_of_path, stat_of_other)
    return "-" not in (str(path), str(other)) and Path(path).resolve() == Path(other).resolve()
