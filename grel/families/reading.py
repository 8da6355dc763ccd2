"""From wordpieces that were written to triples with names, places and scores.

Names are never taken from the vocabulary where they can be taken from the text: wordpieces that
stand in the source are looked up there and cut out by their character offsets, so that casing,
accents and spacing are those of the sentence. Nothing here needs a model, so that outputs can be
read and tested anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from grel.families.writer import Tally
from grel.names import extends, is_whole, plain
from grel.records import Span, Triple
from grel.text import bio, linearize

if TYPE_CHECKING:
    from grel.decoding.driver import Written
    from grel.text.wordpiece import Encoding, Wordpiece
    from grel.text.words import Words

Find = Callable[[slice], tuple[str, Span | None]]


def read_wordpieces(
    text: str, source: Encoding, written: Written, wordpiece: Wordpiece
) -> tuple[list[Triple], Tally]:
    """See `read_output`, for wordpieces: names are cut out of the text where they stand there."""
    ids = [int(i) for i in written.ids]

    def find(slot: slice) -> tuple[str, Span | None]:
        span = place(
            ids[slot],
            source,
            text,
            last=int(written.positions[slot.stop - 1]),
            pointed=written.pointed,
            unknown=wordpiece.holds_unknown(ids[slot]),
        )
        return (text[slice(*span)] if span else wordpiece.decode(ids[slot])), span

    return read_output(written, wordpiece, find)


def read_output(
    written: Written, tokenizer: Wordpiece | Words, find: Find
) -> tuple[list[Triple], Tally]:
    """The triples that one output says, the first of each key, and what went wrong.

    Args:
        written: the output.
        tokenizer: that wrote it.
        find: the name that a slot of the output says, and its place in the text if it has one.

    A triple's score is the product of its tokens' probabilities, separators excluded, and its score
    per token their geometric mean.
    """
    ids = [int(i) for i in written.ids]
    parsed = linearize.parse(ids, tokenizer.form)
    triples: dict[tuple[str, str, str], Triple] = {}
    num_unknown_relations = num_foreign = num_unknown_names = 0
    for slots in parsed.triples:
        relation = tokenizer.relation(ids[slots.relation])
        if relation is None:
            num_unknown_relations += 1
            continue
        (head, head_span), (tail, tail_span) = find(slots.head), find(slots.tail)
        num_unknown_names += sum(map(tokenizer.holds_unknown, (ids[slots.head], ids[slots.tail])))
        num_foreign += (head_span, tail_span).count(None)
        log_prob = sum(float(written.log_probs[slot].sum()) for slot in slots)
        num_tokens = sum(slot.stop - slot.start for slot in slots)
        triple = Triple(
            head,
            relation,
            tail,
            head_span,
            tail_span,
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
    return list(triples.values()), tally


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
    starts = [
        start
        for start in bio.occurrences(source.ids, ids)
        if not _splits_character(start, len(ids), source)
    ]
    spans = [_characters(start, len(ids), source, text) for start in starts]
    if len(spans) < 2:
        return spans[0] if spans else None
    copied = last - len(ids) + 1
    meant = spans[starts.index(copied)] if copied in starts[0 if pointed else 1 :] else None
    if unknown and meant is None:
        names = {" ".join(plain(text[slice(*span)]).split()) for span in spans}
        if len(names) > 1:
            return None

    def rank(span: Span) -> tuple[bool, bool, bool]:
        name = text[slice(*span)]
        is_mixed = not (name.isupper() or name.islower())
        return is_whole(text, span), span == meant, is_mixed

    return max(spans, key=rank)


def _splits_character(first: int, length: int, source: Encoding) -> bool:
    """Whether a character has wordpieces among these and beside them, as a Korean syllable can."""
    offsets, behind = source.offsets, first + length
    return (first > 0 and offsets[first - 1][1] > offsets[first][0]) or (
        behind < len(offsets) and offsets[behind][0] < offsets[behind - 1][1]
    )


def _characters(first: int, length: int, source: Encoding, text: str) -> Span:
    """From wordpiece `first` on, with the marks behind the last one that no wordpiece holds."""
    behind = first + length
    start, end = source.offsets[first][0], source.offsets[behind - 1][1]
    # An uncased vocabulary strips accents and vowel signs, and every one parts of emoji.
    limit = source.offsets[behind][0] if behind < len(source.offsets) else len(text)
    while end < limit and extends(text[end]):
        end += 1
    return start, end
