"""What a file holds, by its content: how it begins, and of JSON the first records.

A format says by a function of the `Head` of a file whether it fits, and why; the name of a file
decides nothing where its content can. What fits nothing is described, so that the user sees what
was found where something else was meant.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grel.corpora.drafts import Reader
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import parse_json
from grel.files.reading import guarded, json_items, opened

_HEAD_BYTES = 1 << 16
_NUM_RECORDS = 20
_JSON = re.compile(r"\s*[{\[]")


@dataclasses.dataclass(frozen=True)
class Head:
    """What is looked at of a file.

    Attributes:
        path: the file.
        data: its first bytes, decompressed.
        records: the first values, if it is JSON, one a line, in a list or pretty-printed.
    """

    path: Path
    data: bytes
    records: Sequence[Any]

    @functools.cached_property
    def text(self) -> str:
        """The first characters, whatever they are."""
        return self.data.decode(errors="replace").removeprefix("\ufeff")

    @functools.cached_property
    def lines(self) -> list[str]:
        """The first lines that are not blank."""
        return [line for line in self.text.splitlines() if line.strip()]

    @classmethod
    def of(cls, path: str | Path) -> Head:
        """The head of a file; RecordError where it can't be read."""
        with opened(path, any_content=True) as file:
            (data,) = guarded(path, (file.read(_HEAD_BYTES) for _ in range(1)))
        records: list[Any] = []
        if _JSON.match(data.decode(errors="replace").removeprefix("\ufeff")):
            with contextlib.suppress(RecordError):
                for item in itertools.islice(json_items(path), _NUM_RECORDS):
                    with contextlib.suppress(Fault):
                        records.append(parse_json(item.data))
        return cls(Path(path), data, records)


Fits = Callable[[Head], str | None]


@dataclasses.dataclass(frozen=True)
class Format:
    """A raw format.

    Attributes:
        about: what it is, in a line.
        reader: reads a file of it.
        fits: says why a file is of it, None where it is not.
        files_of: the files that are read for a path, if not that alone.
    """

    about: str
    reader: Reader
    fits: Fits
    files_of: Callable[[str | Path], list[str]] = lambda path: [str(path)]


def has_fields(*names: str) -> Fits:
    """Fits JSON objects with all these fields; `a.b` is a `b` in each object of the list `a`.

    One of the first that has them is enough: those that lack them may be faulty. Objects whose
    lists are empty have any field in them, and count where there are no others.
    """
    outer = [name.partition(".")[0] for name in names]
    lists = [name.partition(".")[0] for name in names if "." in name]

    def fits(head: Head) -> str | None:
        records = [r for r in head.records if isinstance(r, Mapping) and r.keys() >= {*outer}]
        telling = [record for record in records if all(record[name] for name in lists)]
        if any(all(_has(record, name) for name in names) for record in telling or records):
            return f"its records have {_listed(outer)}"
        return None

    return fits


def any_of(*choices: Fits) -> Fits:
    """Fits what one of several fits."""

    def fits(head: Head) -> str | None:
        return next((why for choice in choices if (why := choice(head))), None)

    return fits


def _has(record: Mapping[str, Any], name: str) -> bool:
    first, _, rest = name.partition(".")
    if not rest:
        return first in record
    value = record.get(first)
    if isinstance(value, Mapping):
        return _has(value, rest)
    return isinstance(value, list) and all(
        isinstance(item, Mapping) and _has(item, rest) for item in value
    )


def begins(pattern: str, why: str) -> Fits:
    """Fits text that begins with what the regular expression matches, blanks aside."""
    compiled = re.compile(pattern)

    def fits(head: Head) -> str | None:
        return why if compiled.match(head.text.lstrip()) else None

    return fits


def described(head: Head) -> str:
    """What a file that no format fits looks like, in a few words."""
    if not head.text.strip():
        return "it is empty"
    if any(isinstance(record, Mapping) for record in head.records):
        record = next(record for record in head.records if isinstance(record, Mapping))
        return f"it is JSON objects with the fields {_listed([quote(name) for name in record])}"
    if head.records:
        return f"it is JSON, but not objects: {quote(head.records[0])}"
    if b"\0" in head.data or "\ufffd" in head.text[: len(head.text) // 2]:
        return f"it is no text in UTF-8 and begins with {quote(head.data[:8])}"
    if _JSON.match(head.text):
        return f"it looks like JSON, but does not parse: {quote(head.lines[0])}"
    return f"it is text that begins with {quote(head.lines[0])}"


def _listed(names: Sequence[str], most: int = 8) -> str:
    names = list(dict.fromkeys(names))
    more = [f"{len(names) - most} more"] if len(names) > most else []
    names = [*names[:most], *more]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
