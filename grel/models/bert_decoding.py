"""BERT token by token: the layers of `models.bert` over caches of what was read and written.

A step runs the layers over the few tokens that it is fed, with the source's and the target's keys
and values as further parts of the attention. What it is fed and what it gives has one row per beam,
the beams of an example side by side; the source's keys and values alone have one row per example
(models/cache.py). Source: METHOD section 6.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grel.models import cache
from grel.models.attention import Keys
from grel.models.bert import Config, Layer, Model
from grel.models.cache import DecodeState, KeysAndValues
from grel.models.dropout import apply

# What else a search asks of a model.
take_rows = cache.take_rows
grow = cache.grow
by_rows = cache.by_rows
keep = cache.keep
reorder_beams = cache.reorder_beams


def init_decode(
    config: Config,
    params: Any,
    source_BS: jax.Array,
    source_length_B: jax.Array,
    num_steps: int,
    num_beams: int = 1,
    marks_BSZ: jax.Array | None = None,
) -> DecodeState:
    """Encodes padded `[CLS] S1 [SEP]` and makes room for `num_steps` steps of `num_beams` beams.

    The first token to feed is [SEP]. `params` are those that `decoding_params` gives, `marks_BSZ`
    what a memory knows of the source.
    """
    model = functools.partial(apply, Model(config), params)
    place_1S = jnp.arange(source_BS.shape[1])[None]
    real_BS = place_1S < source_length_B[:, None]
    allow_BSS = jnp.broadcast_to(real_BS[:, None, :], (*source_BS.shape, source_BS.shape[1]))
    segments_BS = jnp.full_like(source_BS, config.source_segment)
    hidden_BSD = model(source_BS, place_1S, segments_BS, marks_BQZ=marks_BSZ, method=Model.embed)
    bias_1HSS = model(place_1S, place_1S, method=Model.distance_bias)

    @jax.jit  # so that it is traced once and not for each layer
    def run_layer(params: Any, hidden_BSD: jax.Array) -> tuple[jax.Array, KeysAndValues]:
        layer = functools.partial(apply, Layer(config), params)
        own: KeysAndValues = layer(hidden_BSD, method=Layer.keys_and_values)
        return layer(hidden_BSD, [Keys(*own, allow_BSS, bias_1HSS)], method=Layer.output), own

    source = []
    for layer_params in params["layers"]:
        # Of the last layer a vocabulary needs keys and values only; the rest is not computed.
        hidden_BSD, own = run_layer(layer_params, hidden_BSD)
        source.append(own)
    state = cache.init(tuple(source), source_length_B, num_steps, num_beams)
    if config.head == "pointer":
        places = model(source_BS, source_length_B, hidden_BSD, method=Model.places)
        state = state.replace(places=places)
    return state


def decoding_params(config: Config, params: Any) -> Any:
    """The parameters as decoding takes them, on the host or on devices.

    They are what a program would make of them at every call: a list of layers, each of which it
    would copy out of all, and kernels of the type of numbers that they are multiplied in.
    """
    dtype = jnp.bfloat16 if config.half_products else config.dtype

    def prepared(path: tuple[Any, ...], x: Any) -> Any:
        return x.astype(dtype, copy=False) if path[-1].key == "kernel" else x

    params = jax.tree_util.tree_map_with_path(prepared, params)
    num_layers = len(jax.tree.leaves(params["layers"])[0])
    layers = [jax.tree.map(operator.itemgetter(n), params["layers"]) for n in range(num_layers)]
    return {**params, "layers": layers}


class _Inputs(NamedTuple):
    """Q tokens of each beam that a step runs over."""

    tokens_BQ: jax.Array
    positions_BQ: jax.Array
    segments_BQ: jax.Array


def _inputs(config: Config, state: DecodeState, fed_BF: jax.Array) -> _Inputs:
    """The tokens fed, and where the objective predicts there a [MASK] behind each."""
    tokens_BQ, place_1Q = fed_BF, jnp.arange(fed_BF.shape[1])[None]
    if config.objective != "causal":
        tokens_BQ = jnp.concatenate([fed_BF, jnp.full_like(fed_BF, config.mask_id)], axis=1)
        place_1Q = jnp.concatenate([place_1Q, place_1Q + 1], axis=1)
    source_length_B = jnp.repeat(state.source_length_B, state.num_beams)
    place_BQ = state.step.reshape(-1, 1) + place_1Q
    positions_BQ = source_length_B[:, None] - 1 + place_BQ
    segments_BQ = jnp.where(place_BQ > 0, config.target_segment, config.source_segment)
    # Drafts go beyond what is written, and beyond the last position there they count for nothing.
    positions_BQ = jnp.minimum(positions_BQ, config.max_positions - 1)
    return _Inputs(tokens_BQ, positions_BQ, jnp.broadcast_to(segments_BQ, tokens_BQ.shape))


class _Seen(NamedTuple):
    """What the Q tokens of a step may attend to: the source, what was written, [MASK] itself.

    Of each part the mask, and the bias by distance, if any.
    """

    source: tuple[jax.Array, jax.Array | None]
    target: tuple[jax.Array, jax.Array | None]
    mask: tuple[jax.Array, jax.Array | None]


def _seen(
    state: DecodeState, positions_BQ: jax.Array, num_fed: int, distance_bias: Callable[..., Any]
) -> _Seen:
    num_queries = positions_BQ.shape[1]
    (source_keys, _), (target_keys, _) = state.source[0], state.target[0]
    place_1S = jnp.arange(source_keys.shape[2])[None]
    place_11T = jnp.arange(target_keys.shape[2])[None, None]
    place_1F = jnp.arange(num_fed)[None]
    query_Q1 = jnp.arange(num_queries)[:, None]

    def for_queries(allow):
        return jnp.broadcast_to(allow, (len(target_keys), num_queries, allow.shape[-1]))

    source_length_B = jnp.repeat(state.source_length_B, state.num_beams)
    # The last token that a query sees: itself, or the one that its [MASK] stands behind.
    last_BQ1 = state.step.reshape(-1, 1, 1) + (query_Q1 % num_fed)[None]
    return _Seen(
        (
            for_queries((place_1S < source_length_B[:, None])[:, None]),
            distance_bias(positions_BQ, place_1S),
        ),
        (
            # At step 0 the fed [SEP] sees itself among the source, not a second time here.
            for_queries((place_11T > 0) & (place_11T <= last_BQ1)),
            distance_bias(positions_BQ, source_length_B[:, None] - 1 + place_11T[0]),
        ),
        (
            for_queries((query_Q1 == num_fed + place_1F)[None]),
            distance_bias(positions_BQ, positions_BQ[:, -num_fed:]),
        ),
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
    token_logits, bio_logits, state = feed(config, params, state, token_B[:, None])
    return token_logits[:, 0], bio_logits[:, 0], state.replace(step=state.step + 1)


def feed(
    config: Config, params: Any, state: DecodeState, tokens_BF: jax.Array
) -> tuple[jax.Array, jax.Array, DecodeState]:
    """The same for F tokens one behind the other, of which `keep` says how many were fed.

    Token logits and bio_logits_BFC of what follows each of them: each sees the ones before it, and
    an "mlm" or "pseudo" model is fed a MASK behind each, which sees the tokens up to there.
    """
    rows, num_fed = tokens_BF.shape
    inputs = _inputs(config, state, tokens_BF)
    model = functools.partial(apply, Model(config), params)
    hidden_BQD = model(*inputs, method=Model.embed)
    distance_bias = functools.partial(model, method=Model.distance_bias)
    seen = _seen(state, inputs.positions_BQ, num_fed, distance_bias)

    @jax.jit  # so that it is traced once and not for each layer
    def run_layer(
        params: Any, hidden_BQD: jax.Array, source: KeysAndValues, target: KeysAndValues
    ) -> tuple[jax.Array, KeysAndValues]:
        layer = functools.partial(apply, Layer(config), params)
        key_BHQK, value_BHQK = layer(hidden_BQD, method=Layer.keys_and_values)
        key_BHTK, value_BHTK = target
        # Before they are read: caches that are written afterwards would be copied first.
        target = (
            cache.filled(key_BHTK, key_BHQK[:, :, :num_fed], state.step),
            cache.filled(value_BHTK, value_BHQK[:, :, :num_fed], state.step),
        )
        parts = [Keys(*source, *seen.source), Keys(*target, *seen.target)]
        if config.objective != "causal":
            mask = key_BHQK[:, :, num_fed:], value_BHQK[:, :, num_fed:]
            parts.append(Keys(*mask, *seen.mask))
        return layer(hidden_BQD, parts, method=Layer.output), target

    targets = []
    # Not a scan, which would copy each layer's weights and caches out of those of all layers.
    for layer in zip(params["layers"], state.source, state.target, strict=True):
        layer_params, source, target = layer
        hidden_BQD, target = run_layer(layer_params, hidden_BQD, source, target)
        targets.append(target)
    # The beams of an example share its places.
    examples = len(state.source_length_B)
    last_BPD = hidden_BQD[:, -num_fed:].reshape(examples, -1, config.hidden_size)
    logits = model(last_BPD, state.places, method=Model.heads)
    token_logits, bio_logits_BFC = (x.reshape(rows, num_fed, -1) for x in logits)
    return token_logits, bio_logits_BFC, state.replace(target=tuple(targets))
