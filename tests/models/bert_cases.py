"""Small models, rows and marks that the tests of BERT and of its decoding share."""

import dataclasses
import functools

import jax
import numpy as np

from grel.models import bert

TINY = bert.Config(
    vocab_size=50,
    num_layers=2,
    hidden_size=16,
    num_heads=2,
    ff_size=32,
    max_positions=32,
    mask_id=4,
    sep_id=3,
)
POINTER = dataclasses.replace(TINY, head="pointer", writable_ids=(3, 6, 7, 9), relative_buckets=8)
MARKED = dataclasses.replace(POINTER, num_marks=10)
SOURCE_B = np.array([6, 4, 9, 2])
LENGTH_B = np.array([11, 12, 10, 5])


def random_params():
    """Of a model that points, which has all that the other has."""
    # Larger than at initialization, so that what should differ does so visibly.
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: bert.init(POINTER, jax.random.PRNGKey(0)))
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


def random_marks(params, length):
    """Parameters with vectors of marks, marks_BLM of sources, and these as bits."""
    rng = np.random.default_rng(6)
    table = rng.normal(0, 0.3, (MARKED.num_marks, MARKED.hidden_size)).astype(np.float32)
    marks_BLM = rng.random((len(SOURCE_B), length, MARKED.num_marks)) < 0.2
    marks_BLM &= (np.arange(length) < SOURCE_B[:, None] - 1)[..., None]
    params = {**params, "marks": {"embedding": table}}
    return params, marks_BLM, np.packbits(marks_BLM, axis=2)


@functools.partial(jax.jit, static_argnames="config")
def packed_hidden(params, tokens_BL, source_B, length_B, config=TINY):
    """Hidden states of packed rows."""
    return bert.Model(config).apply(
        {"params": params}, tokens_BL, source_B, length_B, method=bert.Model.packed
    )


def own_words(params, tokens_BL, marks_BLM):
    """Tokens and parameters of a model without marks: each position's word has its marks added."""
    embedded_BLD = params["words"]["embedding"][tokens_BL].copy()
    for row, marks_LM in enumerate(marks_BLM):
        for place, marks_M in enumerate(marks_LM):
            for mark in np.flatnonzero(marks_M):
                embedded_BLD[row, place] += params["marks"]["embedding"][mark]
    table = embedded_BLD.reshape(-1, embedded_BLD.shape[-1])
    places_BL = np.arange(len(table), dtype=np.int32).reshape(tokens_BL.shape)
    words = {"words": {"embedding": table}, "token_bias": np.zeros(len(table))}
    return places_BL, {**params, **words}, dataclasses.replace(POINTER, vocab_size=len(table))
