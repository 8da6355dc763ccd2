"""What one of two systems gets right: hand-made, and literal loops on random cases."""

import random

import pytest

from grel.records import Document, Triple
from grel.scoring.contrast import DIFFERENCES, SIDES, contrast
from grel.scoring.judged import judge, total
from grel.scoring.protocols import PROTOCOLS, ScoringError
from tests.scoring.cases import random_corpus, random_triple


def _judged(predicted, gold="abcd", id="1", text="t"):
    documents = (
        Document(id, text, tuple(Triple(name, "r", "x") for name in names))
        for names in (gold, predicted)
    )
    return judge(*([d] for d in documents), PROTOCOLS["exact"])


def _heads(triples):
    return "".join(triple.head for triple in triples)


def test_every_triple_has_its_side():
    (found,) = contrast(_judged("abwu"), _judged("acwv"))
    assert {name: _heads(getattr(found, name)) for name in SIDES} == {
        "found_by_both": "a",
        "found_by_first": "b",
        "found_by_second": "c",
        "missed_by_both": "d",
        "wrong_in_both": "w",
        "wrong_in_first": "u",
        "wrong_in_second": "v",
    }
    assert found.differs


@pytest.mark.parametrize(("first", "second"), [("", ""), ("ab", "ba"), ("aw", "aw")])
def test_systems_that_agree_do_not_differ(first, second):
    (found,) = contrast(_judged(first), _judged(second))
    assert not found.differs


@pytest.mark.parametrize(("first", "second"), [("a", ""), ("", "a"), ("w", ""), ("", "w")])
def test_one_triple_more_is_a_difference(first, second):
    (found,) = contrast(_judged(first), _judged(second))
    assert found.differs


def test_record_is_json_with_triples_as_lists():
    (found,) = contrast(_judged("a", gold="a"), _judged("", gold="a"))
    assert found.to_record() == {
        "id": "1",
        "text": "t",
        "found_by_both": [],
        "found_by_first": [["a", "r", "x"]],
        "found_by_second": [],
        "missed_by_both": [],
        "wrong_in_both": [],
        "wrong_in_first": [],
        "wrong_in_second": [],
    }


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"gold": "abc"}, "document '1': the gold triples differ"),
        ({"id": "2"}, "'1' and '2' are not the same"),
        ({"text": "u"}, "are not the same"),
    ],
)
def test_other_gold_is_an_error(other, message):
    with pytest.raises(ScoringError, match=message):
        contrast(_judged("a"), _judged("a", **other))
    with pytest.raises(ScoringError, match="1 and 0 documents"):
        contrast(_judged("a"), [])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_cases_equal_the_literal_definition(protocol):
    rng = random.Random(protocol)
    rule = PROTOCOLS[protocol]
    seen = set()
    for _ in range(60):
        gold, predictions = random_corpus(rng)
        others = [
            Document(
                p.id,
                p.text,
                tuple(
                    triple
                    for triple in (*p.triples, *g.triples, random_triple(rng, "xy"))
                    if rng.random() < 0.5
                ),
            )
            for g, p in zip(gold, predictions, strict=True)
        ]
        first, second = (judge(gold, side, rule) for side in (predictions, others))
        found = contrast(first, second)
        for one, a, b in zip(found, first, second, strict=True):
            sides = {name: [rule.key_fn(t) for t in getattr(one, name)] for name in SIDES}
            for key in a.gold:
                name = {
                    (True, True): "found_by_both",
                    (True, False): "found_by_first",
                    (False, True): "found_by_second",
                    (False, False): "missed_by_both",
                }[key in a.predicted, key in b.predicted]
                assert key in sides[name]
            num_gold = sum(len(sides[name]) for name in SIDES[:4])
            assert num_gold == len(a.gold)
            wrong = {key for key in a.predicted if key not in a.gold}
            other_wrong = {key for key in b.predicted if key not in b.gold}
            assert set(sides["wrong_in_both"]) == wrong & other_wrong
            assert set(sides["wrong_in_first"]) == wrong - other_wrong
            assert set(sides["wrong_in_second"]) == other_wrong - wrong
            assert one.differs == (set(a.predicted) != set(b.predicted))
            seen |= {name for name in DIFFERENCES if sides[name]}
        both = sum(len(one.found_by_both) + len(one.found_by_first) for one in found)
        assert both == total(first).correct
    assert seen == set(DIFFERENCES)
