"""What a transformer that writes remembers between steps: the keys and values of what it has read.

Beams are rows: the W beams of an example are W consecutive rows of the target cache and of whatever
is fed, while the source, which they share, stays stored once per example. A model tells the number
of beams by the shapes, so that greedy search is the case of one beam and not a path of its own.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

KeysAndValues = tuple[jax.Array, jax.Array]


class DecodeState(flax.struct.PyTreeNode):
    """The caches of B examples with W beams each.

    Every layer has arrays of its own: cut out of one for all layers, they would be copied at every
    step.

    Attributes:
        source: each layer's keys and values of the source, [B, H, S, K]; computed once.
        source_length_B: length of `[CLS] S1 [SEP]`.
        target: each layer's keys and values of the tokens fed so far, [B * W, H, T, K]; slot t is
            filled by token t. Slot 0 stays unused: token 0 is the source's own [SEP], which
            `source` holds already. What stands behind the tokens fed is never looked at.
        step: how many tokens were fed: one number for all rows, or where they go on by different
            numbers of tokens (`by_rows`) one for each.
        places: what else a model keeps of each example's source, by row; see `models.pointer`.
    """

    source: tuple[KeysAndValues, ...]
    source_length_B: jax.Array
    target: tuple[KeysAndValues, ...]
    step: jax.Array
    places: Any = None

    @property
    def num_beams(self) -> int:
        """W."""
        return len(self.target[0][0]) // len(self.source[0][0])


def init(
    source: tuple[KeysAndValues, ...], source_length_B: jax.Array, num_steps: int, num_beams: int
) -> DecodeState:
    """The state before the first token, with room for `num_steps` steps."""

    def empty(x: jax.Array) -> jax.Array:
        batch, heads, _, size = x.shape
        return jnp.zeros((batch * num_beams, heads, num_steps, size), x.dtype)

    return DecodeState(source, source_length_B, jax.tree.map(empty, source), jnp.int32(0))


def by_rows(state: DecodeState) -> DecodeState:
    """The state in which every row counts its own tokens."""
    return state.replace(step=jnp.full(len(state.target[0][0]), state.step))


def keep(state: DecodeState, num_B: jax.Array) -> DecodeState:
    """The state in which so many of the tokens fed last to each row were fed."""
    return state.replace(step=state.step + num_B)


def filled(cached: jax.Array, new_BHFK: jax.Array, step: jax.Array) -> jax.Array:
    """Keys or values of a layer with those of F tokens in the slots from `step` on."""
    fill = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=-2)
    # What differs by row is scattered, which takes a CPU longer.
    if step.size == 1:
        return fill(cached, new_BHFK, step.reshape(()))
    return jax.vmap(fill)(cached, new_BHFK, step)


def grow(state: DecodeState, num_steps: int) -> DecodeState:
    """The state with room for `num_steps` steps, not fewer than before."""
    if state.target[0][0].shape[2] == num_steps:
        return state
    return state.replace(target=jax.tree.map(lambda x: _longer(x, num_steps), state.target))


def take_rows(state: DecodeState, index_B: jax.Array) -> DecodeState:
    """The state of chosen examples, all their beams included; for a batch that shrinks."""
    row_BW = index_B[:, None] * state.num_beams + jnp.arange(state.num_beams)[None]
    return state.replace(
        source=_take(state.source, index_B),
        source_length_B=state.source_length_B[index_B],
        places=jax.tree.map(lambda x: x[index_B], state.places),
        step=state.step[row_BW.reshape(-1)] if state.step.ndim else state.step,
        target=_take(state.target, row_BW.reshape(-1)),
    )


def reorder_beams(state: DecodeState, origin_BW: jax.Array) -> DecodeState:
    """Every beam goes on from the beam of its example that `origin_BW` (0 to W-1) names.

    The source's keys and values are shared by the beams and stay where they are.
    """
    batch, num_beams = origin_BW.shape
    row_BW = jnp.arange(batch)[:, None] * num_beams + origin_BW
    return state.replace(target=_take(state.target, row_BW.reshape(-1)))


def _take(cached: tuple[KeysAndValues, ...], row_R: jax.Array) -> tuple[KeysAndValues, ...]:
    return jax.tree.map(lambda x: _rows(x, row_R), cached)


# Compiled where they are used, these are jitted so that they are traced once for all layers.
@functools.partial(jax.jit, static_argnums=1)
def _longer(x: jax.Array, num_steps: int) -> jax.Array:
    return jnp.pad(x, ((0, 0), (0, 0), (0, num_steps - x.shape[2]), (0, 0)))


@jax.jit
def _rows(x: jax.Array, row_R: jax.Array) -> jax.Array:
    return x[row_R]
