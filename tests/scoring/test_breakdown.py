"""Divisions of a score: the definitions by example, and a literal reference on random cases."""

import dataclasses
import random

import pytest

from grel.records import Document, Triple
from grel.scoring import breakdown
from grel.scoring.breakdown import Novelty, Overlap
from grel.scoring.errors import ErrorCounts, count_errors
from grel.scoring.judged import judge, total
from grel.scoring.protocols import PROTOCOLS, Counts
from grel.scoring.seen import SeenTriples
from tests.scoring.cases import random_corpus

NORMAL, PAIR, SINGLE = Overlap


def _triples(*names):
    return [Triple(*name.split()) for name in names]


@pytest.mark.parametrize(
    ("triples", "expected"),
    [
        ([], {NORMAL}),
        (["a r b"], {NORMAL}),
        (["a r b", "a r b"], {NORMAL}),
        (["a r b", "c r d"], {NORMAL}),
        (["a r b", "a s b"], {PAIR}),
        (["a r b", "a r c"], {SINGLE}),
        (["a r b", "c s a"], {SINGLE}),
        (["a r b", "b r a"], {SINGLE}),
        (["a r a"], {SINGLE}),
        (["a r b", "a s b", "b r c"], {PAIR, SINGLE}),
        (["a r b", "a s b", "c r d"], {PAIR}),
    ],
)
def test_overlaps(triples, expected):
    assert breakdown.overlaps(_triples(*triples)) == expected


def _literal_overlaps(triples):
    """By looking at every two different triples."""
    found = set()
    for one in triples:
        if one.head == one.tail:
            found.add(SINGLE)
        for other in triples:
            if one.key == other.key:
                continue
            if (one.head, one.tail) == (other.head, other.tail):
                found.add(PAIR)
            elif {one.head, one.tail} & {other.head, other.tail}:
                found.add(SINGLE)
    return found or {NORMAL}


def test_random_overlaps_equal_the_literal_definition():
    rng = random.Random(3)
    seen = set()
    for _ in range(2000):
        triples = [
            Triple(rng.choice("abcdefg"), rng.choice("rs"), rng.choice("hijklmn" + "a"))
            for _ in range(rng.randrange(5))
        ]
        found = breakdown.overlaps(triples)
        assert found == _literal_overlaps(triples)
        seen.add(found)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0"), (1, "1"), (4, "4"), (5, "5+"), (6, "5+"), (30, "5+")]
)
def test_num_triples(number, expected):
    triples = [Triple("a", "r", str(n)) for n in range(number)]
    assert breakdown.num_triples(triples * 2) == expected


@pytest.mark.parametrize(
    ("head", "tail", "expected"),
    [
        ("Ann", "Oslo", Novelty.SEEN),
        ("Ann", "Rome", Novelty.PARTLY),
        ("Bob", "Oslo", Novelty.PARTLY),
        ("Bob", "Rome", Novelty.UNSEEN),
        ("ann", "Oslo .", Novelty.UNSEEN),
    ],
)
def test_novelty(head, tail, expected):
    seen = breakdown.entities([Document("t", "x", (Triple("Ann", "lives_in", "Oslo"),))])
    assert seen == {"Ann", "Oslo"}
    assert breakdown.novelty(Triple(head, "lives_in", tail), seen) is expected


GOLD = [
    Document("a", "t", (Triple("A", "r", "B"), Triple("A", "s", "B"), Triple("A", "r", "C"))),
    Document("b", "t", (Triple("D", "r", "E"),)),
    Document("c", "t"),
]
PREDICTIONS = [
    Document("a", "t", (Triple("A", "r", "B"), Triple("A", "u", "B"))),
    Document("b", "t", (Triple("D", "r", "E"), Triple("D", "r", "F"))),
    Document("c", "t", (Triple("G", "r", "H"),)),
]
JUDGED = judge(GOLD, PREDICTIONS, PROTOCOLS["exact"])


def test_by_overlap_counts_a_sentence_in_each_of_its_classes():
    assert breakdown.by_overlap(JUDGED) == {
        "normal": Counts(1, 3, 1),
        "same entity pair": Counts(1, 2, 3),
        "single entity": Counts(1, 2, 3),
    }


def test_by_num_triples_goes_by_gold():
    found = breakdown.by_num_triples(JUDGED)
    assert list(found) == ["0", "1", "2", "3", "4", "5+"]
    assert {name: counts for name, counts in found.items() if counts != Counts()} == {
        "0": Counts(0, 1, 0),
        "1": Counts(1, 2, 1),
        "3": Counts(1, 2, 3),
    }


def test_by_relation_has_relations_of_either_side_the_frequent_first():
    assert list(breakdown.by_relation(JUDGED).items()) == [
        ("r", Counts(2, 4, 3)),
        ("s", Counts(0, 0, 1)),
        ("u", Counts(0, 1, 0)),
    ]


def test_by_novelty_goes_by_the_names_of_gold_and_predicted_triples_alike():
    assert breakdown.by_novelty(JUDGED, {"A", "B", "D", "F"}) == {
        "both entities seen": Counts(1, 3, 2),
        "one entity unseen": Counts(1, 1, 2),
        "both entities unseen": Counts(0, 1, 0),
    }


def test_a_match_across_classes_is_correct_in_neither():
    gold = [Document("a", "t", (Triple("Ann Moore", "r", "Time"),))]
    predictions = [Document("a", "t", (Triple("Moore", "r", "Time"),))]
    judged = judge(gold, predictions, PROTOCOLS["partial_last"])
    assert total(judged) == Counts(1, 1, 1)
    found = breakdown.by_seen(judged, SeenTriples.of(gold))
    assert found == {"unseen": Counts(0, 1, 0), "seen": Counts(0, 0, 1)}
    found = breakdown.by_novelty(judged, {"Ann Moore", "Time"})
    assert found["both entities seen"] == Counts(0, 0, 1)
    assert found["one entity unseen"] == Counts(0, 1, 0)


def test_empty_corpora_have_all_classes():
    assert set(breakdown.by_overlap([]).values()) == {Counts()}
    assert list(breakdown.by_novelty([], ())) == [kind.value for kind in Novelty]
    assert breakdown.by_seen([], ()) == {"unseen": Counts(), "seen": Counts()}
    assert breakdown.by_relation([]) == {}


def _literal(gold, predictions, keep_fn):
    """Counts of the triples that `keep_fn(document, triple)` keeps, by loops over lists."""
    found = [0, 0, 0]
    for document, prediction in zip(gold, predictions, strict=True):
        sides = []
        for triples in (document.triples, prediction.triples):
            names = []
            for triple in triples:
                if keep_fn(document, triple) and triple.key not in names:
                    names.append(triple.key)
            sides.append(names)
        found[0] += sum(key in sides[0] for key in sides[1])
        found[1] += len(sides[1])
        found[2] += len(sides[0])
    return Counts(*found)


def test_random_cases_equal_the_literal_division():
    rng = random.Random(5)
    seen = {"a", "b b", "a b a"}

    class Ascending:
        def __contains__(self, triple):
            return triple.head < triple.tail

    trained = Ascending()
    for _ in range(150):
        gold, predictions = random_corpus(rng)
        judged = judge(gold, predictions, PROTOCOLS["exact"])
        divisions = {
            breakdown.by_num_triples: lambda d, t, name: (
                min(len({t.key for t in d.triples}), 5) == int(name[0])
            ),
            breakdown.by_overlap: lambda d, t, name: Overlap(name) in _literal_overlaps(d.triples),
            breakdown.by_relation: lambda d, t, name: t.relation == name,
            lambda j: breakdown.by_seen(j, trained): lambda d, t, name: (
                (name == "seen") == (t.head < t.tail)
            ),
            lambda j: breakdown.by_novelty(j, seen): lambda d, t, name: (
                ["both entities seen", "one entity unseen", "both entities unseen"].index(name)
                == [t.head in seen, t.tail in seen].count(False)
            ),
        }
        for division, keep_fn in divisions.items():
            for name, counts in division(judged).items():
                expected = _literal(gold, predictions, lambda d, t, n=name, k=keep_fn: k(d, t, n))
                assert counts == expected, name
        found = breakdown.by_seen(judged, trained)
        assert list(found) == ["unseen", "seen"]
        assert sum(found.values(), Counts()) == total(judged)
        for division in (breakdown.by_num_triples, breakdown.by_relation):
            assert sum(division(judged).values(), Counts()) == total(judged)


def test_names_are_compared_in_canonical_form():
    gold = Document("a", "José in Åre", (Triple("José", "né", "Åre"),))
    predicted = Document("a", gold.text, (Triple("Jose\u0301", "ne\u0301", "\u212bre"),))
    for protocol in PROTOCOLS.values():
        protocol = dataclasses.replace(protocol, needs_spans=False)
        for pair in ((gold, predicted), (predicted, gold)):
            (judged,) = judge(*([document] for document in pair), protocol)
            assert judged.counts == Counts(1, 1, 1)
    assert breakdown.by_relation([judged]) == {"né": Counts(1, 1, 1)}
    assert breakdown.entities([gold]) == breakdown.entities([predicted])
    assert breakdown.novelty(predicted.triples[0], breakdown.entities([gold])) is Novelty.SEEN
    assert count_errors([gold], [predicted]) == ErrorCounts(0, 0, 0, entities=2)
