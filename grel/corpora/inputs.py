"""What a user points at, a file or a folder of files, and the format that it is in.

A folder is read as one corpus: all files in it that are of the format, in the order of their names;
the others are told. Links out of the folder are not followed.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Unpack

from grel.corpora.drafts import Note, Options
from grel.corpora.formats import FORMATS
from grel.corpora.recognition import Head, described
from grel.errors import UsageError, UserError
from grel.files.faults import RecordError, quote
from grel.records import Document

AUTO = "auto"


class InputError(UserError):
    """An input that is of no format, or of several: says what it looks like, and the remedy."""


class Source(NamedTuple):
    """What a reader is given, and where it lies in the folder that was asked for, if in one."""

    path: str
    name: str | None = None


@dataclasses.dataclass(frozen=True)
class Input:
    """A corpus as it was found.

    Attributes:
        format: its name.
        why: what it was recognised by; empty where the user said it.
        sources: what is read, one after the other.
        others: files of the folder that are not read.
    """

    format: str
    why: str
    sources: tuple[Source, ...]
    others: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """All files that are read."""
        files_of = FORMATS[self.format].files_of
        return [file for source in self.sources for file in files_of(source.path)]

    def read(self, **options: Unpack[Options]) -> Iterator[Document]:
        """The documents; `options` are those of `drafts.Reader`.

        Ids that a folder's files do not have begin with the file's place in the folder, and notes
        name it. An id that two files have is an error at its second place.
        """
        reader = FORMATS[self.format].reader
        stems = collections.Counter(_stem(name) for _, name in self.sources if name is not None)
        file_of_id: dict[str, str] = {}
        for path, name in self.sources:
            if name is None:
                yield from reader(path, **options)
                continue
            # Files that differ in their endings only are told apart by these.
            stem = _stem(name) if stems[_stem(name)] == 1 else name
            for document in reader(path, **_inside(options, name, stem)):
                first = file_of_id.setdefault(document.id, name)
                if first == name:
                    yield document
                    continue
                error = RecordError(path, None, f"id {quote(document.id)} is in {first} already")
                on_error = options.get("on_error")
                if on_error is None:
                    raise error
                on_error(error)


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))


def _inside(options: Options, name: str, stem: str) -> Options:
    """The options for a file in a folder."""
    on_note = options.get("on_note")

    def note_of_file(note: Note) -> None:
        if on_note is not None:
            on_note(note._replace(file=name))

    return {**options, "on_note": note_of_file, "stem": stem}


def find(path: str, format: str = AUTO) -> Input:
    """The corpus at a path, in the format named or the one that it is recognised as.

    Raises:
      UsageError: for standard input without a format, as it can be read only once.
      InputError: if it is of no format, or its files are of several.
      RecordError: if it can't be read.
    """
    if Path(path).is_dir():
        return _find_in_folder(Path(path), format)
    if format != AUTO:
        return Input(format, "", (Source(path),))
    if path == "-":
        raise UsageError("--input=-: standard input can be read only once; say its --format")
    for name, known in FORMATS.items() if not Path(path).exists() else ():
        files = known.files_of(path)
        if all(Path(file).is_file() for file in files):
            return Input(name, f"there is {Path(files[0]).name}", (Source(path),))
    head = Head.of(path)
    if (recognised := _recognise(head)) is None:
        raise InputError(
            f"{path}: no format fits it: {described(head)}; the formats are "
            f"{', '.join(FORMATS)}; if it is one of them, say --format=NAME, and see --help"
        )
    return Input(*recognised, (Source(path),))


def _recognise(head: Head, format: str = AUTO) -> tuple[str, str] | None:
    """The first format that fits, and why."""
    for name in FORMATS if format == AUTO else (format,):
        if why := FORMATS[name].fits(head):
            return name, why
    return None


def _find_in_folder(folder: Path, format: str) -> Input:
    found: dict[str, dict[str, Source]] = collections.defaultdict(dict)
    reasons, others = {}, []
    for file in _files(folder):
        name = str(file.relative_to(folder))
        if not file.resolve().is_relative_to(folder.resolve()):
            others.append(f"{name} (a link out of the folder)")
            continue
        if (recognised := _recognise(Head.of(file), format)) is None:
            others.append(name)
            continue
        kind, reasons[kind] = recognised
        first, *_ = FORMATS[kind].files_of(file)
        found[kind].setdefault(first, Source(str(file), name))
    if not found:
        wanted = "of a format" if format == AUTO else f"in the format {format!r}"
        there = f"there are {quote(sorted(others))}" if others else "it is empty"
        raise InputError(
            f"{folder}: no file in it is {wanted}: {there}; the formats are {', '.join(FORMATS)}"
        )
    if len(found) > 1:
        counts = ", ".join(f"{len(files)} in {kind}" for kind, files in found.items())
        raise InputError(f"{folder}: files of several formats: {counts}; say --format=NAME")
    ((kind, sources),) = found.items()
    why = reasons[kind] if format == AUTO else ""
    return Input(kind, why, tuple(sources.values()), tuple(others))


def _files(folder: Path) -> list[Path]:
    """The files of a folder and those below it, hidden ones aside, in the order of their names."""
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if file.is_file())
