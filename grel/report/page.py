"""The HTML file: everything in one, nothing fetched, nothing run but its own script.

A report shows texts that nobody vouches for, so all of them are escaped, twice guarded by the
policy of `assets`.
"""

from __future__ import annotations

import html
import json
import string
from collections.abc import Iterable, Sequence
from typing import Any

from grel.report import assets
from grel.report.figures import Plot

# `<` ends scripts and opens comments, the separators end lines in old scripts.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def page(
    title: str,
    facts: str,
    tables: Sequence[str],
    notes: Sequence[str],
    plots: Sequence[tuple[Plot, str]],
    data: dict[str, Any],
) -> str:
    """The whole file.

    Args:
        title, facts: plain texts.
        tables: HTML of the tables of scores, each made by `table`.
        notes: plain sentences on what is missing.
        plots: each with HTML of its numbers.
        data: see `content.data_block`.
    """
    style, script = assets.read("style.css"), assets.read("trace.js", "browser.js")
    return string.Template(assets.read("template.html")).substitute(
        policy=assets.policy(script, style),
        title=html.escape(title),
        facts=html.escape(facts),
        tables="".join(tables),
        notes=_list(notes),
        plots="\n".join(_figure(plot, numbers) for plot, numbers in plots),
        style=style,
        script=script,
        data=script_json(data),
    )


def script_json(data: Any) -> str:
    """JSON that is safe inside a `<script>` element: no character in it could end that element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table; the first cell of a row names it. Floats have three digits."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(name))}</th>'
        + "".join(f"<td>{html.escape(_number(cell))}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _number(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _figure(plot: Plot, numbers: str) -> str:
    details = f"<details><summary>Numbers</summary>{numbers}</details>" if numbers else ""
    return (
        f'<figure id="plot-{plot.name}"><h3>{html.escape(plot.title)}</h3>{plot.inline()}'
        f"<figcaption>{html.escape(plot.caption)}</figcaption>{details}</figure>"
    )


def _list(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes" aria-label="Notes">{items}</ul>' if notes else ""
