"""Batches that halve and caches that grow, with models made for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding import batching, beam, copying, greedy

START, END, EXCLUDED = 9, 3, (0, 3, 4, 5)
VOCAB, STEPS = 12, 16


@pytest.mark.parametrize(
    ("num_rows", "num_steps", "stages"),
    [
        (1, 31, [(1, 31, 0)]),
        (7, 32, [(7, 16, 0), (7, 32, 0)]),
        (8, 30, [(8, 30, 4), (4, 30, 0)]),
        (50, 40, [(50, 16, 25), (50, 40, 25), (25, 40, 12), (12, 40, 6), (6, 40, 0)]),
    ],
)
def test_stages(monkeypatch, num_rows, num_steps, stages):
    monkeypatch.setattr(batching, "MIN_ROWS", 4)
    assert list(greedy.stages(num_rows, num_steps)) == stages


# How many of 128 targets have so many wordpieces: the quantiles of NYT24's.
NYT24_LENGTHS = (
    {5: 13, 6: 17, 7: 13, 8: 12, 9: 10, 10: 7, 11: 9, 12: 3, 13: 5, 14: 1, 15: 7, 16: 1, 17: 5}
    | {18: 1, 19: 3, 21: 2, 22: 1, 23: 2, 25: 6, 27: 1, 28: 1, 29: 1, 31: 1, 33: 1, 36: 1, 39: 1}
    | {43: 1, 51: 1, 69: 1}
)


def test_row_steps_are_near_what_the_lengths_need():
    """At most 1.3 steps a token (the end token is one) on lengths as NYT24's."""
    rng = np.random.default_rng(0)

    @jax.jit
    def write(length_B):
        source_BS = jnp.full((len(length_B), 4), 7)
        return greedy.search(
            lambda state, token_B: (
                jax.nn.one_hot(jnp.where(state[0] == state[1], END, 7), VOCAB),
                jnp.zeros((len(token_B), 3)),
                (state[0], state[1] + 1),
            ),
            (length_B, jnp.int32(0)),
            copying.copy_masks(source_BS, jnp.full(len(length_B), 4), EXCLUDED),
            copying.Rules(),
            num_steps=150,
            start_id=START,
            end_id=END,
            take_rows_fn=lambda state, index_B: (state[0][index_B], state[1]),
            grow_fn=lambda state, num_steps: state,
        )

    needed = run = 0
    for _ in range(8):
        length_B = rng.choice(np.repeat([*NYT24_LENGTHS], [*NYT24_LENGTHS.values()]), 128)
        generated, num_row_steps = write(length_B)
        np.testing.assert_array_equal(generated.length_B, length_B)
        needed += (length_B + 1).sum()
        run += int(num_row_steps)
    assert needed < run <= 1.3 * needed


@pytest.mark.parametrize("num_beams", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_what_was_written_is_remembered_when_the_state_grows(monkeypatch, num_beams):
    """A model that depends on all it was fed writes the same, whatever room it has at first."""
    rng = np.random.default_rng(0)
    token_table, bio_table = (jnp.array(rng.normal(size=(31, n))) for n in (VOCAB, 3))
    token_table = token_table.at[:, END].set(jnp.where(jnp.arange(31) % 6 == 0, 9, -9))
    source_length_B = rng.integers(3, 10, 32) * (np.arange(32) != 5)  # one row without a source
    source_BS = rng.integers(6, VOCAB, (32, 9))
    rooms = []

    def write(source_BS, source_length_B):
        def step_fn(state, token_R):
            memory_RT, step = state
            rooms.append(memory_RT.shape[1])
            memory_RT = memory_RT.at[:, step].add(token_R + step)
            key_R = memory_RT.sum(-1) % 31
            return token_table[key_R], bio_table[key_R], (memory_RT, step + 1)

        def grow_fn(state, num_steps):
            memory_RT, step = state
            return jnp.pad(memory_RT, ((0, 0), (0, num_steps - memory_RT.shape[1]))), step

        rows = len(source_BS) * max(1, num_beams)
        memory_RT = jnp.zeros((rows, greedy.first_room(STEPS)), jnp.int32)
        state = memory_RT.at[:, 0].set(jnp.arange(rows)), jnp.int32(0)
        masks = copying.copy_masks(source_BS, source_length_B, EXCLUDED)
        rest = {"num_steps": STEPS, "start_id": START, "end_id": END, "grow_fn": grow_fn}

        def take_rows_fn(state, index_B):
            memory_BWT = state[0].reshape(len(state[0]) // max(1, num_beams), -1, STEPS)
            return memory_BWT[index_B].reshape(-1, STEPS), state[1]

        rest["take_rows_fn"] = take_rows_fn
        if not num_beams:
            return greedy.search(step_fn, state, masks, copying.Rules(), **rest)

        def reorder_fn(state, origin_BW):
            memory_BWT = state[0].reshape(*origin_BW.shape, -1)
            memory_BWT = jnp.take_along_axis(memory_BWT, origin_BW[..., None], axis=1)
            return memory_BWT.reshape(state[0].shape), state[1]

        rest |= {"reorder_fn": reorder_fn, "num_beams": num_beams}
        return beam.search(step_fn, state, masks, copying.Rules(), **rest)

    monkeypatch.setattr(greedy, "FIRST_ROOM", 4)
    grown = jax.jit(write)(source_BS, source_length_B)
    assert set(rooms) == {4, STEPS}
    monkeypatch.setattr(greedy, "FIRST_ROOM", STEPS)
    rooms.clear()
    whole = jax.jit(functools.partial(write))(source_BS, source_length_B)
    assert set(rooms) == {STEPS}
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), grown, whole))
    written = grown[0].written if num_beams else grown[0]
    assert {0, 2, 5, STEPS} < {*written.length_B.ravel().tolist()}


def test_what_rows_that_go_on_apart_have_written_is_remembered(monkeypatch):
    """A model that depends on all it was fed, and on no draft that was dropped."""
    monkeypatch.setattr(greedy, "FIRST_ROOM", 4)
    monkeypatch.setattr(batching, "MIN_ROWS", 4)
    num_rows, num_drafted = 32, 2
    rng = np.random.default_rng(0)
    token_table, bio_table = (jnp.array(rng.normal(size=(31, n))) for n in (VOCAB, 3))
    token_table = token_table.at[:, END].set(jnp.where(jnp.arange(31) % 6 == 0, 9, -9))
    source_length_B = rng.integers(3, 10, num_rows) * (np.arange(num_rows) != 5)
    source_BS = rng.integers(6, VOCAB, (num_rows, 9))
    source_BS[:, 0] = 100 + np.arange(num_rows)  # before the sentence, where nothing is read
    is_wrong_BT = jnp.array(rng.random((num_rows, STEPS + num_drafted)) < 0.3)

    def predictions(memory_BT, row_B, last_BF):
        """By the row and all that was fed up to a place; further on there may be anything."""
        sum_BF = jnp.take_along_axis(jnp.cumsum(memory_BT, axis=1), last_BF, axis=1)
        key_BF = (sum_BF + row_B[:, None]) % 31
        return token_table[key_BF], bio_table[key_BF]

    def step_fn(state, token_B):
        memory_BT, row_B, step_B = state
        memory_BT = memory_BT.at[jnp.arange(len(token_B)), step_B].add(token_B + step_B)
        logits = predictions(memory_BT, row_B, step_B[:, None])
        return *(x[:, 0] for x in logits), (memory_BT, row_B, step_B + 1)

    def feed_fn(state, tokens_BF):
        memory_BT, row_B, step_B = state
        place_BF = step_B[:, None] + jnp.arange(1 + num_drafted)[None]
        assert memory_BT.shape[1] in (4 + num_drafted, STEPS + num_drafted)
        row_B1 = jnp.arange(len(step_B))[:, None]
        memory_BT = memory_BT.at[row_B1, place_BF].set(tokens_BF + place_BF)
        return *predictions(memory_BT, row_B, place_BF), (memory_BT, row_B, step_B)

    def write(source_BS, source_length_B, written_BT=None):
        drafting = None
        if written_BT is not None:

            def draft_fn(masks, copied, tokens_BT, labels_BT, length_B):
                place_BU = length_B[:, None] + jnp.arange(num_drafted)[None]
                at = masks.source_BS[:, :1] - 100, place_BU
                return (written_BT[at] + is_wrong_BT[at]) % VOCAB

            drafting = greedy.Drafting(
                num_drafted, draft_fn, feed_fn, lambda state, num_B: (*state[:2], state[2] + num_B)
            )
        room = 4 + (num_drafted if drafting else 0)
        return greedy.search(
            step_fn,
            (
                jnp.zeros((num_rows, room), jnp.int32),
                jnp.arange(num_rows),
                jnp.zeros(num_rows, int),
            ),
            copying.copy_masks(source_BS, source_length_B, EXCLUDED),
            copying.Rules(),
            num_steps=STEPS,
            start_id=START,
            end_id=END,
            take_rows_fn=lambda state, index_B: jax.tree.map(lambda x: x[index_B], state),
            grow_fn=lambda state, room: (
                jnp.pad(state[0], ((0, 0), (0, room - state[0].shape[1]))),
                *state[1:],
            ),
            drafting=drafting,
        )

    plain, num_row_steps = jax.jit(write)(source_BS, source_length_B)
    told_BT = jnp.pad(plain.tokens_BT, ((0, 0), (0, num_drafted)))
    drafted, num_fewer = jax.jit(write)(source_BS, source_length_B, told_BT)
    assert jax.tree.all(jax.tree.map(lambda x, y: np.allclose(x, y, atol=1e-5), drafted, plain))
    assert num_fewer < 0.7 * num_row_steps
    assert len({*plain.length_B.tolist()}) > 4
