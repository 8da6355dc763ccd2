"""A table in place of a model, what a decoder writes with it, and the reference of that."""

import jax.numpy as jnp
import numpy as np

from grel.decoding import driver, network, program
from grel.decoding.structure import Schema
from grel.text import linearize
from tests.decoding import reference

PAD, CLS, SEP, PART_END, TRIPLE_END = EXCLUDED = 0, 1, 2, 3, 4
VOCAB, NUM_KEYS, NUM_STEPS, MAX_TARGET, BUCKETS = 14, 61, 10, 8, (8, 16)
FORM = linearize.Form(PART_END, TRIPLE_END)
SCHEMA = Schema({"a": (5,), "ab": (5, 6), "c": (7,)}, FORM, SEP)

shapes_encoded: list[tuple[int, ...]] = []


def init_fn(params, source_BS, source_length_B, num_steps, num_beams):
    """A row's logits depend on all of its ids, padding included, and on its length."""
    assert num_steps in (NUM_STEPS, NUM_STEPS + 2)  # with two drafted tokens behind the last one
    shapes_encoded.append(source_BS.shape)
    key_B = (source_BS.sum(-1) + source_length_B) % NUM_KEYS
    return jnp.repeat(key_B, num_beams), jnp.int32(0)


def step_fn(params, state, token_B):
    key_B, step = state
    token_table, bio_table = params
    at = key_B, step, token_B
    return token_table[at], bio_table[at], (key_B, step + 1)


def take_rows_fn(state, index_B):
    key_B, step = state
    return key_B[index_B], step[index_B] if step.ndim else step


def random_params():
    rng = np.random.default_rng(0)
    token_table = rng.integers(0, 4, (NUM_KEYS, NUM_STEPS, VOCAB, VOCAB)).astype(np.float32)
    token_table[..., SEP] -= rng.choice([-1, 0, 9], (NUM_KEYS, 1, 1))
    bio_table = rng.integers(0, 3, (NUM_KEYS, NUM_STEPS, VOCAB, 3)).astype(np.float32)
    return token_table, bio_table


PARAMS = random_params()


FUNCTIONS = network.Functions(
    init=init_fn,
    decoding_params=lambda params: params,
    step=step_fn,
    take_rows=take_rows_fn,
    grow=lambda state, num_steps: state,
    reorder_beams=lambda state, origin_BW: state,
)


def decoder(
    batch_size: int,
    copy: str = "on",
    buckets: tuple[int, ...] = BUCKETS,
    schema: Schema | None = None,
    relations=None,
    feeding: network.Feeding | None = None,
    joined_V=None,
    **fields,
):
    shapes_encoded.clear()
    return driver.Decoder(
        FUNCTIONS._replace(feeding=feeding),
        program.Options(copy, MAX_TARGET, batch_size, buckets, **fields),
        frame=program.Frame.packed(PAD, CLS, SEP),
        excluded_ids=EXCLUDED,
        schema=schema,
        relations=relations,
        joined_V=joined_V,
    )


def random_sources(num: int) -> list[list[int]]:
    """Of 0 to 20 tokens, where 14 fit into the last bucket."""
    rng = np.random.default_rng(1)
    return [rng.integers(3, VOCAB, rng.integers(0, 21)).tolist() for _ in range(num)]


def expected(source: list[int], mode: str = "on", relations=(), **how) -> list[reference.Step]:
    """All that is written for a source, the end token and what goes beyond the limit included."""
    seen = source[: BUCKETS[-1] - 2]
    if not seen:
        return []
    key = (CLS + sum(seen) + SEP + len(seen) + 2) % NUM_KEYS
    return reference.decode(
        seen,
        lambda step, token: (PARAMS[0][key, step, token], PARAMS[1][key, step, token]),
        max_steps=NUM_STEPS,
        start_id=SEP,
        end_id=SEP,
        excluded=EXCLUDED,
        mode=mode,
        layout=reference.Layout([SCHEMA.relation_ids[name] for name in relations], 3, 4, SEP)
        if relations
        else None,
        **how,
    )


def assert_same(one: driver.Written, other: driver.Written):
    for name in ("ids", "labels", "log_probs", "positions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.ended, one.num_cut) == (other.ended, other.num_cut)


def check(written: list[driver.Written], sources: list[list[int]], mode="on", relations=()):
    for one, source in zip(written, sources, strict=True):
        steps = expected(source, mode, relations)
        ended = not steps or SEP in [s.token for s in steps[: MAX_TARGET + 1]]
        steps = [s for s in steps if s.token != SEP][:MAX_TARGET]
        if relations and not ended:
            while steps and steps[-1].token != TRIPLE_END:
                steps.pop()
            steps = steps[:-1]
        assert one.ids.tolist() == [s.token for s in steps]
        assert one.labels.tolist() == [s.label for s in steps]
        np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-5)
        assert one.ended == ended
        assert one.num_cut == max(0, len(source) - 14)
