"""Reliability and thresholds: hand-made cases, and literal references on random ones."""

import random
from operator import attrgetter

import pytest

from grel.records import Document, Triple
from grel.scoring.calibration import Bin, Threshold, reliability, threshold_curve
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError, score
from tests.scoring.cases import random_corpus


def _judged(gold_names, scores):
    gold = Document("a", "t", tuple(Triple(name, "r", "x") for name in gold_names))
    predicted = Document("a", "t", tuple(Triple(n, "r", "x", score=s) for n, s in scores.items()))
    return judge([gold], [predicted], PROTOCOLS["exact"])


def test_reliability_by_hand():
    judged = _judged("abz", {"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.5, "e": 0.25, "f": 1.0})
    found = reliability(judged, num_bins=2)
    assert found.bins == (
        Bin(0.0, 0.5, 1, 0.25, 0.0),
        Bin(0.5, 1.0, 5, pytest.approx(0.78), pytest.approx(0.4)),
    )
    assert [one.gap for one in found.bins] == pytest.approx([0.25, 0.38])
    assert found.num_unscored == 0
    assert [b.gap for b in found.bins] == [pytest.approx(0.25), pytest.approx(0.38)]
    assert found.expected_calibration_error == pytest.approx((1 * 0.25 + 5 * 0.38) / 6)


def test_unscored_triples_are_counted_and_in_no_bin():
    found = reliability(_judged("a", {"a": None, "b": 0.5}), num_bins=1)
    assert found.num_unscored == 1
    assert found.bins == (Bin(0.0, 1.0, 1, 0.5, 0.0),)


def test_without_scores_there_is_no_error_to_tell():
    found = reliability(_judged("a", {"a": None}), num_bins=2)
    assert found.bins == (Bin(0.0, 0.5, 0, None, None), Bin(0.5, 1.0, 0, None, None))
    assert [one.gap for one in found.bins] == [None, None]
    assert found.expected_calibration_error is None
    assert threshold_curve(_judged("a", {"a": None})) == []
    assert threshold_curve([]) == []


@pytest.mark.parametrize("score", [-0.25, 1.5])
def test_a_score_that_is_no_probability_is_an_error(score):
    with pytest.raises(ScoringError, match=r"'a': score -?\d.*no probability"):
        reliability(_judged("a", {"a": score}))


def test_the_score_can_be_another_one():
    gold = Document("a", "t", (Triple("a", "r", "x"),))
    predicted = Document("a", "t", (Triple("a", "r", "x", score=0.1, score_per_token=0.9),))
    judged = judge([gold], [predicted], PROTOCOLS["exact"])
    per_token = attrgetter("score_per_token")
    assert reliability(judged, 2, per_token).bins[1] == Bin(0.5, 1.0, 1, 0.9, 1.0)
    assert threshold_curve(judged, per_token) == [Threshold(0.9, Counts(1, 1, 1))]


def test_curve_by_hand():
    judged = _judged("abz", {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.2, "e": None})
    assert threshold_curve(judged) == [
        Threshold(0.2, Counts(2, 4, 3)),
        Threshold(0.5, Counts(2, 3, 3)),
        Threshold(0.9, Counts(1, 1, 3)),
    ]


@pytest.mark.parametrize("protocol", ["exact", "nayak", "partial_last"])
def test_random_curves_equal_scoring_what_each_threshold_keeps(protocol):
    rng = random.Random(protocol)
    relations = {"x", "y"}
    for _ in range(60):
        gold, predictions = random_corpus(rng, scored=True)
        judged = judge(gold, predictions, PROTOCOLS[protocol], relations=relations)
        scores = {t.score for one in judged for t in one.predicted.values()} - {None}
        expected = []
        for least in sorted(scores):
            kept = [
                Document(p.id, p.text, tuple(t for t in p.triples if (t.score or 0) >= least))
                if least > 0
                else Document(p.id, p.text, tuple(t for t in p.triples if t.score is not None))
                for p in predictions
            ]
            found = score(gold, kept, PROTOCOLS[protocol], relations=relations)
            expected.append(Threshold(least, found.total))
        assert threshold_curve(judged) == expected


def test_random_bins_equal_the_literal_definition():
    rng = random.Random(2)
    for _ in range(60):
        gold, predictions = random_corpus(rng, scored=True)
        judged = judge(gold, predictions, PROTOCOLS["exact"])
        num_bins = rng.choice((1, 2, 4, 5))
        found = reliability(judged, num_bins)
        scored = [(t.score, key in one.gold) for one in judged for key, t in one.predicted.items()]
        expected = 0.0
        for number, one in enumerate(found.bins):
            low, high = number / num_bins, (number + 1) / num_bins
            members = [
                (s, right)
                for s, right in scored
                if s is not None and (low <= s < high or (s == high == 1))
            ]
            assert (one.low, one.high, one.count) == (low, high, len(members))
            if members:
                assert one.mean_score == pytest.approx(sum(s for s, _ in members) / len(members))
                assert one.accuracy == sum(right for _, right in members) / len(members)
                gap = sum(s for s, _ in members) - sum(right for _, right in members)
                expected += abs(gap)
        assert found.num_unscored == sum(s is None for s, _ in scored)
        total = sum(one.count for one in found.bins)
        if total:
            assert found.expected_calibration_error == pytest.approx(expected / total)
