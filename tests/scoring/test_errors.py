"""Error classes of entities: the paper's examples, the edges, and a literal reference."""

import itertools
import random

import pytest

from grel.records import Document, Triple
from grel.scoring.errors import EntityError, ErrorCounts, classify_entity, count_errors
from grel.scoring.protocols import ScoringError

MOORE = "Ann Moore , chairman of Time Inc. , spoke in New York ."
MOORE_GOLD = {"Ann Moore", "Time Inc."}


def test_incompletion_example_of_the_paper():
    text = "The tribe owns a casino in Southeastern Connecticut ."
    gold = {"Southeastern Connecticut"}
    assert classify_entity("Connecticut", gold, text) is EntityError.INCOMPLETION


def test_disorder_example_of_the_paper():
    assert classify_entity("Inc. Ann Moore", MOORE_GOLD, MOORE) is EntityError.DISORDER


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ("Ann Moore", None),
        ("Ann", EntityError.INCOMPLETION),
        ("Inc.", EntityError.INCOMPLETION),
        ("Moore Ann", EntityError.DISORDER),
        ("Time Ann Moore", EntityError.DISORDER),
        ("Ann Moore Moore", EntityError.DISORDER),
        ("Moore Ann Smith", EntityError.DISORDER),
        # Words of the text in their order, but not side by side there.
        ("Ann Moore chairman", EntityError.DISORDER),
        # Merely too long: one stretch of the text around a gold entity.
        ("chairman of Time Inc.", EntityError.OTHER),
        ("Ann Moore , chairman of Time Inc.", EntityError.OTHER),
        # Words of two gold entities, all of neither.
        ("Ann Time", EntityError.OTHER),
        # Part of one gold entity, in the wrong company.
        ("Moore chairman", EntityError.OTHER),
        ("New York", EntityError.OTHER),
        ("Bob", EntityError.OTHER),
        ("ann moore", EntityError.OTHER),
    ],
)
def test_classes(entity, expected):
    assert classify_entity(entity, MOORE_GOLD, MOORE) is expected


def test_incompletion_may_leave_a_gap():
    gold = {"World Health Organization"}
    text = "The World Health Organization met ."
    assert classify_entity("World Organization", gold, text) is EntityError.INCOMPLETION
    assert classify_entity("Organization World", gold, text) is EntityError.OTHER


def test_an_entity_cut_short_is_incomplete_though_it_holds_a_smaller_gold_entity():
    gold = {"World Health Organization", "World"}
    text = "The World Health Organization met ."
    assert classify_entity("World Organization", gold, text) is EntityError.INCOMPLETION


def test_gold_order_matters_even_where_the_text_has_the_words_side_by_side():
    text = "between York New Jersey and New York ."
    assert classify_entity("York New", {"New York"}, text) is EntityError.DISORDER
    assert classify_entity("York New", {"New York", "York"}, text) is EntityError.DISORDER
    assert classify_entity("York New", {"York"}, text) is EntityError.OTHER


@pytest.mark.parametrize("text", [MOORE, MOORE.replace(" ", "  "), MOORE.replace("man", "mán")])
def test_white_space_and_accents_do_not_put_words_out_of_place(text):
    assert classify_entity("chairman\tof Time Inc.", MOORE_GOLD, text) is EntityError.OTHER


def test_repeated_words_are_counted():
    text = "New York New York , a hotel"
    gold = {"New York New York"}
    assert classify_entity("New York", gold, text) is EntityError.INCOMPLETION
    assert classify_entity("York New", gold, text) is EntityError.INCOMPLETION
    assert classify_entity("York York New", gold, text) is EntityError.OTHER
    assert classify_entity("York York New New", gold, text) is EntityError.DISORDER


def test_without_gold_entities_every_entity_is_another_error():
    assert classify_entity("Ann Moore", set(), MOORE) is EntityError.OTHER


def test_each_entity_counts_once_in_each_document():
    gold = [
        Document("a", MOORE, (Triple("Ann Moore", "company", "Time Inc."),)),
        Document("b", MOORE, (Triple("Ann Moore", "company", "Time Inc."),)),
        Document("c", MOORE),
    ]
    predictions = [
        Document("c", MOORE, (Triple("Ann Moore", "company", "Time Inc."),)),
        Document(
            "a",
            MOORE,
            (
                Triple("Ann", "company", "Time Inc."),
                Triple("Ann", "place", "New York"),
                Triple("Moore Ann", "place", "New York"),
            ),
        ),
        Document("b", MOORE, (Triple("Ann", "company", "Time Inc."),)),
    ]
    assert count_errors(gold, predictions) == ErrorCounts(
        incompletion=2, disorder=1, other=3, entities=8
    )


def test_documents_must_pair_up():
    with pytest.raises(ScoringError, match="'a'"):
        count_errors([Document("a", MOORE)], [])


def _literal_class(entity: list[str], gold: list[list[str]], text: list[str]):
    """The definition by enumeration: of all cut-down gold entities, and of all orders."""
    if entity in gold:
        return None
    for words in gold:
        for size in range(1, len(words)):
            if entity in map(list, itertools.combinations(words, size)):
                return EntityError.INCOMPLETION
    stretches = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    for words in gold:
        choices = list(map(list, itertools.permutations(entity, len(words))))
        in_order = words in map(list, itertools.combinations(entity, len(words)))
        if words in choices and not (in_order and entity in stretches):
            return EntityError.DISORDER
    return EntityError.OTHER


def test_random_cases_equal_the_literal_definition():
    rng = random.Random(7)
    seen = set()
    for _ in range(3000):
        text = rng.choices("abcd", k=rng.randint(1, 7))
        gold = [rng.choices("abcd", k=rng.randint(1, 4)) for _ in range(rng.randint(0, 3))]
        entity = rng.choice((text[rng.randrange(len(text)) :], rng.choices("abcd", k=4)))
        expected = _literal_class(entity, gold, text)
        found = classify_entity(
            " ".join(entity), {" ".join(words) for words in gold}, " ".join(text)
        )
        assert found is expected, (entity, gold, text)
        seen.add(found)
    assert seen == {None, *EntityError}
