"""One record from outside: its text, its JSON and the fields of that, read strictly.

What Python's own reader forgives (duplicate keys, NaN, half of a surrogate pair) is a mistake in a
data file, so here it is a Fault. Nothing here knows what a record means, or where it stands.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from grel.files.faults import Fault, quote

MAX_LINE_BYTES = 1 << 24
T = TypeVar("T")

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_DIGITS = 64


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
        raise Fault(f"{not_json(error)}{hint}") from None
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
        raise Fault(not_utf8(error)) from None


def not_utf8(error: UnicodeDecodeError, before: int = 0) -> str:
    """Says which byte is none of a text, of which so many bytes stand before the faulty part."""
    byte, place = error.object[error.start], before + error.start + 1
    return f"not UTF-8: byte 0x{byte:02x} at byte {place}"


def not_json(error: json.JSONDecodeError) -> str:
    """Says where the JSON breaks off."""
    return f"not JSON: {error.msg} at column {error.colno}"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Fault(f"key {quote(key)} stands more than once in an object")
            seen.add(key)
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
