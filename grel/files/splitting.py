"""Values of JSON in a file: the items of a list, or side by side, split as the file is read.

Only what is being split is in memory, so that a file may be of any size, and a value that goes on
without end is an error.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from grel.files.faults import Fault, RecordError
from grel.files.parsing import MAX_LINE_BYTES, not_json, not_utf8

_NO_SPACE = re.compile(r"[^ \t\r\n]")
_ENDLESS = (
    f"longer than {MAX_LINE_BYTES:,} bytes; let the file have one record a line, or be a list of "
    "records alone"
)


def values(
    path: str | Path, chunks: Iterable[bytes], *, is_list: bool
) -> Iterator[tuple[int, bytes, int]]:
    """Line, bytes and number of the items of a JSON list, or of values side by side.

    The parser forgives, so that each one is judged by itself. Raises RecordError where the file
    can't be split, as where one goes on over `MAX_LINE_BYTES`.
    """
    splitter = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
    window, number = _Window(_decoded(path, chunks)), 0
    try:
        more = window.peek() != ""
        if is_list:
            more = window.peek(skipped=1) != "]"
        while more:
            number += 1
            end = window.end_of_value(splitter)
            yield window.line, window.text[window.at : end].encode(), number
            following = window.peek(skipped=end - window.at)
            more = following == "," if is_list else following != ""
            if is_list and more:
                window.peek(skipped=1)
        if is_list:
            error = window.error("Expecting ',' or the end of the list", window.at)
            if window.peek() != "]" or window.peek(skipped=1):
                raise error
    except Fault as fault:
        raise RecordError(path, window.line, f"item {number}: {fault}") from None
    except json.JSONDecodeError as error:
        raise RecordError(path, error.lineno, not_json(error)) from None
    except RecursionError:
        raise RecordError(path, None, f"item {number} is nested too deeply") from None


def _decoded(path: str | Path, chunks: Iterable[bytes]) -> Iterator[str]:
    """The text of a file, without a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, size = 1, 0
    for data in itertools.chain(chunks, [b""]):
        kept = len(decoder.getstate()[0])  # of a character that the chunk before did not end
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise RecordError(path, line, not_utf8(error, size - kept)) from None
        yield text if size else text.removeprefix("\ufeff")
        line, size = line + text.count("\n"), size + len(data)


class _Window:
    """The part of a text that is in memory: from a place on, as far as it was read.

    Attributes:
        text: the part.
        at: the place, in the part.
        line: of the place, from 1.
    """

    def __init__(self, chunks: Iterator[str]):
        self.text, self.at, self.line = "", 0, 1
        self._column = 0  # characters of the first line that stand before the part
        self._chunks = chunks

    def peek(self, skipped: int = 0) -> str:
        """The next character that is no blank, which becomes the place; empty at the end."""
        self._move_to(self.at + skipped)
        while (found := _NO_SPACE.search(self.text, self.at)) is None:
            self._move_to(len(self.text))
            if not self._grow():
                return ""
        self._move_to(found.start())
        return found[0]

    def end_of_value(self, parser: json.JSONDecoder) -> int:
        """Where the JSON value ends that is at the place.

        Raises JSONDecodeError, as `error` gives it, or Fault where it is too long.
        """
        while True:
            may_grow = len(self.text) - self.at <= MAX_LINE_BYTES
            try:
                end = parser.raw_decode(self.text, self.at)[1]
            except json.JSONDecodeError as error:
                if may_grow and self._grow():
                    continue
                is_cut = error.pos - self.at > MAX_LINE_BYTES or "Unterminated" in error.msg
                if is_cut and not may_grow:
                    raise Fault(_ENDLESS) from None
                raise self.error(error.msg, error.pos) from None
            # A number may go on behind the part, as 1 in 1.5 and in 1e-5.
            if len(self.text) - end > 2 or not may_grow or not self._grow():
                return end

    def error(self, reason: str, at: int) -> json.JSONDecodeError:
        """The error of a place in the part, with line and column of the whole."""
        error = json.JSONDecodeError(reason, self.text, at)
        if error.lineno == 1:
            error.colno += self._column
        error.lineno = self.line + self.text.count("\n", self.at, at)
        return error

    def _move_to(self, at: int) -> None:
        self.line, self.at = self.line + self.text.count("\n", self.at, at), at

    def _grow(self) -> bool:
        """Lets go of what is before the place and reads on; False at the end.

        As much again is read as there is, so that a long value is not parsed once a chunk.
        """
        rest, more, size = self.text[self.at :], [], 0
        while size <= len(rest) and (chunk := next(self._chunks, None)) is not None:
            more.append(chunk)
            size += len(chunk)
        if not more:
            return False
        begun = self.text.rfind("\n", 0, self.at) + 1
        self._column = self.at - begun + (0 if begun else self._column)
        self.text, self.at = "".join([rest, *more]), 0
        return True
