"""Attention masks, and the one attention function that training and decoding share.

Keys come in parts (source, target so far, the query's own), each with its own mask, and one softmax
runs over all of them. That way a decoder's caches are never copied together, and cached decoding
computes exactly what training computed.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from grel.models.dropout import dropout

# Finite, so that a row that may attend to nothing (padding) gives a plain mean and not NaN.
_MASKED = -1e9


class Keys(NamedTuple):
    """A part of what can be attended to: keys, values, and which query may see which.

    Heads come before positions, as the products over them want it: a CPU multiplies the other
    layout four times slower, and a decoder's caches would be turned around at every step.
    Keys and values may have fewer rows than the queries and the mask, a divisor of their number:
    each then serves so many consecutive rows of queries (the beams of an example), unrepeated.
    A bias, where there is one, is added to the scores; it may have one row for all.
    """

    key_BHMK: jax.Array
    value_BHMK: jax.Array
    allow_BQM: jax.Array
    bias_BHQM: jax.Array | None = None


def seq2seq_mask(source_length_B: jax.Array, length_B: jax.Array, length: int) -> jax.Array:
    """UniLM's sequence-to-sequence mask over `[CLS] S1 [SEP] S2 [SEP] pad` (METHOD section 4).

    Every position sees the source; a target position also sees the target up to itself; the source
    never sees the target; padding is seen by none. `source_length_B` counts `[CLS] S1 [SEP]`,
    `length_B` all but the padding. For x1 x2 and y1 y2, padded to 8:

                keys:  [CLS] x1 x2 [SEP] y1 y2 [SEP] pad
        [CLS]            1   1  1   1    0  0   0    0
        x1               1   1  1   1    0  0   0    0
        x2               1   1  1   1    0  0   0    0
        [SEP]            1   1  1   1    0  0   0    0
        y1               1   1  1   1    1  0   0    0
        y2               1   1  1   1    1  1   0    0
        [SEP]            1   1  1   1    1  1   1    0
        pad              1   1  1   1    1  1   1    0

    Returns allow_BLL, (batch, query, key). What padding queries compute is never looked at.
    """
    place_1L = jnp.arange(length)[None]
    in_source_BL = place_1L < source_length_B[:, None]
    real_BL = place_1L < length_B[:, None]
    causal_1LL = (place_1L <= place_1L.T)[None]
    allow_BLL = in_source_BL[:, None, :] | (~in_source_BL[:, :, None] & causal_1LL)
    return allow_BLL & real_BL[:, None, :]


def twin_mask(
    source_length_B: jax.Array, length_B: jax.Array, length: int, num_twins: int
) -> jax.Array:
    """`seq2seq_mask` of rows behind which stand twins of the target's positions (METHOD 5).

    Twin p stands for the p-th position of the target: it sees the source, the target before that
    position, and itself; nothing else sees it. For x1 and y1, padded to 6, with three twins:

                keys:  [CLS] x1 [SEP] y1 [SEP] pad  t0 t1 t2
        [CLS]            1   1   1    0   0    0    0  0  0
        x1               1   1   1    0   0    0    0  0  0
        [SEP]            1   1   1    0   0    0    0  0  0
        y1               1   1   1    1   0    0    0  0  0
        [SEP]            1   1   1    1   1    0    0  0  0
        pad              1   1   1    1   1    0    0  0  0
        t0               1   1   1    0   0    0    1  0  0
        t1               1   1   1    1   0    0    0  1  0
        t2               1   1   1    1   1    0    0  0  1

    Returns allow_BLL of the lengthened rows, (batch, query, key).
    """
    packed_BLL = seq2seq_mask(source_length_B, length_B, length)
    place_11L = jnp.arange(length)[None, None]
    twin_1P1 = jnp.arange(num_twins)[None, :, None]
    source_B11, length_B11 = source_length_B[:, None, None], length_B[:, None, None]
    before_BPL = (place_11L < source_B11 + twin_1P1) & (place_11L < length_B11)
    itself_BPP = jnp.broadcast_to(
        jnp.eye(num_twins, dtype=bool), (len(length_B), num_twins, num_twins)
    )
    return jnp.concatenate(
        [
            jnp.pad(packed_BLL, ((0, 0), (0, 0), (0, num_twins))),
            jnp.concatenate([before_BPL, itself_BPP], axis=-1),
        ],
        axis=1,
    )


def distance_buckets(
    from_BQ: jax.Array, to_BM: jax.Array, num_buckets: int, furthest: int = 128
) -> jax.Array:
    """Buckets of the distances between positions, as MPNet and UniLM v2 attend by them.

    The first half of the buckets is for keys at or before the query, the second for keys behind it.
    Half of each has one distance a bucket; the others begin at distances that grow by one factor,
    by which they would come to `furthest`, and the last one has all that are left.
    Source: T5 (Raffel et al. 2020, section 2.1), UniLM v2 (Bao et al. 2020, section 3.1).

    Returns bucket_BQM, from 0 to `num_buckets` - 1, of `num_buckets` that four divide.
    """
    half, exact = num_buckets // 2, num_buckets // 4
    factor = (furthest / exact) ** (1 / (half - exact))
    # Not by logarithms on the device, which put powers into one bucket here and another there.
    first = [*range(1, exact), *(exact * factor**n for n in range(half - exact))]
    first_T = np.ceil(np.round(first, 6)).astype(np.int32)
    ahead_BQM = to_BM[:, None, :] - from_BQ[:, :, None]
    bucket_BQM = jnp.searchsorted(first_T, jnp.abs(ahead_BQM), side="right", method="compare_all")
    return jnp.where(ahead_BQM > 0, half, 0) + bucket_BQM


def attend(
    query_BHQK: jax.Array,
    parts: Sequence[Keys],
    *,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    row_B: jax.Array | None = None,
) -> jax.Array:
    """Scaled dot-product attention over the keys of all parts together; returns values_BHQK.

    Dropout falls on the attention weights, as in BERT, where a key for it is given, and with it the
    numbers of the rows; see `dropout`. Raises ValueError where these are missing.
    """
    drop = None
    if dropout_rate and dropout_key is not None:
        if row_B is None:
            raise ValueError("dropout goes by the rows' numbers: give row_B too")
        drop = functools.partial(dropout, dropout_key, rate=dropout_rate, row_B=row_B)
    if len(parts) == 1 and cudnn_applies(
        jax.default_backend(), query_BHQK, parts[0], dropout_rate if drop else 0.0
    ):
        (part,) = parts
        query_BQHK, key_BMHK, value_BMHK = (
            x.swapaxes(1, 2) for x in (query_BHQK, part.key_BHMK, part.value_BHMK)
        )
        attended_BQHK = jax.nn.dot_product_attention(
            query_BQHK,
            key_BMHK,
            value_BMHK,
            mask=part.allow_BQM[:, None],
            implementation="cudnn",
        )
        return attended_BQHK.swapaxes(1, 2)
    scale = query_BHQK.shape[-1] ** -0.5
    logits_BHQM = jnp.concatenate(
        [
            jnp.where(
                part.allow_BQM[:, None],
                _biased(_scores(query_BHQK * scale, part.key_BHMK), part.bias_BHQM),
                _MASKED,
            )
            for part in parts
        ],
        axis=-1,
    )
    weights_BHQM = jax.nn.softmax(logits_BHQM.astype(jnp.float32)).astype(query_BHQK.dtype)
    if drop:
        weights_BHQM = drop(weights_BHQM)
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + part.key_BHMK.shape[2])
    mixtures = [
        _mixture(weights_BHQM[..., start:end], part.value_BHMK)
        for part, start, end in zip(parts, ends[:-1], ends[1:], strict=True)
    ]
    return functools.reduce(operator.add, mixtures)


def _scores(query_BHQK: jax.Array, key_BHMK: jax.Array) -> jax.Array:
    """Products of queries and keys."""
    query_BHQK, apart = _together(query_BHQK, len(key_BHMK))
    return apart(jnp.einsum("BHQK,BHMK->BHQM", query_BHQK, key_BHMK))


def _biased(scores_BHQM: jax.Array, bias_BHQM: jax.Array | None) -> jax.Array:
    return scores_BHQM if bias_BHQM is None else scores_BHQM + bias_BHQM


def _mixture(weights_BHQM: jax.Array, value_BHMK: jax.Array) -> jax.Array:
    """Weighted sums of values."""
    weights_BHQM, apart = _together(weights_BHQM, len(value_BHMK))
    return apart(jnp.einsum("BHQM,BHMK->BHQK", weights_BHQM, value_BHMK))


def _together(x_BHQX: jax.Array, rows: int) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """Queries that share a row of keys side by side in one of so many rows; how to undo that."""
    batch, heads, queries, _ = x_BHQX.shape
    if rows == batch:
        return x_BHQX, lambda y: y

    def apart(y_RHGY: jax.Array) -> jax.Array:
        y_RHGQY = y_RHGY.reshape(rows, heads, -1, queries, y_RHGY.shape[-1])
        return y_RHGQY.swapaxes(1, 2).reshape(batch, heads, queries, -1)

    x_RGHQX = x_BHQX.reshape(rows, -1, *x_BHQX.shape[1:])
    return x_RGHQX.swapaxes(1, 2).reshape(rows, heads, -1, x_BHQX.shape[-1]), apart


def cudnn_applies(platform: str, query: jax.Array, part: Keys, dropout_rate: float) -> bool:
    """Whether cuDNN's fused attention can stand in: a GPU, half precision, no dropout on weights,
    no bias, head size a multiple of 8 up to 128 and even lengths; it raises on most else."""
    return (
        platform == "gpu"
        and dropout_rate == 0.0
        and part.bias_BHQM is None
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 128
        and query.shape[2] % 2 == 0
        and part.key_BHMK.shape[2] % 2 == 0
    )
