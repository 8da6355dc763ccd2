"""A table, CSV, with a triple a row; spreadsheets and Neo4j's `LOAD CSV WITH HEADERS` read it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from grel.corpora.readers.tables import COLUMNS
from grel.corpora.writers.shapes import (
    UNTYPED,
    Loss,
    OnLoss,
    file_writer,
    keeps_type,
    typed_entities,
)
from grel.records import Document, Span, Triple


def _table() -> Callable[[Document, OnLoss], str]:
    is_first = True

    def render(document: Document, on_loss: OnLoss) -> str:
        nonlocal is_first
        text = io.StringIO(newline="")
        # With these ends of lines, those of RFC 4180, a cell that has either of both is quoted.
        table = csv.DictWriter(text, list(COLUMNS), restval="", lineterminator="\r\n")
        if is_first:
            table.writeheader()
            is_first = False
        table.writerows(_rows(document, on_loss))
        return text.getvalue()

    return render


write = file_writer(_table)


def _rows(document: Document, on_loss: OnLoss) -> list[dict[str, object]]:
    types: dict[tuple[str, Span | None], str] = {}
    for entity in typed_entities(document, on_loss):
        if not keeps_type(types, (entity.text, entity.span), entity.type):
            on_loss(Loss.TYPE, document.id)
    told: set[tuple[str, Span | None]] = set()

    def end(name: str, entity: str, span: Span | None) -> dict[str, object]:
        told.add((entity, span))
        type = types.get((entity, span), UNTYPED)
        cells: dict[str, object] = {} if type == UNTYPED else {f"{name}_type": type}
        if span is not None:
            cells |= {f"{name}_start": span[0], f"{name}_end": span[1]}
        return cells

    def row(triple: Triple) -> dict[str, object]:
        score = {} if triple.score is None else {"score": repr(triple.score)}
        return {
            **{name: getattr(triple, name) for name in ("head", "relation", "tail")},
            **end("head", triple.head, triple.head_span),
            **end("tail", triple.tail, triple.tail_span),
            **score,
        }

    rows = [row(triple) for triple in document.triples] or [{}]
    for _ in types.keys() - told:
        on_loss(Loss.UNLINKED, document.id)
    return [{"id": document.id, "text": document.text, **cells} for cells in rows]
