"""Text files that nobody vouches for: lines and JSON read strictly, files written whole or not.

What Python's own readers forgive (duplicate keys, NaN, half of a surrogate pair, a line without
end) is a mistake in a data file, so here it is an error that says where. Nothing in this module
knows what a record means.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import reprlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

MAX_LINE_BYTES = 1 << 20

T = TypeVar("T")

_LONGEST_READ = MAX_LINE_BYTES + len(b"\r\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\r\n]*")


class Fault(ValueError):
    """What is wrong with a record, told by code that does not know where the record stands."""


class RecordError(ValueError):
    """One faulty record: says which file, which line (from 1) and what is wrong with it."""

    def __init__(self, path: str | Path, line: int | None, reason: str):
        self.path, self.line, self.reason = str(path), line, reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


class Item(NamedTuple):
    """A raw record and where it stands, from 1; `number` is its place in a JSON list."""

    line: int
    data: bytes
    number: int | None = None


def numbered_lines(path: str | Path) -> Iterator[Item]:
    """Lines without their ends; `-` is standard input.

    A byte order mark is dropped, and of a line over `MAX_LINE_BYTES` all but the start, which is
    still over it. Raises RecordError where the file can't be read.
    """
    with _reading(path) as file:
        yield from _lines(file)


def json_lines(path: str | Path) -> Iterator[Item]:
    """`numbered_lines` without blank ones at the end; others are left to be found faulty."""
    return _without_blank_end(numbered_lines(path))


def json_items(path: str | Path) -> Iterator[Item]:
    """The records of a file that is one JSON list, or else its `json_lines`; none is parsed yet.

    A list is read into memory. Raises RecordError where the file can't be read, or the list not be
    split.
    """
    with _reading(path) as file:
        head = file.readline(_LONGEST_READ)
        if head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"["):
            yield from _list_items(path, head + file.read())
        else:
            yield from _without_blank_end(_lines(file, head))


@contextlib.contextmanager
def _reading(path: str | Path) -> Iterator[BinaryIO]:
    try:
        if str(path) == "-":
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                yield file
    except OSError as error:
        raise RecordError(path, None, f"cannot read: {error.strerror or error}") from None


def _lines(file: BinaryIO, head: bytes = b"") -> Iterator[Item]:
    line = 0
    while data := head or file.readline(_LONGEST_READ):
        head = b""
        line += 1
        rest = data
        while len(rest) == _LONGEST_READ and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_READ)
        if line == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        yield Item(line, data.removesuffix(b"\n").removesuffix(b"\r"))


def _without_blank_end(items: Iterator[Item]) -> Iterator[Item]:
    blank: list[Item] = []
    for item in items:
        if not item.data.strip():
            # One stands for all that follow it, or a file of line ends would fill the memory.
            blank = blank or [item]
            continue
        yield from blank
        yield item
        blank = []


def _list_items(path: str | Path, data: bytes) -> Iterator[Item]:
    """Splits a JSON list with a parser that forgives, so that each item is judged by itself."""
    splitter = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
    line, number, counted = 1, 0, 0
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
        cursor = _skip_space(text, text.index("[") + 1)
        more = text[cursor : cursor + 1] != "]"
        while more:
            end = splitter.raw_decode(text, cursor)[1]
            line, number = line + text.count("\n", counted, cursor), number + 1
            counted = cursor
            yield Item(line, text[cursor:end].encode(), number)
            cursor = _skip_space(text, end)
            more = text[cursor : cursor + 1] == ","
            if more:
                cursor = _skip_space(text, cursor + 1)
        if text[cursor:].rstrip() != "]":
            raise json.JSONDecodeError("Expecting ',' or the end of the list", text, cursor)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordError(path, line, _not_utf8(error)) from None
    except json.JSONDecodeError as error:
        raise RecordError(path, error.lineno, _not_json(error)) from None
    except RecursionError:
        raise RecordError(path, None, f"item {number + 1} is nested too deeply") from None


def _skip_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()


def parse_object(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`; raises Fault, also for a line that is too long or blank."""
    if len(data) > MAX_LINE_BYTES:
        raise Fault(f"longer than {MAX_LINE_BYTES:,} bytes")
    if not data.strip():
        raise Fault("blank line")
    try:
        value = _STRICT.decode(decode(data))
        # Half of a surrogate pair can only come from an escape, and could never be written again.
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise Fault(_not_json(error)) from None
    except UnicodeEncodeError:
        raise Fault("a string holds half of a surrogate pair") from None
    except RecursionError:
        raise Fault("nested too deeply") from None
    return expect(value, dict, "the record")


def decode(data: bytes) -> str:
    """UTF-8 to text; raises Fault."""
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
    if len(digits) > 18:
        raise Fault(f"an integer of {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> None:
    raise Fault(f"{name} is no number in JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=_short_integer, parse_constant=_no_constant
)
_KINDS = {str: "a string", list: "a list", dict: "an object", int: "an integer"}
_REPR = reprlib.Repr()
_REPR.maxstring = 60


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, and short."""
    return _REPR.repr(value)


def expect(value: Any, kind: type, what: str) -> Any:
    """`value` if it is of `kind`: str, list, dict or int, and a bool is no int; else a Fault."""
    if type(value) is not kind:
        raise Fault(f"{what} must be {_KINDS[kind]}, not {quote(value)}")
    return value


def member(record: dict[str, Any], name: str, kind: type) -> Any:
    """What stands under `name` in a JSON object; a Fault where it is missing or of another kind."""
    if name not in record:
        raise Fault(f"field {name!r} is missing")
    return expect(record[name], kind, f"field {name!r}")


def parse_members(
    record: dict[str, Any], name: str, kind: type, parse: Callable[[Any], T]
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
                with partial.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(path, None, f"cannot write: {error.strerror or error}") from None
