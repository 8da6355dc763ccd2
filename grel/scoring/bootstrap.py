"""How far a score can be trusted: bootstrap intervals, and a test of the difference of two systems.

Documents are what is sampled, since triples of one sentence are right or wrong together. Documents
with the same counts are interchangeable, so what is drawn is how often each *kind* of document
occurs. The distribution is that of drawing documents one by one, exactly, and its cost does not
grow with the corpus. The only module of scoring that needs numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from grel.scoring.judged import Judged

_METRICS = ("precision", "recall", "f1")
# Values of a block of resamples, so that memory stays bounded however many kinds there are.
_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same documents.

    Attributes:
      difference: F1 of the first less that of the second.
      interval: of the difference, by the paired bootstrap.
      p_value: two-sided, by approximate randomization: how likely so large a difference is if
        it does not matter which of the two systems judged a document.
    """

    difference: float
    interval: Interval
    p_value: float


def counts(judged: Sequence[Judged]) -> np.ndarray:
    """(correct, predicted, gold) of each document, int64 of shape (E, 3)."""
    rows = [(c.correct, c.predicted, c.gold) for c in (one.counts for one in judged)]
    return np.array(rows, np.int64).reshape(-1, 3)


def confidence_intervals(
    counts_E3: np.ndarray, *, num_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Percentile bootstrap intervals of "precision", "recall" and "f1" (Efron 1979).

    Args:
      counts_E3: what `counts` returns.
      num_resamples: corpora to draw, each of as many documents as there are.
      level: of the interval; .95 leaves out 2.5 % at either end.
      seed: the same seed gives the same interval.
    """
    sums = np.concatenate(list(_resampled_sums(counts_E3, num_resamples, seed)))
    metrics = dict(zip(_METRICS, _metrics(sums), strict=True))
    return {name: _interval(values, level) for name, values in metrics.items()}


def compare(
    first_E3: np.ndarray,
    second_E3: np.ndarray,
    *,
    num_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compares the F1 of two systems; the rows of both are the same documents in the same order.

    The p-value counts the difference observed as one of the resamples, so it is never 0, and at
    best 1 / (num_resamples + 1). Source: Noreen (1989); for F1, Yeh (2000).

    Raises:
      ValueError: the two are not of the same documents.
    """
    if first_E3.shape != second_E3.shape or (first_E3[:, 2] != second_E3[:, 2]).any():
        raise ValueError("the two systems were not judged on the same gold triples")
    both_E6 = np.concatenate([first_E3, second_E3], axis=1)
    observed = float(_difference(both_E6.sum(0)))
    drawn = [_difference(s) for s in _resampled_sums(both_E6, num_resamples, seed)]
    swapped = [_difference(s) for s in _swapped_sums(both_E6, num_resamples, seed)]
    # Sums of other documents can give the same difference with another rounding error.
    as_large = (np.abs(np.concatenate(swapped)) >= abs(observed) - 1e-12).sum()
    return Comparison(
        observed,
        _interval(np.concatenate(drawn), level),
        float((as_large + 1) / (num_resamples + 1)),
    )


def _resampled_sums(rows: np.ndarray, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Sums over documents drawn with replacement: blocks of one row for each resample."""
    kinds, repeats = _kinds(rows)
    if not len(kinds):
        yield np.zeros((num_resamples, rows.shape[1]), np.int64)
        return
    rng = np.random.default_rng([seed, 0])
    for size in _blocks(num_resamples, len(kinds)):
        yield rng.multinomial(len(rows), repeats / len(rows), size) @ kinds


def _swapped_sums(both_E6: np.ndarray, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Sums after the two systems changed places in a random half of the documents."""
    kinds, repeats = _kinds(both_E6)
    exchanged = np.roll(kinds, 3, axis=1)
    rng = np.random.default_rng([seed, 1])
    for size in _blocks(num_resamples, len(kinds)):
        swaps = rng.binomial(repeats, 0.5, (size, len(kinds)))
        yield (repeats - swaps) @ kinds + swaps @ exchanged


def _kinds(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows, and how often each occurs."""
    return np.unique(rows, axis=0, return_counts=True)


def _blocks(num_resamples: int, num_kinds: int) -> Iterator[int]:
    size = max(1, _BLOCK // max(1, num_kinds))
    for start in range(0, num_resamples, size):
        yield min(size, num_resamples - start)


def _metrics(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of sums (..., 3), 0 where they are undefined; see `Counts`."""
    correct, predicted, gold = np.moveaxis(sums, -1, 0)
    return tuple(
        above / np.maximum(1, below)
        for above, below in ((correct, predicted), (correct, gold), (2 * correct, predicted + gold))
    )


def _difference(sums: np.ndarray) -> np.ndarray:
    return _metrics(sums[..., :3])[2] - _metrics(sums[..., 3:])[2]


def _interval(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
