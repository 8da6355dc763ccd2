"""Extractions: what a writer wrote for a document, read, merged over windows, and told.

Nothing here needs a model, so that outputs can be merged and tested anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from grel.families.writer import Encoding, Tally, Writer
from grel.names import locate
from grel.records import Document, Span, Triple

# What is told of a record beside its triples, by the count of the tally that it comes from.
REMARKS = {"truncated": "cut", "windowed": "windowed", "unknown_tokens": "unknown_tokens"}


class Part(NamedTuple):
    """A document as the model read it, or a window of it, and what was written."""

    encoding: Encoding
    output: Any


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What became of one document.

    Attributes:
        document: the document with its extracted triples.
        tally: what went wrong with it; `tally.cut` is 1 where the model saw only its beginning.
        parts: the outputs it was made from: one, one a window, or none for a text of no wordpieces.
    """

    document: Document
    tally: Tally
    parts: tuple[Part, ...]


def read_document(
    document: Document,
    parts: Sequence[Part],
    writer: Writer,
    *,
    min_score: float = 0.0,
    num_unknown: int = 0,
    known: Sequence[Triple] = (),
) -> Extraction:
    """The document with the triples that its parts say, each once, and what went wrong.

    Of triples with the same names and relation, from one window or several, the `likeliest` stays
    (windows share the sentences they overlap in). All places of its names in the whole text go with
    it. Triples with a score below `min_score` are dropped and counted; one without a score passes 0
    alone. `num_unknown` is told of the whole text, and `known` triples of it are written beside
    those of its parts.
    """
    written: list[Triple] = []
    tally = Tally()
    for part in parts:
        triples, told = writer.read(document.text, part.encoding, part.output)
        tally += told
        written += triples
    found = likeliest([*written, *known])
    kept = [triple for triple in found if _score(triple) >= min_score]
    tally = dataclasses.replace(
        tally,
        unended=int(tally.unended > 0),
        cut=int(tally.cut > 0),
        windowed=int(len(parts) > 1),
        below_min_score=len(found) - len(kept),
        unknown_tokens=num_unknown,
        remembered=len(found) - len({triple.key for triple in written}),
    )
    placed = tuple(with_all_places(document.text, kept))
    return Extraction(dataclasses.replace(document, triples=placed), tally, tuple(parts))


def likeliest(triples: Iterable[Triple]) -> list[Triple]:
    """Of triples with the same names and relation that with the highest score, or the first."""
    best: dict[tuple[str, str, str], Triple] = {}
    for triple in triples:
        key = triple.key
        if key not in best or _score(triple) > _score(best[key]):
            best[key] = triple
    return list(best.values())


def at_least(extraction: Extraction, min_score: float) -> Extraction:
    """An extraction that was made with a lower `min_score`, as it would be with this one."""
    triples = extraction.document.triples
    kept = tuple(triple for triple in triples if _score(triple) >= min_score)
    dropped = Tally(below_min_score=len(triples) - len(kept))
    return dataclasses.replace(
        extraction,
        document=dataclasses.replace(extraction.document, triples=kept),
        tally=extraction.tally + dropped,
    )


def as_record(extraction: Extraction) -> Document:
    """The document with what is told of it beside its triples as further fields of its record."""
    document, tally = extraction.document, extraction.tally
    remarks = {
        name: count if name == "unknown_tokens" else True
        for name, counted in REMARKS.items()
        if (count := getattr(tally, counted))
    }
    return dataclasses.replace(document, other={**document.other, **remarks})


def without_places(document: Document) -> Document:
    """The document without `head_spans` and `tail_spans`; the entities meant keep their places."""
    triples = (
        dataclasses.replace(triple, head_spans=(), tail_spans=()) for triple in document.triples
    )
    return dataclasses.replace(document, triples=tuple(triples))


def _score(triple: Triple) -> float:
    return triple.score or 0.0


def with_all_places(text: str, triples: Iterable[Triple]) -> Iterable[Triple]:
    """The triples with all places of their names, that of the entity meant first."""
    places: dict[str, tuple[Span, ...]] = {}

    def spans(name: str, chosen: Span | None) -> tuple[Span, ...]:
        if chosen is None:
            return ()
        if name not in places:
            found = locate(text, name)
            places[name] = tuple(span for span in found if text[slice(*span)] == name)
        alike = places[name]
        # A whole word elsewhere, which other wordpieces or windows hold, is better than a part.
        first = chosen if chosen in alike or not alike else alike[0]
        return first, *(span for span in alike if span != first)

    for triple in triples:
        head_spans = spans(triple.head, triple.head_span)
        tail_spans = spans(triple.tail, triple.tail_span)
        yield dataclasses.replace(
            triple,
            head_span=next(iter(head_spans), None),
            tail_span=next(iter(tail_spans), None),
            head_spans=head_spans,
            tail_spans=tail_spans,
        )
