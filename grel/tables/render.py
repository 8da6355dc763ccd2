"""A table, and its three forms: Markdown to read, CSV to plot, JSON to compute with.

Values stay numbers until they are written, and only Markdown rounds them, so that the three forms
never disagree.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Sequence

Cell = str | int | float | None

# Underscores inside of a word are no markup. A number that begins a list, and what ends a heading.
_UNDERSCORES = re.compile(r"(?<!\w)_+|_+(?!\w)")
_NUMBER = re.compile(r"\A([0-9]+)([.)])(?= |\Z)")
_END = re.compile(r"(?<= )#+\Z")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        name: short, as a file name.
        title: a line that says what is counted.
        columns: a row has a cell for each; a cell is None where a value is not known.
        notes: what must be known to read it, a sentence each.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Cell]]:
        """The rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def to_markdown(tables: Iterable[Table]) -> str:
    """Tables under headings, numbers aligned to the right, fractions to three digits."""
    return "\n".join(_markdown(table) for table in tables)


def to_csv(table: Table) -> str:
    """The table without its title and notes; unknown values are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return file.getvalue()


def to_json(tables: Iterable[Table]) -> str:
    """An object of tables by name, each with `title`, `notes` and `rows` (objects)."""
    found = {
        table.name: {"title": table.title, "notes": table.notes, "rows": table.records()}
        for table in tables
    }
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """The table alone, in Markdown; text in cells can't break out of them."""
    right = [
        any(isinstance(row[i], int | float) for row in rows)
        and not any(isinstance(row[i], str) for row in rows)
        for i in range(len(columns))
    ]
    lines = [columns, ["---:" if is_right else "---" for is_right in right]]
    lines += [list(map(_cell, row)) for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, no HTML, no end of a cell."""
    shown = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    shown = "".join(f"\\{char}" if char in "\\`*[]|~" else char for char in shown)
    shown = _UNDERSCORES.sub(lambda found: "\\_" * len(found[0]), shown)
    shown = _END.sub(r"\\\g<0>", _NUMBER.sub(r"\1\\\2", shown))
    return f"\\{shown}" if shown.startswith(("#", ">", "-", "+", "=")) else shown


def _markdown(table: Table) -> str:
    notes = "".join(f"\n{plain(note)}\n" for note in table.notes)
    return f"## {plain(table.title)}\n\n{markdown_rows(table.columns, table.rows)}{notes}"


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else plain(value)
