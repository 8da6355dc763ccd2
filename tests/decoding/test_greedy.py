"""Greedy search against the literal reference, over tables of logits instead of a model."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding import batching, copying, greedy, trace
from grel.text import bio, linearize
from grel.text.bio import B, I, O
from tests.decoding import reference
from tests.decoding.greedy_cases import (
    END,
    EXCLUDED,
    FORM,
    PART_END,
    SCHEMA,
    SCHEMAS,
    START,
    STEPS,
    TRIPLE_END,
    VOCAB,
    WIDTH,
    assert_writes,
    compiled_search,
    decode_row,
    kinds_of_steps,
    layout,
    random_cases,
    search,
    source_of,
    traced,
)


@pytest.fixture(autouse=True)
def _few_sizes(monkeypatch):
    """Batches halve once, at most: every size is compiled."""
    monkeypatch.setattr(batching, "MIN_ROWS", 1000)


@pytest.mark.parametrize("mode", copying.CHOICES["copy"])
def test_equals_the_reference(mode):
    """Thousands of rows, token by token, and every corner is among them many times."""
    num_rows = 2500 if mode == "on" else 600
    cases = random_cases(num_rows, seed=7)
    generated, sizes = search(cases, copying.Rules(copy=mode))
    assert set(sizes) <= {num_rows, 1250}
    met = collections.Counter()
    for row in range(num_rows):
        steps = decode_row(cases, row, mode=mode)
        assert_writes(generated, row, steps)
        met.update(kinds_of_steps(source_of(cases, row), steps))
        for t, step in enumerate(steps):
            q = reference.copied_so_far(
                [s.token for s in steps[: t + 1]], [s.label for s in steps[: t + 1]]
            )
            place = bio.occurrences(source_of(cases, row), q)
            position = place[0] + len(q) - 1 if place else -1
            assert generated.position_BT[row, t] == position, (row, t, step)
    if mode == "on":
        assert 1250 in sizes
        assert min(met.values()) >= 25, met


@pytest.mark.parametrize(
    ("mode", "scores"),
    [
        ("on", "raw"),
        ("su", "renormalized"),
        pytest.param("words", "renormalized", marks=pytest.mark.slow),
    ],
)
def test_joint_choice_equals_the_reference(mode, scores):
    """The likeliest pair of label and token, which is often not that of the likeliest label."""
    cases = random_cases(600, seed=9, ties=False)
    generated, _ = search(cases, copying.Rules(copy=mode, label="joint", scores=scores))
    others = 0
    for row in range(600):
        steps = decode_row(cases, row, mode=mode, choose="joint", scores=scores)
        assert_writes(generated, row, steps)
        others += steps != decode_row(cases, row, mode=mode, scores=scores)
    # Where labels decide nothing, it makes no difference.
    assert others == 0 if mode == "words" else others > 300


@pytest.fixture(scope="module")
def structured():
    """Rows that were written with structure="on", and what the reference writes."""
    cases = random_cases(2500, seed=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "MIN_ROWS", 1000)
        generated, _ = search(cases, copying.Rules(SCHEMA.grammar()))
    return cases, generated, [decode_row(cases, row, layout=layout()) for row in range(2500)]


def test_structure_equals_the_reference(structured):
    cases, generated, expected = structured
    met = collections.Counter()
    for row, steps in enumerate(expected):
        assert_writes(generated, row, steps)
        tokens = [s.token for s in steps]
        met[f"{tokens.count(TRIPLE_END)} triple ends"] += 1
        met["relation within a relation"] += any(
            six == 6 and after in (7, TRIPLE_END, END)
            for six, after, step in zip(tokens, tokens[1:], steps, strict=False)
            if step.label == O
        )
        met["nothing to say"] += tokens == [END]
        met["cut short"] += len(tokens) == STEPS and tokens[-1] != END
        met["long entity"] += any(
            (steps[t].label, steps[t + 1].label) == (I, I) for t in range(len(steps) - 1)
        )
        met["end of the sentence"] += any(
            s.label != O
            and not reference.continuations(
                source_of(cases, row), tokens[: t + 1], [s.label for s in steps[: t + 1]], EXCLUDED
            )
            for t, s in enumerate(steps)
        )
        met["no candidates"] += steps != [] and set(source_of(cases, row)) <= set(EXCLUDED)
    assert min(met[f"{n} triple ends"] for n in (0, 1, 2)) >= 25, met
    assert min(n for kind, n in met.items() if "triple ends" not in kind) >= 25, met


@pytest.mark.parametrize("form", ["rht", "opened"])
def test_other_forms_equal_the_reference_and_are_whole(form):
    schema = SCHEMAS[form]
    cases = random_cases(600, seed=13)
    generated, _ = search(cases, copying.Rules(schema.grammar()), other_ids=schema.token_ids)
    num_triples = 0
    for row in range(600):
        steps = decode_row(cases, row, layout=layout(form=form))
        assert_writes(generated, row, steps)
        tokens = [s.token for s in steps if s.token != END]
        ended = bool(steps) and steps[-1].token == END
        parsed = linearize.parse(tokens if ended else tokens[: schema.whole(tokens)], schema.form)
        assert parsed.num_malformed == 0
        num_triples += len(parsed.triples)
        told = trace.trace(
            source_of(cases, row),
            tokens,
            [s.label for s in steps if s.token != END],
            excluded_ids=EXCLUDED,
            schema=schema,
        )
        allowed = [s.allowed for s in steps if s.token != END]
        assert [s.allowed and set(s.allowed) for s in told] == allowed
    assert num_triples > 200


def pointed_cases(num_rows: int, seed: int):
    """`random_cases` of a model that points: its logits are those of places."""
    _, bio_table, source_BS, length_B = random_cases(num_rows, seed, ties=False)
    rng = np.random.default_rng(seed + 1)
    num_places = WIDTH + len(SCHEMA.token_ids)
    table = rng.normal(0, 2, (num_rows, STEPS, VOCAB, num_places)).astype(np.float32)
    table[..., WIDTH + SCHEMA.token_ids.index(END)] -= rng.choice([-3, 1, 9], (num_rows, 1, 1))
    place_S = np.arange(WIDTH)
    inside_BS = (place_S > 0) & (place_S < length_B[:, None] - 1)
    table[..., :WIDTH] = np.where(inside_BS[:, None, None], table[..., :WIDTH], -np.inf)
    return table, bio_table, source_BS, length_B


@pytest.mark.parametrize(
    ("copy", "structured", "label", "scores"),
    [
        ("on", False, "argmax", "raw"),
        pytest.param(*("on", False, "joint", "renormalized"), marks=pytest.mark.slow),
        ("su", False, "argmax", "renormalized"),
        ("off", False, "argmax", "raw"),
        pytest.param(*("on", True, "argmax", "raw"), marks=pytest.mark.slow),
        ("on", True, "joint", "renormalized"),
    ],
)
def test_a_pointer_equals_the_reference(copy, structured, label, scores):
    """A token's probability is the sum over its places; the place is the one given most."""
    cases = pointed_cases(400, seed=21)
    grammar = SCHEMA.grammar() if structured else None
    rules = copying.Rules(grammar, copy, label, scores, head="pointer")
    generated, _ = search(cases, rules)
    met = collections.Counter()
    for row, (table, source_S) in enumerate(zip(cases[0], cases[2], strict=True)):
        source = source_of(cases, row)
        if not source:
            continue
        ids = [*source_S, *SCHEMA.token_ids]
        steps = reference.decode(
            source,
            lambda step, token, table=table, row=row, ids=ids: (
                reference.over_vocabulary(table[step, token], ids, VOCAB),
                cases[1][row, step, token],
            ),
            max_steps=STEPS,
            start_id=START,
            end_id=END,
            excluded=EXCLUDED,
            mode=copy,
            layout=layout() if structured else None,
            choose=label,
            scores=scores,
        )
        assert_writes(generated, row, steps)
        tokens, labels = [s.token for s in steps], [s.label for s in steps]
        masses = []
        for t, last in enumerate([START, *tokens[:-1]]):
            logits = table[t, last].astype(float)
            masses.append((logits - np.logaddexp.reduce(logits))[1:])
        for t in range(len(steps)):
            place = reference.pointed_place(source, tokens[: t + 1], labels[: t + 1], masses)
            assert generated.position_BT[row, t] == place, (row, t)
            q = reference.copied_so_far(tokens[: t + 1], labels[: t + 1])
            places = bio.occurrences(source, q)
            met["not the first place"] += bool(places) and place != places[0] + len(q) - 1
            met["several places"] += len(places) > 1
    assert met["not the first place"] >= 25, met


@pytest.mark.parametrize("head", ["vocabulary", "pointer"])
def test_a_bias_of_the_end_is_added_to_its_logit(head):
    """Decoding with a bias is decoding with other logits of the end."""
    cases = (pointed_cases if head == "pointer" else random_cases)(100, 23)
    at = WIDTH + SCHEMA.token_ids.index(END) if head == "pointer" else END
    table = cases[0].copy()
    table[..., at] -= 1.5
    if head == "pointer":  # the end may stand in the source
        table[..., :WIDTH] -= np.where(cases[2] == END, 1.5, 0)[:, None, None]
    rules = copying.Rules(SCHEMA.grammar(), head=head, end_id=END)
    biased, _ = search(cases, rules.replace(end_bias=np.float32(-1.5)))
    expected, _ = search((table, *cases[1:]), rules)
    jax.tree.map(np.testing.assert_array_equal, biased, expected)
    assert (biased.length_B > search(cases, rules)[0].length_B).any()


@pytest.mark.parametrize(
    ("form", "settings", "num_rows"),
    [
        ("", {}, 2500),
        pytest.param("", {"copy": "off"}, 600, marks=pytest.mark.slow),
        pytest.param("", {"copy": "su", "scores": "renormalized"}, 600, marks=pytest.mark.slow),
        pytest.param("htr", {}, 2500, marks=pytest.mark.slow),
        pytest.param("rht", {"end_bias": -1.5, "end_id": END}, 600, marks=pytest.mark.slow),
        pytest.param(
            *("opened", {"label": "joint", "scores": "renormalized"}, 600), marks=pytest.mark.slow
        ),
        pytest.param("", {"head": "pointer"}, 400, marks=pytest.mark.slow),
        pytest.param(*("htr", {"head": "pointer", "label": "joint"}, 400), marks=pytest.mark.slow),
    ],
)
def test_drafts_change_nothing_that_is_written(form, settings, num_rows, monkeypatch):
    """Right ones, wrong ones, both and real ones, on rows that `test_equals_the_reference` has."""
    monkeypatch.setattr(greedy, "FIRST_ROOM", 6)
    make = pointed_cases if settings.get("head") == "pointer" else random_cases
    cases = make(num_rows, 7)
    schema = SCHEMAS[form or "htr"]
    grammar = jax.tree.map(jnp.asarray, schema.grammar())
    rules = copying.Rules(grammar if form else None, **settings, followed=grammar)
    how = {"other_ids": schema.token_ids}
    plain, sizes = search(cases, rules, **how)
    wrong_BT = np.random.default_rng(0).random((num_rows, STEPS)) < 0.3
    num_steps = [len(sizes)]
    for is_wrong_BT in (np.ones_like(wrong_BT), wrong_BT, np.zeros_like(wrong_BT), None):
        told = None if is_wrong_BT is None else (plain.tokens_BT, is_wrong_BT)
        drafted, sizes = search(cases, rules, **how, num_drafted=3, told=told)
        for name in ("tokens_BT", "labels_BT", "position_BT", "length_B"):
            np.testing.assert_array_equal(getattr(drafted, name), getattr(plain, name), name)
        np.testing.assert_allclose(drafted.log_prob_BT, plain.log_prob_BT, atol=1e-5)
        num_steps.append(len(sizes))
    # Some row writes all that there is room for: 16 tokens, at most 4 a step, and fewer in the last
    # step of the first stage where that ends for want of room.
    assert num_steps[0] == num_steps[1] == STEPS
    assert num_steps[1] > num_steps[2] > num_steps[3]
    assert num_steps[3] in (4, 5)
    assert num_steps[4] <= STEPS


def test_all_that_is_written_is_whole(structured):
    """Without looking at how: outputs parse, entities are of the sentence, relations known."""
    cases, generated, _ = structured
    num_triples = 0
    for row, length in enumerate(generated.length_B):
        ids = generated.tokens_BT[row, :length].tolist()
        parsed = linearize.parse(ids, FORM)
        # What had no room for its end may lack the rest of its last triple.
        assert parsed.num_malformed == 0 or (length == STEPS and parsed.num_malformed == 1)
        for n, slots in enumerate(parsed.triples):
            for entity in (slots.head, slots.tail):
                assert bio.occurrences(source_of(cases, row), ids[entity])
                end = generated.position_BT[row, entity.stop - 1] + 1
                source = source_of(cases, row)
                assert source[end - entity.stop + entity.start : end] == ids[entity]
                assert not set(ids[entity]) & set(EXCLUDED)
            last = length == STEPS and n == len(parsed.triples) - 1
            assert last or tuple(ids[slots.relation]) in SCHEMA.relation_ids.values()
            num_triples += 1
    assert num_triples > 700


@pytest.mark.parametrize("relations", [["ab"], ["a", "d"], ["d", "c"]])
def test_relations_are_restricted_without_compiling_again(structured, relations):
    cases, everything, _ = structured
    traced.clear()
    generated, _ = search(cases, copying.Rules(SCHEMA.grammar(relations)))
    assert not traced
    assert (generated.tokens_BT != everything.tokens_BT).any(-1).sum() > 200
    for row in range(0, 2500, 4):
        assert_writes(generated, row, decode_row(cases, row, layout=layout(relations)))


def test_structure_with_joint_renormalized_choice_equals_the_reference():
    """A token that is the only one allowed is certain."""
    cases = random_cases(600, seed=11, ties=False)
    rules = copying.Rules(SCHEMA.grammar(), label="joint", scores="renormalized")
    generated, _ = search(cases, rules)
    for row in range(600):
        steps = decode_row(cases, row, layout=layout(), choose="joint", scores=rules.scores)
        assert_writes(generated, row, steps)
    after_head = generated.tokens_BT == PART_END
    np.testing.assert_allclose(generated.log_prob_BT[after_head], 0, atol=1e-5)


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_traces_tell_what_was_allowed(structured, schema):
    """A trace is made from what was written alone; the reference knows what it allowed."""
    cases, _, expected = structured
    for row in range(0, 2500, 5):
        steps = expected[row] if schema else decode_row(cases, row)
        steps = [s for s in steps if s.token != END]
        told = trace.trace(
            source_of(cases, row),
            [s.token for s in steps],
            [s.label for s in steps],
            excluded_ids=EXCLUDED,
            schema=schema,
        )
        assert [(s.label, s.token_id) for s in told] == [("OBI"[s.label], s.token) for s in steps]
        assert [s.allowed and set(s.allowed) for s in told] == [s.allowed for s in steps]
        assert all(s.allowed is None or s.allowed == sorted(s.allowed) for s in told)


def scripted(ends: list[int]):
    """Rows that write 7 until they write END at the given step (never where that is STEPS)."""
    rows = len(ends)
    token_table = np.zeros((rows, STEPS, VOCAB, VOCAB), np.float32)
    token_table[..., 7] = 1
    for row, end in enumerate(ends):
        token_table[row, end:, :, END] = 2
    source_BS = np.tile(np.array([1, 7, 8, END, *[0] * (WIDTH - 4)], np.int32), (rows, 1))
    bio_table = np.zeros((rows, STEPS, VOCAB, 3), np.float32)
    return token_table, bio_table, source_BS, np.full(rows, 4)


@pytest.mark.parametrize(
    ("ends", "num_executed"), [([0, 0, 0], 2), ([0, 3, 2], 4), ([0, 4, 2], 6), ([0, 16, 3], 16)]
)
def test_stops_when_all_rows_have_ended(ends, num_executed):
    generated, sizes = search(scripted(ends))
    assert len(sizes) == num_executed
    assert generated.length_B.tolist() == ends


def test_rows_without_a_source_are_not_waited_for():
    token_table, bio_table, source_BS, _ = scripted([0, 16, 16])
    generated, sizes = search((token_table, bio_table, source_BS, np.array([4, 0, 2])))
    assert len(sizes) == 2
    assert not generated.length_B.any()
    assert search((token_table, bio_table, source_BS, np.zeros(3, int)))[1] == []


def test_the_batch_halves_with_its_rows(monkeypatch):
    """The rows that go on are gathered, wherever they stand, and keep their places."""
    monkeypatch.setattr(batching, "MIN_ROWS", 2)
    ends = [1, 5, 16, 1, 1, 9, 1, 5]
    generated, sizes = search(scripted(ends))
    assert generated.length_B.tolist() == ends
    assert sizes == [8] * 2 + [4] * 4 + [2] * 10


def test_a_row_does_not_depend_on_the_others():
    """The first rows among others that go on longer, and among others that end at once."""
    cases = random_cases(400, seed=8)
    both = [search(cases)[0]]
    token_table = cases[0].copy()
    token_table[200:, ..., END] += 100
    both.append(search((token_table, *cases[1:]))[0])
    assert (both[1].length_B[200:] < both[0].length_B[200:]).any()
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_array_equal(one[:200], other[:200])


def test_log_probabilities_are_those_of_the_unmasked_distribution():
    """A copied token that is unlikely under the model keeps its low probability."""
    token_table, bio_table, source_BS, length_B = scripted([1, 0, 0])
    token_table[0, 0, START] = np.log([0.5, *[0.01] * 6, 0.1, 0.2, 0.04, 0.05, 0.05])
    bio_table[0, 0, :, B] = 1
    generated, _ = search((token_table, bio_table, source_BS, length_B))
    assert generated.tokens_BT[0, 0] == 8
    assert math.isclose(generated.log_prob_BT[0, 0], math.log(0.2), rel_tol=1e-5)


@pytest.mark.parametrize(("num_tokens", "num_steps"), [(1, 2), (7, 8), (8, 10), (128, 130)])
def test_num_steps_for_leaves_room_for_the_end(num_tokens, num_steps):
    assert greedy.num_steps_for(num_tokens) == num_steps


def test_refuses_steps_that_it_could_not_write_down():
    with pytest.raises(ValueError, match="num_steps is 13; it must be a multiple of 2"):
        compiled_search(*scripted([0]), copying.Rules(), num_steps=13)
