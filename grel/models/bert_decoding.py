"""BERT token by token: the layers of `models.bert` over caches of what was read and written.

A step runs the layers over its one or two tokens, with the source's and the target's keys and
values as further parts of the attention. What it is fed and what it gives has one row per beam, the
beams of an example side by side; the source's keys and values alone have one row per example
(models/cache.py). Source: METHOD section 6.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grel.models import cache
from grel.models.attention import Keys
from grel.models.bert import Config, Layer, Model
from grel.models.cache import DecodeState

# What else a search asks of a model.
take_rows = cache.take_rows
grow = cache.grow
reorder_beams = cache.reorder_beams


def init_decode(
    config: Config,
    params: Any,
    source_BS: jax.Array,
    source_length_B: jax.Array,
    num_steps: int,
    num_beams: int = 1,
) -> DecodeState:
    """Encodes padded `[CLS] S1 [SEP]` and makes room for `num_steps` steps of `num_beams` beams.

    The first token to feed is [SEP].
    """
    place_1S = jnp.arange(source_BS.shape[1])[None]
    real_BS = place_1S < source_length_B[:, None]
    inputs = (
        source_BS,
        jnp.broadcast_to(place_1S, source_BS.shape),
        jnp.full_like(source_BS, config.source_segment),
        jnp.broadcast_to(real_BS[:, None, :], (*source_BS.shape, source_BS.shape[1])),
    )
    if config.head == "pointer":
        apply = functools.partial(Model(config).apply, {"params": params})
        hidden_BSD, source = apply(*inputs, method=Model.stack)
        places = apply(source_BS, source_length_B, hidden_BSD, method=Model.places)
        source = tuple(zip(*(tuple(x) for x in source), strict=True))
        return cache.init(source, source_length_B, num_steps, num_beams).replace(places=places)
    # Only keys and values are kept, so the last layer need not be run.
    lower = dataclasses.replace(config, num_layers=config.num_layers - 1)
    hidden_BSD, source = Model(lower).apply(
        {"params": {**params, "layers": jax.tree.map(lambda x: x[:-1], params["layers"])}},
        *inputs,
        method=Model.stack,
    )
    last = Layer(config).apply(
        {"params": jax.tree.map(lambda x: x[-1], params["layers"])},
        hidden_BSD,
        method=Layer.keys_and_values,
    )
    source = (*zip(*(tuple(x) for x in source), strict=True), last)
    return cache.init(source, source_length_B, num_steps, num_beams)


def decoding_params(params: Any) -> Any:
    """The parameters as `decode_step` takes them: a list of layers.

    To be called before the loop over steps, which would cut every layer out at every step.
    """
    num_layers = len(jax.tree.leaves(params["layers"])[0])

    def layer(n: int) -> Any:
        return jax.tree.map(lambda x: jax.lax.index_in_dim(x, n, keepdims=False), params["layers"])

    return {**params, "layers": [layer(n) for n in range(num_layers)]}


class _Inputs(NamedTuple):
    """Q tokens of each beam that a step feeds."""

    tokens_BQ: jax.Array
    positions_BQ: jax.Array
    segments_BQ: jax.Array


def _inputs(config: Config, state: DecodeState, token_B: jax.Array) -> _Inputs:
    """The previous token of each beam, and [MASK] behind it where the objective predicts there."""
    inputs = [token_B]
    if config.objective != "causal":
        inputs.append(jnp.full_like(token_B, config.mask_id))
    tokens_BQ = jnp.stack(inputs, axis=1)
    place_1Q = jnp.arange(tokens_BQ.shape[1])[None]
    source_length_B = jnp.repeat(state.source_length_B, state.num_beams)
    positions_BQ = source_length_B[:, None] - 1 + state.step + place_1Q
    is_target_1Q = (state.step > 0) | (place_1Q > 0)
    segment_1Q = jnp.where(is_target_1Q, config.target_segment, config.source_segment)
    return _Inputs(tokens_BQ, positions_BQ, jnp.broadcast_to(segment_1Q, tokens_BQ.shape))


class _Masks(NamedTuple):
    """What the Q tokens of a step may attend to: the source, what was written, [MASK] itself."""

    source_BQS: jax.Array
    target_BQT: jax.Array
    mask_BQ1: jax.Array


def _masks(state: DecodeState, num_queries: int) -> _Masks:
    (source_keys, _), (target_keys, _) = state.source[0], state.target[0]
    place_1S = jnp.arange(source_keys.shape[2])[None]
    place_1T = jnp.arange(target_keys.shape[2])[None]
    place_1Q = jnp.arange(num_queries)[None]

    def for_queries(allow):
        return jnp.broadcast_to(allow, (len(target_keys), num_queries, allow.shape[-1]))

    source_length_B = jnp.repeat(state.source_length_B, state.num_beams)
    return _Masks(
        for_queries((place_1S < source_length_B[:, None])[:, None]),
        # At step 0 the fed [SEP] sees itself among the source, not a second time here.
        for_queries(((place_1T > 0) & (place_1T <= state.step))[None]),
        for_queries((place_1Q.T > 0)[None]),
    )


def decode_step(
    config: Config, params: Any, state: DecodeState, token_B: jax.Array
) -> tuple[jax.Array, jax.Array, DecodeState]:
    """Feeds the previous token: token logits and bio_logits_BC of the next one, new state.

    Token logits are those of `Model.heads`. An "mlm" or "pseudo" model is fed [previous token,
    MASK] and predicts at MASK, whose keys and values are forgotten; a "causal" model is fed the
    previous token (METHOD section 6). B counts beams here:
    `token_B` and what is returned have a row for each beam of each example. `params` are those that
    `decoding_params` gives.
    """
    inputs = _inputs(config, state, token_B)
    masks = _masks(state, inputs.tokens_BQ.shape[1])
    hidden_BQD = Model(config).apply({"params": params}, *inputs, method=Model.embed)

    @jax.jit  # so that it is traced once and not for each layer
    def run_layer(params, hidden_BQD, source, target):
        layer = functools.partial(Layer(config).apply, {"params": params})
        own = layer(hidden_BQD, method=Layer.keys_and_values)
        # Before they are read: caches that are written afterwards would be copied first.
        target = tuple(
            jax.lax.dynamic_update_slice_in_dim(filled, new[:, :, :1], state.step, axis=2)
            for filled, new in zip(target, own, strict=True)
        )
        seen = [Keys(*source, masks.source_BQS), Keys(*target, masks.target_BQT)]
        if config.objective != "causal":
            seen.append(Keys(*(new[:, :, 1:] for new in own), masks.mask_BQ1))
        return layer(hidden_BQD, seen, method=Layer.output), target

    targets = []
    # Not a scan, which would copy each layer's weights and caches out of those of all layers.
    for layer in zip(params["layers"], state.source, state.target, strict=True):
        layer_params, source, target = layer
        hidden_BQD, target = run_layer(layer_params, hidden_BQD, source, target)
        targets.append(target)
    # The beams of an example share its places.
    last_BWD = hidden_BQD[:, -1].reshape(-1, state.num_beams, config.hidden_size)
    token_logits, bio_logits_BWC = Model(config).apply(
        {"params": params}, last_BWD, state.places, method=Model.heads
    )
    state = state.replace(target=tuple(targets), step=state.step + 1)
    rows = len(token_B)
    return token_logits.reshape(rows, -1), bio_logits_BWC.reshape(rows, -1), state
