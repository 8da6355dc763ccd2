"""Outputs: from wordpieces that were written to triples with names, places and scores.

Names are never taken from the vocabulary where they can be taken from the text: wordpieces that
stand in the source are looked up there and cut out by their character offsets, so that casing,
accents and spacing are those of the sentence. Nothing here needs a model, so that outputs can be
read, merged and tested anywhere.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from grel import bio, linearize, records
from grel.records import Document, Span, Triple

if TYPE_CHECKING:
    from grel.decoding.driver import Written
    from grel.wordpiece import Encoding, Wordpiece


@dataclasses.dataclass(frozen=True)
class Tally:
    """What there is to know about outputs beside their triples; add them up over documents.

    Attributes:
        malformed: pieces of the output that were no triple.
        unknown_relation: triples dropped because their relation is not in the schema.
        not_in_text: entities written that do not stand in the sentence.
        unended: documents whose output was still going on at the longest length.
        cut: documents of which the model saw only the beginning.
        windowed: documents too long for the model, read in overlapping windows.
        below_min_score: triples dropped because they were not likely enough.
    """

    malformed: int = 0
    unknown_relation: int = 0
    not_in_text: int = 0
    unended: int = 0
    cut: int = 0
    windowed: int = 0
    below_min_score: int = 0

    def __add__(self, other: Tally) -> Tally:
        # Once a document: `dataclasses.astuple` would cost more than all the rest of reading.
        return Tally(*map(operator.add, vars(self).values(), vars(other).values()))


class Part(NamedTuple):
    """One output: a document's wordpieces, or those of a window of it, and what was written."""

    source: Encoding
    written: Written


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
    document: Document, parts: Sequence[Part], wordpiece: Wordpiece, *, min_score: float = 0.0
) -> Extraction:
    """The document with the triples that its parts say, each once, and what went wrong.

    Of triples with the same names and relation, from one window or several, one stays: the more
    likely one of different windows (which share the sentences they overlap in), the first one of
    the same window. All places of its names in the whole text go with it. Triples with a score
    below `min_score` are dropped and counted.
    """
    best: dict[tuple[str, str, str], Triple] = {}
    tally = Tally()
    for part in parts:
        triples, told = read_output(document.text, part, wordpiece)
        tally += told
        for key, triple in triples.items():
            if key not in best or triple.score > best[key].score:
                best[key] = triple
    kept = [triple for triple in best.values() if triple.score >= min_score]
    tally = dataclasses.replace(
        tally,
        unended=int(tally.unended > 0),
        cut=int(tally.cut > 0),
        windowed=int(len(parts) > 1),
        below_min_score=len(best) - len(kept),
    )
    triples = tuple(with_all_places(document.text, kept))
    return Extraction(dataclasses.replace(document, triples=triples), tally, tuple(parts))


def read_output(
    text: str, part: Part, wordpiece: Wordpiece
) -> tuple[dict[tuple[str, str, str], Triple], Tally]:
    """The triples that one output says, the first of each key, and what went wrong.

    A triple's score is the product of its tokens' probabilities, separators excluded, and its score
    per token their geometric mean.
    """
    source, written = part
    ids = [int(i) for i in written.ids]
    parsed = linearize.parse(ids, wordpiece.form)
    triples: dict[tuple[str, str, str], Triple] = {}
    num_unknown = num_foreign = 0
    for slots in parsed.triples:
        relation = wordpiece.relation(ids[slots.relation])
        if relation is None:
            num_unknown += 1
            continue
        names, spans = [], []
        for slot in (slots.head, slots.tail):
            span = place(ids[slot], source, text, last=int(written.positions[slot.stop - 1]))
            spans.append(span)
            names.append(text[slice(*span)] if span else wordpiece.decode(ids[slot]))
        num_foreign += spans.count(None)
        log_prob = sum(float(written.log_probs[slot].sum()) for slot in slots)
        num_tokens = sum(slot.stop - slot.start for slot in slots)
        triple = Triple(
            names[0],
            relation,
            names[1],
            *spans,
            score=min(math.exp(log_prob), 1.0),
            score_per_token=min(math.exp(log_prob / num_tokens), 1.0),
        )
        triples.setdefault(triple.key, triple)
    tally = Tally(
        malformed=parsed.num_malformed,
        unknown_relation=num_unknown,
        not_in_text=num_foreign,
        unended=int(not written.ended),
        cut=int(written.num_cut > 0),
    )
    return triples, tally


def place(ids: Sequence[int], source: Encoding, text: str, *, last: int = -1) -> Span | None:
    """Characters of the place where these wordpieces stand in the source, if there is one.

    `last` is the source position that the last of them was copied from, -1 where it is not known.
    Where no place ends there, the name was put together from several, and the first place is given.
    """
    starts = bio.occurrences(source.ids, ids)
    if not starts:
        return None
    copied = last - len(ids) + 1
    first = copied if copied in starts else starts[0]
    start, end = source.offsets[first][0], source.offsets[first + len(ids) - 1][1]
    # An accent that is a character of its own lies outside the wordpieces of an uncased vocabulary.
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return start, end


def with_all_places(text: str, triples: Iterable[Triple]) -> Iterable[Triple]:
    """The triples with all places of their names, that of the entity meant first."""
    places: dict[str, tuple[Span, ...]] = {}

    def spans(name: str, chosen: Span | None) -> tuple[Span, ...]:
        if chosen is None:
            return ()
        if name not in places:
            places[name] = records.locate(text, name)
        return chosen, *(span for span in places[name] if span != chosen)

    for triple in triples:
        yield dataclasses.replace(
            triple,
            head_spans=spans(triple.head, triple.head_span),
            tail_spans=spans(triple.tail, triple.tail_span),
        )
