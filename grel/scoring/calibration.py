"""Whether scores can be relied on: reliability of triple scores, precision-recall by threshold.

Who extracts facts in earnest keeps those above some score. These functions say what a score is
worth: how often triples of that score are correct, and what each threshold keeps and loses.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import NamedTuple

from grel.records import Triple
from grel.scoring.judged import Judged, total
from grel.scoring.protocols import Counts, ScoringError

ScoreFn = Callable[[Triple], float | None]


class Threshold(NamedTuple):
    """What remains of the predictions when those with a lower score are dropped."""

    score: float
    counts: Counts


@dataclasses.dataclass(frozen=True, slots=True)
class Bin:
    """Triples with low <= score < high (in the last bin also score == high).

    `mean_score` and `accuracy` (the fraction that is correct) are None where there are none.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    accuracy: float | None

    @property
    def gap(self) -> float | None:
        """|accuracy - mean score|, None where there are no triples."""
        if self.accuracy is None or self.mean_score is None:
            return None
        return abs(self.accuracy - self.mean_score)


@dataclasses.dataclass(frozen=True, slots=True)
class Reliability:
    """Scores against the truth; `num_unscored` predicted triples have no score, so no bin."""

    bins: tuple[Bin, ...]
    num_unscored: int

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean of the gap over scored triples, each taken as its bin is; None without any."""
        errors = [b.count * b.gap for b in self.bins if b.gap is not None]
        return sum(errors) / sum(b.count for b in self.bins) if errors else None


def reliability(
    judged: Iterable[Judged], num_bins: int = 10, score_fn: ScoreFn = attrgetter("score")
) -> Reliability:
    """Sorts predicted triples into bins of equal width (Guo et al. 2017).

    Args:
      judged: the documents under a protocol.
      num_bins: how many bins there are between 0 and 1.
      score_fn: which score, as a probability; None for a triple without one.

    Raises:
      ScoringError: a score is no probability, so there is nothing to compare with accuracy.
    """
    scores: list[list[float]] = [[] for _ in range(num_bins)]
    correct = [0] * num_bins
    num_unscored = 0
    for one in judged:
        for key, triple in one.predicted.items():
            score = score_fn(triple)
            if score is None:
                num_unscored += 1
                continue
            if not 0 <= score <= 1:
                raise ScoringError(
                    f"document {one.document.id!r}: score {score} of {triple.key} is no "
                    "probability: calibration needs scores from 0 to 1"
                )
            index = min(int(score * num_bins), num_bins - 1)
            scores[index].append(score)
            correct[index] += key in one.gold
    bins = []
    for index, (members, num_correct) in enumerate(zip(scores, correct, strict=True)):
        ends = index / num_bins, (index + 1) / num_bins
        if members:
            means = sum(members) / len(members), num_correct / len(members)
            bins.append(Bin(*ends, len(members), *means))
        else:
            bins.append(Bin(*ends, 0, None, None))
    return Reliability(tuple(bins), num_unscored)


def threshold_curve(
    judged: Iterable[Judged], score_fn: ScoreFn = attrgetter("score")
) -> list[Threshold]:
    """Counts at each distinct score as threshold, ascending; empty where no triple has a score.

    Triples of equal score are kept or dropped together. One without a score passes no threshold.
    Gold triples are always those of all documents, so recall falls as the threshold rises.
    """
    num_gold = 0
    scored: list[tuple[float, bool]] = []
    for one in judged:
        num_gold += len(one.gold)
        for key, triple in one.predicted.items():
            if (score := score_fn(triple)) is not None:
                scored.append((score, key in one.gold))
    scored.sort(reverse=True)
    correct = 0
    curve: list[Threshold] = []
    for number, (score, is_correct) in enumerate(scored, start=1):
        correct += is_correct
        if curve and curve[-1].score == score:
            curve.pop()
        curve.append(Threshold(score, Counts(correct, number, num_gold)))
    return curve[::-1]


def cuts(judged: Collection[Judged]) -> list[Threshold]:
    """Least scores to choose from, ascending: 0, which keeps all, and half-way between neighbours.

    A triple without a score passes 0 only.
    """
    curve = threshold_curve(judged, lambda triple: triple.score or 0.0)
    halves = (
        Threshold((lower.score + kept.score) / 2, kept.counts)
        for lower, kept in itertools.pairwise(curve)
    )
    return [Threshold(0.0, total(judged)), *halves]
