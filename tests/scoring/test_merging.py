"""Predictions of several systems as one, against trying everything."""

import itertools
import math
import random

import pytest

from grel.records import Document, Triple
from grel.scoring.merging import average, choose, join, merge
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError, score


def document(name, *triples):
    return Document(name, "a b", tuple(Triple("a", r, "b", score=s) for r, s in triples))


def written(documents):
    return [[(t.relation, t.score) for t in d.triples] for d in documents]


def test_each_system_passes_its_own_least_score():
    one = [document("1", ("r", 0.2), ("s", 0.9)), document("2")]
    two = [document("1", ("s", 0.3), ("t", 0.8)), document("2", ("r", 0.7))]
    assert written(merge([one, two], [0, 0])) == [
        [("r", 0.2), ("s", 0.9), ("t", 0.8)],
        [("r", 0.7)],
    ]
    assert written(merge([one, two], [0.5, 0.8])) == [[("s", 0.9), ("t", 0.8)], []]
    assert written(merge([one, two], [math.inf, 0])) == [[("s", 0.3), ("t", 0.8)], [("r", 0.7)]]


def test_without_a_score_only_0_is_passed():
    bare = [document("1", ("r", None))]
    assert written(merge([bare], [0])) == [[("r", None)]]
    assert written(merge([bare], [1e-9])) == [[]]


@pytest.mark.parametrize("seed", range(6))
def test_means_count_what_is_missing_as_0(seed):
    rng = random.Random(seed)
    ids, names = ("1", "2"), "rstu"
    tables = [
        {(i, r): rng.choice([None, rng.random()]) for i in ids for r in names if rng.random() < 0.5}
        for _ in range(3)
    ]
    systems = [
        [document(i, *((r, s) for (of, r), s in table.items() if of == i)) for i in ids]
        for table in tables
    ]
    found = {(d.id, t.relation): t.score for d in average(systems) for t in d.triples}
    assert found.keys() == set().union(*tables)
    for key, mean in found.items():
        given = [1.0 if s is None else s for table in tables for s in [table.get(key, 0.0)]]
        assert mean == pytest.approx(math.fsum(given) / 3)


def test_documents_are_joined_by_id():
    one, two = [document("1"), document("2")], [document("2", ("r", 1.0)), document("1")]
    assert [d.id for d in join([one, two], ["a", "b"])[1]] == ["1", "2"]
    with pytest.raises(ScoringError, match=r"1 of 2 a ids are not in b, the first is '2'"):
        join([one, one[:1]], ["a", "b"])
    with pytest.raises(ScoringError, match="document '1': a and c text differ"):
        join([one, [Document("1", "other"), document("2")]], ["a", "c"])


def test_scores_must_be_probabilities():
    """A log probability would pass no least score, and be lost."""
    one, two = [document("1")], [document("1", ("r", -0.5))]
    with pytest.raises(ScoringError, match=r"b, document '1': score -0.5 of .* is no probability"):
        join([one, two], ["a", "b"])


@pytest.mark.parametrize("num_systems", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_no_other_least_score_of_one_system_is_better(seed, num_systems):
    rng = random.Random(seed)
    names = "rstuvw"
    gold = [document(str(n), *((r, None) for r in names if rng.random() < 0.5)) for n in range(4)]
    scores = [None, 0.0, 0.1, 0.4, 0.4000001, 0.7, 1.0]
    systems = [
        [
            document(
                d.id, *((rng.choice(names), rng.choice(scores)) for _ in range(rng.randrange(5)))
            )
            for d in gold
        ]
        for _ in range(num_systems)
    ]

    def counts(min_scores):
        return score(gold, merge(systems, min_scores), PROTOCOLS["exact"]).total

    chosen, best = choose(systems, gold)
    assert counts(chosen) == best
    assert best.f1 >= counts([0.0] * num_systems).f1
    tried = [0.0, 1e-9, 0.05, 0.2, 0.40000005, 0.5, 0.9, math.inf]
    for n, least in itertools.product(range(num_systems), tried):
        assert counts([*chosen[:n], least, *chosen[n + 1 :]]).f1 <= best.f1


def test_of_equals_what_keeps_most_is_chosen():
    gold = [document("1", ("r", None), ("s", None))]
    system = [document("1", ("r", 0.8), ("t", 0.4), ("u", 0.2), ("s", 0.2))]
    assert choose([system], gold) == ([0.0], Counts(2, 4, 2))
    assert choose([[document("1", ("r", 0.8), ("t", 0.4))]], gold)[0] == [pytest.approx(0.6)]
    system = [document("1", ("r", 0.8), ("t", 0.6), ("u", 0.6), ("s", 0.6), ("v", 0.2))]
    assert choose([system], gold) == ([pytest.approx(0.4)], Counts(2, 4, 2))


def test_nothing_right_keeps_all():
    assert choose([[document("1", ("t", 0.4))]], [document("1")]) == ([0.0], Counts(0, 1, 0))
