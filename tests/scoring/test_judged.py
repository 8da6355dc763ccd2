"""Judged documents: hand-made cases, and that they add up to the score under every protocol."""

import random

import pytest

from grel.records import Document, Triple
from grel.scoring.judged import judge, total
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError, score
from tests.scoring.cases import random_corpus

TEXT = "Ann Moore , chief of Time Inc."


def _one(gold, predicted, protocol="exact", **options):
    documents = Document("a", TEXT, tuple(gold)), Document("a", TEXT, tuple(predicted))
    (judged,) = judge(*([d] for d in documents), PROTOCOLS[protocol], **options)
    return judged


def test_gold_is_the_first_of_each_key_and_order_is_kept():
    first, other = Triple("b", "r", "c", (0, 1)), Triple("a", "r", "c")
    judged = _one([first, other, Triple("b", "r", "c", (5, 6))], [])
    assert list(judged.gold.values()) == [first, other]
    assert list(judged.gold) == [first.key, other.key]


def test_of_repeated_predictions_the_highest_score_stays():
    triples = [Triple("a", "r", "b", score=s) for s in (None, 0.2, 0.7, 0.7, 0.1)]
    assert list(_one([], triples).predicted.values()) == [triples[2]]
    assert _one([], triples).predicted[triples[0].key] is triples[2]
    assert list(_one([], triples[:1]).predicted.values()) == triples[:1]


def test_what_the_protocol_drops_is_not_there():
    loop, unknown, good = Triple("a", "r", "a"), Triple("a", "s", "b"), Triple("a", "r", "b")
    predicted = [loop, unknown, good]
    assert list(_one([good], predicted, "nayak").predicted.values()) == [good]
    assert list(_one([good], predicted, "nayak", relations={"r", "s"}).predicted.values()) == [
        unknown,
        good,
    ]
    assert len(_one([good], predicted).predicted) == 3


def test_span_needs_spans_of_gold():
    with pytest.raises(ScoringError, match="no spans"):
        _one([Triple("a", "r", "b")], [], "span")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_cases_add_up_to_the_score(protocol):
    rng = random.Random(protocol)
    seen = Counts()
    for _ in range(100):
        gold, predictions = random_corpus(rng, scored=True)
        judged = judge(gold, predictions, PROTOCOLS[protocol])
        assert total(judged) == score(gold, predictions, PROTOCOLS[protocol]).total
        assert [one.document for one in judged] == gold
        seen += total(judged)
    assert 0 < seen.correct < min(seen.predicted, seen.gold)
