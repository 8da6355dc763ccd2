"""Traces by hand; tests/decoding/test_greedy.py holds thousands against the reference."""

from grel.decoding import structure
from grel.decoding.trace import Step, trace
from grel.text.bio import B, I, O
from grel.text.linearize import Form

END, PART_END, TRIPLE_END, EXCLUDED = 2, 3, 4, (0, 1, 2, 3, 4)
WORLD, HEALTH, MONTH, BY, ORGANIZATION = range(10, 15)
SOURCE = [WORLD, HEALTH, MONTH, BY, WORLD, HEALTH, ORGANIZATION]


def test_each_step_with_what_it_continued_and_what_it_could_have_been():
    written = [(B, WORLD), (I, HEALTH), (I, ORGANIZATION), (I, MONTH), (O, PART_END), (B, BY)]
    labels, ids = zip(*written, strict=True)
    assert trace(SOURCE, ids, labels, excluded_ids=EXCLUDED) == [
        Step("B", 0, [WORLD, HEALTH, MONTH, BY, ORGANIZATION], WORLD),
        Step("I", 1, [HEALTH], HEALTH),
        Step("I", 2, [MONTH, ORGANIZATION], ORGANIZATION),
        Step("I", 3, None, MONTH),
        Step("O", 0, None, PART_END),
        Step("B", 0, [WORLD, HEALTH, MONTH, BY, ORGANIZATION], BY),
    ]


def test_docstring_example():
    x, y, z = 10, 11, 12
    told = trace([x, y, x, z], [x, z], [B, I], excluded_ids=EXCLUDED)
    assert [(step.match_length, step.allowed) for step in told] == [(0, [x, y, z]), (1, [y, z])]


def test_excluded_tokens_are_no_candidates():
    told = trace([10, 3, 11, 10], [10, 11], [B, I], excluded_ids=EXCLUDED)
    assert [step.allowed for step in told] == [[10, 11], None]


def test_without_copying_everything_is_allowed():
    told = trace(SOURCE, [WORLD, HEALTH], [B, I], excluded_ids=EXCLUDED, copy="off")
    assert [(step.match_length, step.allowed) for step in told] == [(0, None), (1, None)]


def test_a_structured_output():
    schema = structure.Schema(
        {"new": (20,), "new york": (20, 21), "old": (22,)},
        Form(PART_END, TRIPLE_END),
        END,
    )
    ids = [BY, PART_END, MONTH, PART_END, 20, TRIPLE_END, BY]
    labels = [B, O, B, O, O, O, B]
    told = trace(SOURCE, ids, labels, excluded_ids=EXCLUDED, schema=schema)
    words = sorted(set(SOURCE))
    assert [step.allowed for step in told] == [
        words,
        [PART_END],
        words,
        [PART_END],
        [20, 22],
        [END, TRIPLE_END, 21],
        words,
    ]
    few = trace(SOURCE, ids, labels, excluded_ids=EXCLUDED, schema=schema, relations=["new"])
    assert [step.allowed for step in few[4:6]] == [[20], [END, TRIPLE_END]]


def test_nothing_was_written():
    assert trace(SOURCE, [], [], excluded_ids=EXCLUDED) == []
