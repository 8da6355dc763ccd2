"""Resampling against what it stands for: all resamples of a small corpus, and a naive sampler."""

import itertools
import random

import numpy as np
import pytest

from grel.records import Document, Triple
from grel.scoring import bootstrap
from grel.scoring.bootstrap import Interval
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS, Counts


def _random_counts(seed, num_documents):
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 5, num_documents)
    correct = rng.binomial(gold, 0.6)
    return np.stack([correct, correct + rng.integers(0, 3, num_documents), gold], axis=1)


def _metrics(rows):
    found = Counts(*map(int, np.sum(rows, axis=0)))
    return found.precision, found.recall, found.f1


def test_counts_are_those_of_the_documents():
    gold = [Document("a", "t", (Triple("a", "r", "b"), Triple("c", "r", "d"))), Document("b", "t")]
    predictions = [Document("a", "t", (Triple("a", "r", "b"),)), Document("b", "t")]
    found = bootstrap.counts(judge(gold, predictions, PROTOCOLS["exact"]))
    assert found.tolist() == [[1, 1, 2], [0, 0, 0]]
    assert bootstrap.counts([]).shape == (0, 3)


def test_intervals_are_those_of_all_resamples_of_a_small_corpus():
    counts_E3 = np.array([[1, 1, 2], [0, 2, 1], [3, 3, 3], [1, 1, 2], [0, 0, 1]])
    draws = [_metrics(draw) for draw in itertools.product(counts_E3, repeat=5)]
    found = bootstrap.confidence_intervals(counts_E3, num_resamples=20_000, level=0.8)
    for name, values in zip(("precision", "recall", "f1"), zip(*draws, strict=True), strict=True):
        low, high = np.quantile(values, [0.1, 0.9])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.03), name


def test_intervals_are_those_of_a_sampler_that_draws_documents():
    counts_E3 = _random_counts(0, 200)
    rng = random.Random(0)
    draws = [_metrics(rng.choices(counts_E3, k=200)) for _ in range(1500)]
    found = bootstrap.confidence_intervals(counts_E3)
    for name, values in zip(("precision", "recall", "f1"), zip(*draws, strict=True), strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.005), name


def test_intervals_narrow_with_the_corpus_and_widen_with_the_level():
    counts_E3 = _random_counts(1, 100)

    def width(counts, **options):
        found = bootstrap.confidence_intervals(counts, **options)["f1"]
        return found.high - found.low

    assert width(np.tile(counts_E3, (16, 1))) == pytest.approx(width(counts_E3) / 4, rel=0.05)
    assert width(counts_E3, level=0.99) > 1.2 * width(counts_E3)


def test_the_seed_decides():
    counts_E3 = _random_counts(2, 50)
    first, again, other = (
        bootstrap.confidence_intervals(counts_E3, num_resamples=200, seed=s) for s in (1, 1, 2)
    )
    assert first == again
    assert first != other
    tests = [
        bootstrap.compare(counts_E3, counts_E3[:, [1, 1, 2]], num_resamples=200, seed=s)
        for s in (1, 1, 2)
    ]
    assert tests[0] == tests[1] != tests[2]


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch):
    counts_E3 = _random_counts(3, 50)
    monkeypatch.setattr(bootstrap, "_BLOCK", 64)
    sums = list(bootstrap._resampled_sums(counts_E3, 100, 0))
    assert len(sums) > 2
    assert sum(map(len, sums)) == 100
    gold = [sums_of_block[:, 2] for sums_of_block in sums]
    assert np.concatenate(gold).mean() == pytest.approx(counts_E3[:, 2].sum(), rel=0.05)


@pytest.mark.parametrize("counts_E3", [np.zeros((0, 3), int), np.zeros((4, 3), int)])
def test_nothing_to_count_is_zero(counts_E3):
    found = bootstrap.confidence_intervals(counts_E3, num_resamples=50)
    assert set(found.values()) == {Interval(0.0, 0.0)}
    test = bootstrap.compare(counts_E3, counts_E3, num_resamples=50)
    assert (test.difference, test.p_value) == (0.0, 1.0)


def test_p_value_is_that_of_all_exchanges_of_a_small_corpus():
    first_E3 = _random_counts(4, 9)
    second_E3 = np.minimum(first_E3, [1, 4, 9])
    observed = _metrics(first_E3)[2] - _metrics(second_E3)[2]
    as_large = 0
    for swaps in itertools.product([False, True], repeat=9):
        swap_E1 = np.array(swaps)[:, None]
        one = np.where(swap_E1, second_E3, first_E3)
        other = np.where(swap_E1, first_E3, second_E3)
        as_large += abs(_metrics(one)[2] - _metrics(other)[2]) >= abs(observed) - 1e-12
    found = bootstrap.compare(first_E3, second_E3, num_resamples=20_000)
    assert found.difference == pytest.approx(observed)
    assert found.p_value == pytest.approx(as_large / 2**9, abs=0.01)
    assert 0.01 < found.p_value < 0.9


def test_interval_of_the_difference_is_that_of_pairs_drawn_together():
    first_E3 = _random_counts(5, 150)
    second_E3 = first_E3.copy()
    second_E3[::7, 0] = 0
    rng = random.Random(1)
    pairs = list(zip(first_E3, second_E3, strict=True))
    draws = []
    for _ in range(1500):
        ones, others = zip(*rng.choices(pairs, k=150), strict=True)
        draws.append(_metrics(ones)[2] - _metrics(others)[2])
    low, high = np.quantile(draws, [0.025, 0.975])
    found = bootstrap.compare(first_E3, second_E3)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.006)
    # Drawn apart, two such similar systems would seem not to differ.
    assert found.interval.low > 0
    assert found.p_value < 0.01


def test_equal_systems_do_not_differ_and_exchanged_ones_mirror():
    first_E3 = _random_counts(6, 60)
    second_E3 = np.where(np.arange(60)[:, None] % 3 == 0, 0 * first_E3, first_E3)
    second_E3[:, 2] = first_E3[:, 2]
    same = bootstrap.compare(first_E3, first_E3, num_resamples=100)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    forth = bootstrap.compare(first_E3, second_E3, num_resamples=2000)
    back = bootstrap.compare(second_E3, first_E3, num_resamples=2000)
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.p_value == pytest.approx(back.p_value, abs=0.02)
    assert forth.p_value >= 1 / 2001


def test_other_gold_is_an_error():
    counts_E3 = _random_counts(7, 10)
    for other_E3 in (counts_E3[:5], counts_E3 + np.array([0, 0, 1])):
        with pytest.raises(ValueError, match="same gold"):
            bootstrap.compare(counts_E3, other_E3)
