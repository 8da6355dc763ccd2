"""Windows: a text that is too long for the model as overlapping runs of whole sentences.

A model has a last position, and what lies beyond it would be lost without a word. Windows of whole
sentences keep every name and nearly every fact in one piece, and the overlap gives a fact that two
sentences state together a window that has both. A text that fits is one window, untouched.

Sentence ends are found by rules that know no language, because a missed or a wrong one costs little
here. A sentence ends, closing quotes and brackets included,
  - after `. ! ? …` and their like in other scripts, where white space follows and then anything but
    a lower-case letter, so that most abbreviations and decimals go through;
  - after the full-width marks of Chinese and Japanese, whatever follows;
  - at a blank line.
A sentence that is too long for a window by itself is cut at white space into pieces of at most the
overlap, which are then dealt with like sentences.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

from grel.records import Span

# Of a window, so much may be the end of the one before it.
_OVERLAP = 4

_STOPS = ".!?…‽։؟۔।॥።"
_CLOSING = r"""["'”’»›)\]}」』）】》〉]*+"""
_END = re.compile(
    # Only from the first of several stops on, or a text of nothing else would take forever.
    rf"(?<![{_STOPS}])[{_STOPS}]++{_CLOSING}(?=(?P<space>\s+))"
    rf"|[。！？｡．]++{_CLOSING}"
    r"|\n[^\S\n]*\n"
)


def sentence_ends(text: str) -> list[int]:
    """Offsets just behind every sentence but the last.

    Example: `He left. Why? At 3.30 p.m. she did` has ends at 8 and 13.
    """
    ends = []
    for match in _END.finditer(text):
        after = match.end("space") if match["space"] else match.end()
        goes_on = match["space"] is not None and text[after : after + 1].islower()
        if not goes_on and after < len(text):
            ends.append(match.end())
    return ends


def windows(text: str, offsets: Sequence[Span], limit: int) -> list[slice]:
    """Slices of a text's wordpieces, each of at most `limit`, that together cover them all.

    `offsets` are the characters of each wordpiece. A window has as many sentences as fit. It begins
    with the last sentences of the window before, as many as make up at most a quarter of `limit`
    and leave room for the next one.

    Example: sentences of 4, 2, 5 and 3 wordpieces, at most 8: slices 0:6, 4:11 and 11:14.
    """
    if len(offsets) <= limit:
        return [slice(0, len(offsets))]
    if limit < 1:
        raise ValueError(f"a window of {limit} wordpieces holds nothing")
    pieces = list(_pieces(text, offsets, limit))
    found = []
    first = new = 0
    while new < len(pieces):
        start, stop = pieces[first].start, new
        while stop < len(pieces) and pieces[stop].stop - start <= limit:
            stop += 1
        found.append(slice(start, pieces[stop - 1].stop))
        first = new = stop
        while new < len(pieces) and _overlaps(pieces[first - 1], pieces[new], limit):
            first -= 1
    return found


def _overlaps(old: slice, new: slice, limit: int) -> bool:
    """Whether a window whose first new sentence is `new` may begin with the earlier one `old`."""
    return new.start - old.start <= limit // _OVERLAP and new.stop - old.start <= limit


def _pieces(text: str, offsets: Sequence[Span], limit: int) -> Iterator[slice]:
    """Sentences as slices of wordpieces, those that no window holds in pieces."""
    starts = [start for start, _ in offsets]
    ends = {bisect.bisect_left(starts, end) for end in sentence_ends(text)}
    cuts = sorted(ends - {0, len(offsets)})
    for start, stop in zip([0, *cuts], [*cuts, len(offsets)], strict=True):
        if stop - start <= limit:
            yield slice(start, stop)
            continue
        longest = max(1, limit // _OVERLAP)
        while start < stop:
            end = min(start + longest, stop)
            # The last white space, unless too little came before it.
            spaced = (i for i in range(end, start + longest // 2, -1) if _spaced(offsets, i))
            end = stop if end == stop else next(spaced, end)
            yield slice(start, end)
            start = end


def _spaced(offsets: Sequence[Span], i: int) -> bool:
    return offsets[i - 1][1] < offsets[i][0]
