"""What is wrong with a file from outside, told by whoever finds it, in one line."""

from __future__ import annotations

import reprlib
from pathlib import Path

from grel.errors import UserError

_REPR = reprlib.Repr()
_REPR.maxstring = 60
_MAX_QUOTED = 120


class Fault(ValueError):
    """What is wrong with a record, told by code that does not know where the record stands."""


class RecordError(UserError):
    """One faulty record: says which file, which line (from 1) and what is wrong with it."""

    def __init__(self, path: str | Path, line: int | None, reason: str):
        self.path, self.line, self.reason = str(path), line, reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, of at most `_MAX_QUOTED` characters."""
    text = _REPR.repr(value)  # which shortens each part, but values in values add up
    return text if len(text) <= _MAX_QUOTED else f"{text[: _MAX_QUOTED - 3]}..."
