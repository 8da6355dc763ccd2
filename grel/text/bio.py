"""BIO copy labels: which wordpieces of a target are copied from the source, and from where.

Labels teach the model when to copy (B starts, I continues) and which source positions are worth
copying. Every entity is aligned with the source by itself; a single alignment of the whole pair,
which is the letter of the paper, is monotone and misses each entity that comes in another order.
Source: paper section 3.2; METHOD section 3.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Hashable, Sequence

O, B, I = 0, 1, 2  # noqa: E741
NUM_LABELS = 3

Symbols = Sequence[Hashable]
Labels = tuple[list[int], list[int]]
_Link = tuple[int, int, "_Link | None"]


def label_per_entity(source: Symbols, target: Symbols, entities: Sequence[slice]) -> Labels:
    """Labels of source and target when every entity (a slice of `target`) is aligned by itself.

    Where the entity stands contiguously in the source, each occurrence and the mention itself are
    `B I ... I`. Where it does not, the longest common subsequence of entity and source is taken and
    each run of it that is contiguous in both is labeled so. Where two overlap in the source, the
    longer keeps the place; of two equally long ones, the one further left.

    Example: source `t h e b i g b`, entities `b i g` and `b`:

        source  t h e b i g b        target  b i g ; b
                O O O B I I B                B I I O B
    """
    target_labels = [O] * len(target)
    spans: set[tuple[int, int]] = set()
    for entity in entities:
        mention = target[entity]
        starts = occurrences(source, mention)
        if starts:
            _paint(target_labels, entity.start, len(mention))
            spans.update((start, len(mention)) for start in starts)
            continue
        for i, j, length in _runs(longest_common_subsequence(source, mention)):
            _paint(target_labels, entity.start + j, length)
            spans.add((i, length))
    return _label_source(len(source), spans), target_labels


def label_global_lcs(source: Symbols, target: Symbols, entities: Sequence[slice]) -> Labels:
    """Labels from one longest common subsequence of the whole source and the whole target.

    Kept for the record (`labelling='global_lcs'`): only the parts of it inside entities count.
    """
    target_labels = [O] * len(target)
    pairs = longest_common_subsequence(source, target)
    spans = set()
    for entity in entities:
        inside = [(i, j) for i, j in pairs if entity.start <= j < entity.stop]
        for i, j, length in _runs(inside):
            _paint(target_labels, j, length)
            spans.add((i, length))
    return _label_source(len(source), spans), target_labels


LABELLINGS: dict[str, Callable[[Symbols, Symbols, Sequence[slice]], Labels]] = {
    "per_entity": label_per_entity,
    "global_lcs": label_global_lcs,
}


def occurrences(source: Symbols, entity: Symbols) -> list[int]:
    """All starts `i` with `source[i : i + len(entity)] == entity`; none for an empty entity."""
    starts = []
    if entity:
        entity = list(entity)
        for i in range(len(source) - len(entity) + 1):
            if source[i] == entity[0] and list(source[i : i + len(entity)]) == entity:
                starts.append(i)
    return starts


def longest_common_subsequence(a: Symbols, b: Symbols) -> list[tuple[int, int]]:
    """Index pairs (i, j) of one longest common subsequence, strictly increasing in both.

    Hunt & Szymanski (1977): the cost grows with the number of equal pairs, which is small for text,
    and not with the product of the lengths.
    """
    places: dict[Hashable, list[int]] = {}
    for j, symbol in enumerate(b):
        places.setdefault(symbol, []).append(j)
    ends: list[int] = []  # ends[n]: the smallest j at which a common subsequence of n + 1 ends
    links: list[_Link] = []  # links[n]: that subsequence, as (i, j, rest)
    for i, symbol in enumerate(a):
        # From right to left, so that one i is not used twice in a subsequence.
        for j in reversed(places.get(symbol, ())):
            n = bisect.bisect_left(ends, j)
            link = (i, j, links[n - 1] if n else None)
            if n == len(ends):
                ends.append(j)
                links.append(link)
            else:
                ends[n], links[n] = j, link
    pairs = []
    rest = links[-1] if links else None
    while rest:
        i, j, rest = rest
        pairs.append((i, j))
    return pairs[::-1]


def _runs(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Maximal runs (i, j, length) in which both indices go up by one."""
    runs: list[tuple[int, int, int]] = []
    for i, j in pairs:
        if runs and (i, j) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((i, j, 1))
    return runs


def _label_source(length: int, spans: set[tuple[int, int]]) -> list[int]:
    labels = [O] * length
    for start, size in sorted(spans, key=lambda span: (-span[1], span[0])):
        if not any(labels[start : start + size]):
            _paint(labels, start, size)
    return labels


def _paint(labels: list[int], start: int, length: int) -> None:
    labels[start : start + length] = [B] + [I] * (length - 1)
