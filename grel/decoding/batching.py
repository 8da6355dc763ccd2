"""Sources of like length together, in batches of few shapes, for any search over the devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from grel import parallel

# Smaller batches take an accelerator no less time a step, and each size is compiled.
MIN_ROWS = 4

ResultT = TypeVar("ResultT")


def rows_per_device(batch_size: int, num_devices: int) -> int:
    """As few as hold a batch: it has a few rows more where it does not divide over the devices."""
    return -(-batch_size // num_devices)


def in_batches(
    lengths: Sequence[int],
    batch_size: int,
    buckets: Sequence[int],
    start: Callable[[list[int], int, int], Any],
    finish: Callable[[list[int], Any], Sequence[ResultT]],
) -> list[ResultT]:
    """Runs sources batch by batch, from the shortest to the longest.

    The devices work on the next batch while the last one is finished. A few sources take a batch of
    `MIN_ROWS` a device, if that holds them all: otherwise a sentence by itself would wait for a
    batch of nothing beside it.

    Args:
        lengths: of the sources.
        batch_size: most sources of a batch over the devices of all processes, of which this one
            does as many as its own devices take; see `rows_per_device`.
        buckets: lengths to pad to, ascending; a longer source is cut to the last.
        start: (places among the sources, rows of the batch, length to pad to) -> a batch given to
            the devices; it may have more rows than places.
        finish: (the same places, what `start` gave) -> what came of each, for which it may wait.

    Returns what came of each source, in their order.
    """
    num_devices, (_, num_processes) = len(parallel.own_devices()), parallel.process()
    most = num_devices * rows_per_device(batch_size, num_devices * num_processes)
    fewest = num_devices * MIN_ROWS
    size = fewest if len(lengths) <= fewest < most else most
    order = sorted(range(len(lengths)), key=lengths.__getitem__)

    def started(first: int) -> tuple[list[int], Any]:
        places = order[first : first + size]
        longest = lengths[places[-1]]
        width = next((bucket for bucket in buckets if bucket >= longest), buckets[-1])
        return places, start(places, size, width)

    found: dict[int, ResultT] = {}
    # Of a pair the second is started before the first is finished.
    batches = itertools.chain(map(started, range(0, len(order), size)), [None])
    for batch, _ in itertools.pairwise(batches):
        assert batch is not None
        places, given = batch
        found.update(zip(places, finish(places, given), strict=True))
    return [found[place] for place in range(len(lengths))]


def pad(rows: Sequence[Any], num_rows: int, width: int, fill: int = 0) -> np.ndarray:
    """Rows of ids, each cut or filled up to a width, and behind them rows of nothing.

    A row may have further axes, which all have alike.
    """
    inner = np.shape(rows[0])[1:]
    padded = np.full((num_rows, width, *inner), fill, np.int32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row[:width]
    return padded
