"""The look-up: by example, and against a literal reference."""

import json

import pytest

from grel.config import get_config
from grel.errors import ConfigError
from grel.extraction.extractor import Extractor
from grel.families.lookup import System, from_params, to_params
from grel.families.writer import Tally
from grel.records import Document, Triple, check
from grel.text.known import fit

NEWS = [
    Document("a", "Ann lives in New York .", (Triple("Ann", "lives_in", "New York"),)),
    Document("b", "Ann of York reads the New York Times", (Triple("Ann", "from", "York"),)),
    Document("c", "Ann left New York for York", (Triple("Ann", "left", "New York"),)),
    Document("d", "Bo owns Bo", (Triple("Bo", "owns", "Bo"), Triple("Bo", "is", "Zoë"))),
]


def _lookup(documents=NEWS, **options):
    params = to_params(fit(documents))
    return Extractor(System(get_config("lookup"), len(params["triples"])), params, **options)


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


def test_relations_that_training_lacks_are_refused():
    config = get_config("lookup")
    config.decoding.relations = ("left", "lifes_in")
    message = "unknown relation 'lifes_in'; one of from, is, left, lives_in, owns"
    with pytest.raises(ConfigError, match=f"config.decoding.relations: {message}"):
        System.fit(config, NEWS)
    config.decoding.relations = ("left", "lives_in")
    found = Extractor(*System.fit(config, NEWS))(["Ann of New York and York"])
    assert [t.relation for d in found for t in d.triples] == ["left", "lives_in"]


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
