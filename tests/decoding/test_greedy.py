"""Greedy search against the literal reference, over tables of logits instead of a model."""

import collections
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.bio import B, I, O
from grel.decoding import copying, greedy
from tests.decoding import reference

START, END, EXCLUDED = 9, 3, (0, 3, 5)
VOCAB, WIDTH, STEPS = 12, 18, 16


@functools.partial(jax.jit, static_argnames=("mode", "num_steps"))
def _search(token_table_BTVV, bio_table_BTVC, source_BS, source_length_B, mode, num_steps=STEPS):
    rows = jnp.arange(len(source_BS))

    def step_fn(step, token_B):
        jax.debug.callback(executed.append, step)
        at = rows, step, token_B
        return token_table_BTVV[at], bio_table_BTVC[at], step + 1

    return greedy.search(
        step_fn,
        jnp.int32(0),
        copying.copy_masks(source_BS, source_length_B, EXCLUDED),
        num_steps=num_steps,
        start_id=START,
        end_id=END,
        mode=mode,
    )


executed: list[int] = []


def search(cases, mode="on"):
    """The result as numpy arrays, and how many steps were run for it."""
    executed.clear()
    generated = jax.tree.map(np.asarray, _search(*cases, mode=mode))
    jax.effects_barrier()
    return generated, len(executed)


def random_cases(num_rows: int, seed: int):
    """(token table, bio table, sources, lengths); a row's logits depend on step and last token.

    Sources draw from a few words, so that n-grams repeat, and hold excluded tokens now and then.
    Logits take a few values only, so that ties are frequent. Rows differ in how soon they end and
    in the labels they favor; some have no source at all.
    """
    rng = np.random.default_rng(seed)
    token_table = rng.integers(0, 4, (num_rows, STEPS, VOCAB, VOCAB)).astype(np.float32)
    token_table[..., END] -= rng.choice([-1, 1, 2, 9], (num_rows, 1, 1))
    bio_table = rng.integers(0, 3, (num_rows, STEPS, VOCAB, 3)).astype(np.float32)
    bio_table[..., I] += rng.choice([0, 1, 1], (num_rows, 1, 1))
    source_BS = np.zeros((num_rows, WIDTH), np.int32)
    length_B = rng.integers(2, WIDTH + 1, num_rows).astype(np.int32)
    length_B[rng.random(num_rows) < 0.02] = 0
    for row, length in enumerate(length_B):
        words = rng.choice([*range(6, VOCAB), *EXCLUDED], rng.integers(1, 8))
        if length:
            source_BS[row, :length] = [1, *rng.choice(words, length - 2), END]
    return token_table, bio_table, source_BS, length_B


def decode_row(cases, row: int, mode: str) -> list[reference.Step]:
    token_table, bio_table, source_BS, length_B = cases
    if length_B[row] <= 2:
        return []
    return reference.decode(
        source_BS[row, 1 : length_B[row] - 1].tolist(),
        lambda step, token: (token_table[row, step, token], bio_table[row, step, token]),
        max_steps=STEPS,
        start_id=START,
        end_id=END,
        excluded=EXCLUDED,
        mode=mode,
    )


def kinds_of_steps(source: list[int], steps: list[reference.Step]) -> collections.Counter:
    """How often each corner of METHOD section 6 was met."""
    met = collections.Counter()
    for t, step in enumerate(steps):
        tokens, labels = [s.token for s in steps[:t]], [s.label for s in steps[:t]]
        q = reference.copied_so_far(tokens, labels)
        places = [j for j in range(len(source)) if q and source[j : j + len(q)] == q]
        met["B"] += step.label == B
        if step.label == I:
            met["I before any B"] += not q
            met["no match"] += bool(q) and not places
            met["match only at the end"] += places == [len(source) - len(q)]
            met["excluded candidates only"] += bool(places) and all(
                j + len(q) < len(source) and source[j + len(q)] in EXCLUDED for j in places
            )
            met["q of three or more"] += step.allowed is not None and len(q) >= 3
            met["O inside"] += step.allowed is not None and O in labels[-len(q) :]
            met["several places"] += step.allowed is not None and len(places) > 1
    met["end at once"] += len(steps) == 1
    met["never ends"] += len(steps) == STEPS and steps[-1].token != END
    met["no source"] += not steps
    return met


@pytest.mark.parametrize("mode", copying.MODES)
def test_equals_the_reference(mode):
    """Thousands of rows, token by token, and every corner is among them many times."""
    cases = random_cases(2500, seed=7)
    _, _, source_BS, length_B = cases
    generated, _ = search(cases, mode)
    met = collections.Counter()
    for row, length in enumerate(length_B):
        steps = decode_row(cases, row, mode)
        met.update(kinds_of_steps(source_BS[row, 1 : max(1, length - 1)].tolist(), steps))
        n, where = len(steps), f"row {row}"
        assert generated.tokens_BT[row, :n].tolist() == [s.token for s in steps], where
        assert generated.labels_BT[row, :n].tolist() == [s.label for s in steps], where
        log_probs = [s.log_prob for s in steps]
        np.testing.assert_allclose(generated.log_prob_BT[row, :n], log_probs, atol=1e-5)
        assert generated.length_B[row] == sum(s.token != END for s in steps), where
        assert (generated.tokens_BT[row, n:] == END).all(), where
        assert (generated.labels_BT[row, n:] == O).all(), where
        assert (generated.log_prob_BT[row, n:] == 0).all(), where
    if mode == "on":
        assert min(met.values()) >= 25, met


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
    ("ends", "num_executed"), [([0, 0, 0], 8), ([0, 7, 3], 8), ([0, 8, 3], 16), ([0, 16, 3], 16)]
)
def test_stops_when_all_rows_have_ended(ends, num_executed):
    generated, num_steps = search(scripted(ends))
    assert num_steps == num_executed
    assert generated.length_B.tolist() == ends


def test_rows_without_a_source_are_not_waited_for():
    token_table, bio_table, source_BS, _ = scripted([0, 16, 16])
    generated, num_steps = search((token_table, bio_table, source_BS, np.array([4, 0, 2])))
    assert num_steps == 8
    assert not generated.length_B.any()
    assert search((token_table, bio_table, source_BS, np.zeros(3, int)))[1] == 0


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
    token_table, bio_table, source_BS, length_B = scripted([1])
    token_table[0, 0, START] = np.log([0.5, *[0.01] * 6, 0.1, 0.2, 0.04, 0.05, 0.05])
    bio_table[0, 0, :, B] = 1
    generated, _ = search((token_table, bio_table, source_BS, length_B))
    assert generated.tokens_BT[0, 0] == 8
    assert math.isclose(generated.log_prob_BT[0, 0], math.log(0.2), rel_tol=1e-5)


@pytest.mark.parametrize(("num_tokens", "num_steps"), [(1, 8), (7, 8), (8, 16), (128, 136)])
def test_num_steps_for_leaves_room_for_the_end(num_tokens, num_steps):
    assert greedy.num_steps_for(num_tokens) == num_steps


def test_refuses_steps_that_it_could_not_write_down():
    with pytest.raises(ValueError, match="num_steps is 12; it must be a multiple of 8"):
        _search(*scripted([0]), mode="on", num_steps=12)
