"""Sources of like length together, in batches of few shapes, for any search over the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def in_batches(
    lengths: Sequence[int],
    batch_size: int,
    buckets: Sequence[int],
    start: Callable[[list[int], int], Any],
    finish: Callable[[list[int], Any], Any],
) -> Iterator[tuple[list[int], Any]]:
    """Runs sources batch by batch, from the shortest to the longest.

    The devices work on the next batch while the caller has one.

    Args:
        lengths: of the sources.
        batch_size: most sources of a batch.
        buckets: lengths to pad to, ascending; a longer source is cut to the last.
        start: (places among the sources, length to pad to) -> a batch given to the devices.
        finish: (the same places, what `start` gave) -> what came of it, for which it may wait.

    Yields the places of each batch, and what `finish` gave.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    under_way: tuple[list[int], Any] | None = None
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        longest = lengths[places[-1]]
        width = next((bucket for bucket in buckets if bucket >= longest), buckets[-1])
        before, under_way = under_way, (places, start(places, width))
        if before:
            yield before[0], finish(*before)
    if under_way:
        yield under_way[0], finish(*under_way)


def pad(rows: Sequence[Any], num_rows: int, width: int, fill: int = 0) -> np.ndarray:
    """Rows of ids, each cut or filled up to a width, and behind them rows of nothing.

    A row may have further axes, which all have alike.
    """
    inner = np.shape(rows[0])[1:]
    padded = np.full((num_rows, width, *inner), fill, np.int32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row[:width]
    return padded
