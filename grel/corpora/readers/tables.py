"""Tables with named columns, a triple a row: CSV, TSV, or with semicolons.

The columns may stand in any order, be called as `COLUMNS` says, and be among others. Rows of one
text, and id where there is one, are one document; a row without head, relation and tail is a text
that has none.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from grel.corpora.drafts import Draft, Entity, Options
from grel.corpora.readers.shapes import finite, read_rows
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import MAX_LINE_BYTES
from grel.files.reading import Item, guarded, opened
from grel.records import Document, Span, Triple

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "doc_id", "document"),
    "text": ("text", "sentence", "context"),
    "head": ("head", "subject", "subj", "entity1", "e1"),
    "relation": ("relation", "predicate", "rel", "label"),
    "tail": ("tail", "object", "obj", "entity2", "e2"),
    "head_start": ("head_start",),
    "head_end": ("head_end",),
    "tail_start": ("tail_start",),
    "tail_end": ("tail_end",),
    "head_type": ("head_type", "subject_type", "subj_type"),
    "tail_type": ("tail_type", "object_type", "obj_type"),
    "score": ("score",),
}
_NEEDED = ("text", "head", "relation", "tail")
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons"}


class _Row(NamedTuple):
    """The cells of the columns that are known, and how many cells stand under how many columns."""

    cells: Mapping[str, str]
    num_cells: int
    num_columns: int


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Where the columns stand that are known; the first of several with one meaning counts."""
    names = [name.strip().casefold() for name in header]
    found = {}
    for column, choices in COLUMNS.items():
        places = [names.index(choice) for choice in choices if choice in names]
        if places:
            found[column] = places[0]
    return found


def delimiter_of(header: str) -> str | None:
    """What stands between the columns, None where those needed are not there."""
    for delimiter in _DELIMITERS:
        try:
            names = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        if columns_of(names).keys() >= set(_NEEDED):
            return delimiter
    return None


def described(delimiter: str) -> str:
    """What a table with that delimiter is recognised by."""
    return (
        f"its first line names the columns {', '.join(_NEEDED)}, between {_DELIMITERS[delimiter]}"
    )


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """The documents of a table."""
    return read_rows(path, _rows(path), lambda item: _draft(item.data), **options)


def _rows(path: str | Path) -> Iterator[Item[_Row]]:
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        yield from guarded(path, _items(path, text))


def _items(path: str | Path, text: io.TextIOWrapper) -> Iterator[Item[_Row]]:
    try:
        header = text.readline(MAX_LINE_BYTES)
    except UnicodeDecodeError as error:
        raise RecordError(path, 1, _not_utf8(error)) from None
    if (delimiter := delimiter_of(header)) is None:
        reason = f"the first line must name columns {', '.join(_NEEDED)}, not {quote(header)}"
        raise RecordError(path, 1, reason)
    names = next(csv.reader([header], delimiter=delimiter))
    columns = columns_of(names)
    before = csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    line = 2
    try:
        for row in rows:
            # What a row lacks at its end is empty, and what is empty there is nothing.
            while len(row) > len(names) and not row[-1].strip():
                row.pop()
            cells = {name: row[n] if n < len(row) else "" for name, n in columns.items()}
            if row:
                yield Item(line, _Row(cells, len(row), len(names)))
            line = rows.line_num + 2
    except csv.Error as error:
        raise RecordError(path, line, f"not a table: {error}") from None
    except UnicodeDecodeError as error:
        raise RecordError(path, line, _not_utf8(error)) from None
    finally:
        csv.field_size_limit(before)


def _not_utf8(error: UnicodeDecodeError) -> str:
    # The file is decoded in pieces, of which the line is only one.
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} in it or close behind"


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    for line in iter(lambda: text.readline(MAX_LINE_BYTES), ""):
        if len(line) == MAX_LINE_BYTES:
            raise csv.Error(f"a line longer than {MAX_LINE_BYTES:,} characters")
        yield line


def _draft(row: _Row) -> Draft:
    cells, num_cells, num_columns = row
    if num_cells > num_columns:
        wanted = "a cell with the delimiter in it needs quotation marks"
        raise Fault(f"{num_cells} cells under {num_columns} columns; {wanted}")
    id = cells.get("id") or None
    names = ("head", "relation", "tail")
    empty = [name for name in names if not cells[name].strip()]
    if len(empty) == len(names):
        return Draft(cells["text"], [], id)
    if empty:
        raise Fault(f"column {empty[0]!r} is empty, and others are not")
    spans = {end: _span(cells, end) for end in ("head", "tail")}
    head, relation, tail = (cells[name] for name in names)
    triple = Triple(head, relation, tail, spans["head"], spans["tail"])
    if score := cells.get("score", "").strip():
        triple = dataclasses.replace(triple, score=finite(score))
    entities = [
        Entity(cells[end], cells[f"{end}_type"], spans[end])
        for end in ("head", "tail")
        if cells.get(f"{end}_type", "").strip()
    ]
    return Draft(cells["text"], [triple], id, entities=entities)


def _span(cells: Mapping[str, str], end: str) -> Span | None:
    offsets = [cells.get(f"{end}_{place}", "").strip() for place in ("start", "end")]
    if not any(offsets):
        return None
    if not all(offset.isascii() and offset.isdigit() and len(offset) < 10 for offset in offsets):
        raise Fault(f"{end}_start and {end}_end must be two numbers, not {quote(offsets)}")
    return int(offsets[0]), int(offsets[1])
