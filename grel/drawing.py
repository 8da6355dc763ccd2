"""A text with heads and tails marked, its triples as a graph and as a table: HTML for notebooks.

It is one piece without scripts, style sheets and ids, so that many of them can stand in one page
and none changes another. Colors let the page's own shine through, be it light or dark. Texts are
nobody's to vouch for: all of them are escaped.
"""

from __future__ import annotations

import html
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Span = tuple[int, int]
Piece = tuple[str, tuple[int, ...]]

MAX_NAMES = 40
MAX_ROWS = 200
_HEAD, _TAIL = "rgba(31,111,235,.3)", "rgba(212,115,12,.35)"
# By the roles of a piece of text: of a head, of a tail, of both.
_BACKGROUNDS = {
    (0,): _HEAD,
    (1,): _TAIL,
    (0, 1): f"linear-gradient({_HEAD} 50%,{_TAIL} 50%)",
}
_WIDTH, _HEIGHT, _DOT = 720, 440, 6


class Edge(NamedTuple):
    """A triple to be drawn, with all places to be marked of its head and of its tail."""

    head: str
    relation: str
    tail: str
    score: float | None = None
    places: tuple[Sequence[Span], Sequence[Span]] = ((), ())


def drawing(text: str, edges: Sequence[Edge]) -> str:
    """The text and, where there are triples, graph and table."""
    parts = [_text(text, edges)] + ([_graph(edges), _table(edges)] if edges else [])
    # Half of a surrogate pair has no encoding, in which a notebook could be saved.
    return f"<div>{''.join(parts)}</div>".encode(errors="replace").decode()


def pieces(text: str, spans: Iterable[tuple[Span, int]]) -> list[Piece]:
    """Cuts a text at the ends of all spans; each piece has the marks of the spans that cover it.

    Spans may overlap, nest and repeat: pieces never do, so they can be shown one after the other.

    Example: `New York City` with (0, 13) marked 0 and (4, 8) marked 1 becomes
    `("New ", (0,)), ("York", (0, 1)), (" City", (0,))`.
    """
    spans = list(spans)
    cuts = sorted({0, len(text)}.union(*(span for span, _ in spans)))
    return [
        (text[start:end], tuple(sorted({m for (a, b), m in spans if a <= start and end <= b})))
        for start, end in itertools.pairwise(cuts)
    ]


def marked(text: str, places: Iterable[tuple[Sequence[Span], Sequence[Span]]]) -> list[Piece]:
    """The text in pieces; triple i marks the places of its head 2 * i, of its tail 2 * i + 1."""
    marks = enumerate(spans for of_triple in places for spans in of_triple)
    return pieces(text, ((span, mark) for mark, spans in marks for span in spans))


def _text(text: str, edges: Sequence[Edge]) -> str:
    content = []
    for piece, marks in marked(text, (edge.places for edge in edges)):
        shown = html.escape(piece)
        if marks:
            roles = dict.fromkeys((mark % 2, edges[mark // 2].relation) for mark in marks)
            title = "; ".join(f"{('head', 'tail')[role]} of {name}" for role, name in roles)
            background = _BACKGROUNDS[tuple(sorted({role for role, _ in roles}))]
            shown = (
                f'<mark title="{html.escape(title)}" style="color:inherit;border-radius:2px;'
                f'background:{background}">{shown}</mark>'
            )
        content.append(shown)
    style = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7;text-align:start"
    return f'<p dir="auto" style="{style}">{"".join(content)}</p>'


class _Place(NamedTuple):
    x: float
    y: float


def _graph(edges: Sequence[Edge]) -> str:
    """Names on an ellipse, relations as arrows between them."""
    names = list(dict.fromkeys(name for edge in edges for name in (edge.head, edge.tail)))
    places = _places(names[:MAX_NAMES])
    seen: Counter[tuple[str, str]] = Counter()
    arrows = []
    for edge in edges:
        pair = edge.head, edge.tail
        if all(name in places for name in pair):
            arrows.append(_arrow(edge, places, seen[pair]))
            seen[pair] += 1
    label = f"Graph of {len(names)} names; the table says the same"
    more = len(names) - len(places)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" '
        f'style="display:block;width:100%;max-width:{_WIDTH}px;font:13px sans-serif">'
        + "".join(arrows)
        + "".join(_node(name, place) for name, place in places.items())
        + "</svg>"
        + (f"<p>{more} more names are in the table.</p>" if more else "")
    )


def _places(names: Sequence[str]) -> dict[str, _Place]:
    reach = (200, 150) if len(names) > 1 else (0, 0)
    angles = (math.pi + 2 * math.pi * index / len(names) for index in range(len(names)))
    return {
        name: _Place(
            _WIDTH / 2 + reach[0] * math.cos(angle), _HEIGHT / 2 + reach[1] * math.sin(angle)
        )
        for name, angle in zip(names, angles, strict=True)
    }


def _node(name: str, place: _Place) -> str:
    side = round(place.x) - _WIDTH // 2
    x, anchor = place.x, "middle"
    y = place.y + (-12 if place.y < _HEIGHT / 2 else 22)
    if side:
        x, y = place.x + math.copysign(12, side), place.y + 4
        anchor = "start" if side > 0 else "end"
    return (
        f"<g><title>{html.escape(name)}</title>"
        f'<circle cx="{place.x:.1f}" cy="{place.y:.1f}" r="{_DOT}" fill="rgb(31,111,235)"/>'
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"{html.escape(_short(name, 22))}</text></g>"
    )


def _arrow(edge: Edge, places: Mapping[str, _Place], nth: int) -> str:
    """An arrow with its label; `nth` of those between the same names."""
    start, end = places[edge.head], places[edge.tail]
    if start == end:
        reach = 50 + 26 * nth
        control = _Place(end.x + reach, end.y - reach)
        line = f"C {start.x - reach:.1f} {start.y - reach:.1f} {control.x:.1f} {control.y:.1f}"
        label = _Place(start.x, start.y - 0.78 * reach)
    else:
        dx, dy = end.x - start.x, end.y - start.y
        length = math.hypot(dx, dy)
        # To its left, seen from its beginning: arrows there and back keep apart.
        across = _Place(dy / length, -dx / length)
        bend = 46 * (nth + 0.5)
        middle = _Place((start.x + end.x) / 2, (start.y + end.y) / 2)
        control = _Place(middle.x + bend * across.x, middle.y + bend * across.y)
        line = f"Q {control.x:.1f} {control.y:.1f}"
        # Beside the middle of the arrow, on its outer side.
        label = _Place(
            middle.x + (bend / 2 + 9) * across.x, middle.y + (bend / 2 + 9) * across.y + 4
        )
    title = f"{edge.head} — {edge.relation} → {edge.tail}"
    relation = edge.relation.rpartition("/")[2] or edge.relation
    return (
        f"<g><title>{html.escape(title)}</title>"
        f'<path d="M {start.x:.1f} {start.y:.1f} {line} {end.x:.1f} {end.y:.1f}" fill="none" '
        f'stroke="currentColor" stroke-opacity=".5" stroke-width="1.5"/>{_tip(control, end)}'
        f'<text x="{label.x:.1f}" y="{label.y:.1f}" text-anchor="middle" font-size="11" '
        f'fill="currentColor" fill-opacity=".75">{html.escape(_short(relation, 26))}</text></g>'
    )


def _tip(control: _Place, end: _Place) -> str:
    """The tip of an arrow that comes from `control`, at the edge of the dot at `end`."""
    length = math.hypot(end.x - control.x, end.y - control.y)
    ux, uy = (end.x - control.x) / length, (end.y - control.y) / length
    corners = [(_DOT, 0), (_DOT + 11, 5), (_DOT + 11, -5)]
    points = (f"{end.x - b * ux - s * uy:.1f},{end.y - b * uy + s * ux:.1f}" for b, s in corners)
    return f'<polygon points="{" ".join(points)}" fill="currentColor" fill-opacity=".5"/>'


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _table(edges: Sequence[Edge]) -> str:
    rows = [_row("th", ("head", "relation", "tail", "score"))]
    for edge in edges[:MAX_ROWS]:
        score = "" if edge.score is None else f"{edge.score:.3f}"
        rows.append(_row("td", (edge.head, edge.relation, edge.tail, score)))
    more = len(edges) - MAX_ROWS
    note = f"<p>{more} more triples are not shown.</p>" if more > 0 else ""
    body = "".join(rows)
    return f'<table style="color:inherit">{body}</table>{note}'


def _row(tag: str, cells: Sequence[str]) -> str:
    shown = (f'<{tag} style="text-align:start">{html.escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{''.join(shown)}</tr>"
