"""The look-up: by example, and against a literal reference."""

import json
import random

import pytest

from grel.config import get_config
from grel.errors import ConfigError
from grel.extraction.extractor import Extractor
from grel.families.lookup import Index, System, fit, from_params, to_params
from grel.families.writer import Tally
from grel.records import Document, Triple, check

NEWS = [
    Document("a", "Ann lives in New York .", (Triple("Ann", "lives_in", "New York"),)),
    Document("b", "Ann of York reads the New York Times", (Triple("Ann", "from", "York"),)),
    Document("c", "Ann left New York for York", (Triple("Ann", "left", "New York"),)),
    Document("d", "Bo owns Bo", (Triple("Bo", "owns", "Bo"), Triple("Bo", "is", "Zoë"))),
]


def _lookup(documents=NEWS, **options):
    params = to_params(fit(documents))
    return Extractor(System(get_config("lookup"), len(params["triples"])), params, **options)


def _places(text, *names):
    return Index({(name, "r", name): (1, 1) for name in names}).places(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("York and New York", {"York": [(0, 4)], "New York": [(9, 17)]}),
        ("the New York Times", {"New York": [(4, 12)]}),
        ("New Yorkers", {}),
        ("New  York", {"York": [(5, 9)]}),
        ("New", {}),
        ("", {}),
    ],
)
def test_a_name_inside_of_a_longer_one_does_not_stand_there(text, expected):
    assert _places(text, "New York", "York") == expected


def test_names_may_overlap():
    assert _places("a b c", "a b", "b c", "b") == {"a b": [(0, 3)], "b c": [(2, 5)]}


def _literal_places(text, names):
    """All runs of words that are names, without those inside of another."""
    words = text.split()
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    runs = [
        (first, last)
        for first in range(len(words))
        for last in range(first, len(words))
        if " ".join(words[first : last + 1]) in names
    ]
    places = {}
    for first, last in runs:
        if not any(a <= first and last <= b and (a, b) != (first, last) for a, b in runs):
            span = starts[first], starts[last] + len(words[last])
            places.setdefault(text[slice(*span)], []).append(span)
    return places


def test_random_texts_give_what_the_literal_definition_does():
    rng = random.Random(3)
    num_inside = 0
    for _ in range(400):
        names = [" ".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(9)]
        known = {(rng.choice(names), rng.choice("rs"), rng.choice(names)) for _ in range(9)}
        names = {name for head, _, tail in known for name in (head, tail)}
        text = " ".join(rng.choices("abcd", k=rng.randint(0, 12)))
        index = Index(dict.fromkeys(known, (1, 1)))
        expected = _literal_places(text, names)
        assert index.places(text) == expected
        num_inside += sum(f" {name} " in f" {text} " for name in names) - len(expected)
        found = {triple.key for triple in index.triples(text)}
        assert found == {
            (head, relation, tail)
            for head, relation, tail in known
            if head in expected and tail in expected and (head != tail or len(expected[head]) > 1)
        }
        check(Document("a", text or "-", tuple(index.triples(text))))
    assert num_inside > 50


def test_triples_carry_all_places_and_stand_in_the_order_of_the_text():
    (document,) = _lookup()(["New York saw York and Ann ; Ann and York left"])
    assert [(t.key, t.head_span, t.tail_span) for t in document.triples] == [
        (("Ann", "left", "New York"), (22, 25), (0, 8)),
        (("Ann", "lives_in", "New York"), (22, 25), (0, 8)),
        (("Ann", "from", "York"), (22, 25), (13, 17)),
    ]
    assert document.triples[2].head_spans == ((22, 25), (28, 31))
    assert document.triples[2].tail_spans == ((13, 17), (4, 8), (36, 40))
    check(document)


def test_a_triple_of_a_name_with_itself_needs_two_places():
    assert [d.triples for d in _lookup()(["Bo left"])] == [()]
    ((triple,),) = (d.triples for d in _lookup()(["Bo meets Bo"]))
    assert (triple.head_span, triple.tail_span) == ((0, 2), (9, 11))


def test_scores_are_shares_of_the_training_sentences_that_have_both_names():
    # Ann and New York stand in a, b and c, and one of these has each triple. Ann and York stand in
    # b and c. Bo and Zoë stand nowhere, but d has a triple of them.
    assert fit(NEWS) == {
        ("Ann", "from", "York"): (1, 2),
        ("Ann", "left", "New York"): (1, 3),
        ("Ann", "lives_in", "New York"): (1, 3),
        ("Bo", "is", "Zoë"): (1, 1),
        ("Bo", "owns", "Bo"): (1, 1),
    }
    assert fit([]) == {}
    assert [t.score for d in _lookup()(["Ann in New York"]) for t in d.triples] == [1 / 3, 1 / 3]


def test_parameters_bring_the_triples_back():
    known = fit(NEWS)
    assert from_params(to_params(known)) == known
    assert _lookup([])(["Ann in York"]) == [Document("0", "Ann in York")]


def test_options():
    text = ["Ann in New York ; Bo and Bo"]
    kept, tally = _lookup(min_score=0.6).documents([Document("0", text[0])])
    assert [t.key for d in kept for t in d.triples] == [("Bo", "owns", "Bo")]
    assert tally == Tally(below_min_score=2)
    found = _lookup(windows=False).restricted(["left", "is"])(text)
    assert [t.relation for d in found for t in d.triples] == ["left"]
    for options, message in (
        ({"copy": "off"}, "unknown option 'copy'; there are windows, min_score, relations"),
        ({"min_score": 2.0}, "min_score is 2.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            _lookup(**options)
    with pytest.raises(ConfigError, match="unknown relation 'lifes_in'; one of from, is, left"):
        _lookup().restricted(["lifes_in"])
    with pytest.raises(ConfigError, match="no relations to write"):
        _lookup().restricted([])


def test_there_are_no_steps_and_no_alternatives():
    (extraction,) = _lookup().extractions([NEWS[0]])
    assert _lookup().alternatives(extraction) == []
    with pytest.raises(ConfigError, match="no steps to trace; leave out --trace"):
        _lookup().traces(extraction)


def test_texts_are_checked_first():
    with pytest.raises(TypeError, match=r"texts\[1\] is of type int"):
        _lookup()(["Ann", 1])


def test_identity_changes_with_what_is_extracted():
    found = [
        _lookup().identity(),
        _lookup(NEWS[:2]).identity(),
        _lookup(min_score=0.5).identity(),
        _lookup().restricted(["left"]).identity(),
    ]
    assert all(one != other for i, one in enumerate(found) for other in found[:i])
    assert json.dumps(found)
