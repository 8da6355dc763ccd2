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
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from grel import records
from grel.records import Document, Span, Triple
from grel.text import bio, linearize

if TYPE_CHECKING:
    from grel.decoding.driver import Written
    from grel.text.wordpiece import Encoding, Wordpiece


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
        unknown_names: entities written with words that the vocabulary lacks.
        unknown_tokens: wordpieces of the texts that the vocabulary lacks.
    """

    malformed: int = 0
    unknown_relation: int = 0
    not_in_text: int = 0
    unended: int = 0
    cut: int = 0
    windowed: int = 0
    below_min_score: int = 0
    unknown_names: int = 0
    unknown_tokens: int = 0

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
        unknown_tokens=_num_unknown(parts, wordpiece),
    )
    triples = tuple(with_all_places(document.text, kept))
    return Extraction(dataclasses.replace(document, triples=triples), tally, tuple(parts))


def _num_unknown(parts: Iterable[Part], wordpiece: Wordpiece) -> int:
    """How many wordpieces of the text are unknown, those that windows share counted once."""
    return len(
        {
            offsets
            for source, _ in parts
            for id, offsets in zip(source.ids, source.offsets, strict=True)
            if id in wordpiece.unknown_ids
        }
    )


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
    num_unknown_relations = num_foreign = num_unknown_names = 0
    for slots in parsed.triples:
        relation = wordpiece.relation(ids[slots.relation])
        if relation is None:
            num_unknown_relations += 1
            continue
        names, spans = [], []
        for slot in (slots.head, slots.tail):
            last = int(written.positions[slot.stop - 1])
            unknown = wordpiece.holds_unknown(ids[slot])
            span = place(
                ids[slot], source, text, last=last, pointed=written.pointed, unknown=unknown
            )
            num_unknown_names += unknown
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
        unknown_relation=num_unknown_relations,
        not_in_text=num_foreign,
        unended=int(not written.ended),
        cut=int(written.num_cut > 0),
        unknown_names=num_unknown_names,
    )
    return triples, tally


def place(
    ids: Sequence[int],
    source: Encoding,
    text: str,
    *,
    last: int = -1,
    pointed: bool = False,
    unknown: bool = False,
) -> Span | None:
    """Characters of the place where these wordpieces stand in the source, if there is one.

    Of several places the best is, in this order: a whole word rather than a part of a longer one;
    the one that was copied; one that is neither all upper nor all lower case; the first.

    Args:
        ids: wordpieces of a name.
        source: wordpieces of the text, or of a window of it.
        text: the whole text.
        last: the source position that the last of `ids` was copied from, -1 where it is not known.
        pointed: whether a model chose that position. Otherwise it is the first of several that the
            decoder can't tell apart, so that the first place says nothing of what was meant.
        unknown: whether some of `ids` stand for words that the vocabulary lacks. Where the text
            then has different names, and none of them is the one meant, there is no place: it would
            be a guess.

    Example: in `IRAN , Iranian , Iran` an uncased `iran` is at (17, 21).
    """
    starts = bio.occurrences(source.ids, ids)
    spans = [_characters(start, len(ids), source, text) for start in starts]
    if len(spans) < 2:
        return spans[0] if spans else None
    copied = last - len(ids) + 1
    meant = spans[starts.index(copied)] if copied in starts[0 if pointed else 1 :] else None
    if unknown and meant is None:
        names = {" ".join(records.plain(text[slice(*span)]).split()) for span in spans}
        if len(names) > 1:
            return None

    def rank(span: Span) -> tuple[bool, bool, bool]:
        name = text[slice(*span)]
        is_mixed = not (name.isupper() or name.islower())
        return records.is_whole(text, span), span == meant, is_mixed

    return max(spans, key=rank)


def _characters(first: int, length: int, source: Encoding, text: str) -> Span:
    """From wordpiece `first` on, with the marks behind the last one that no wordpiece holds."""
    behind = first + length
    start, end = source.offsets[first][0], source.offsets[behind - 1][1]
    # An uncased vocabulary strips accents and vowel signs, and every one parts of emoji.
    limit = source.offsets[behind][0] if behind < len(source.offsets) else len(text)
    while end < limit and records.extends(text[end]):
        end += 1
    return start, end


def with_all_places(text: str, triples: Iterable[Triple]) -> Iterable[Triple]:
    """The triples with all places of their names, that of the entity meant first."""
    places: dict[str, tuple[Span, ...]] = {}

    def spans(name: str, chosen: Span | None) -> tuple[Span, ...]:
        if chosen is None:
            return ()
        if name not in places:
            found = records.locate(text, name)
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
