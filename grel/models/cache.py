"""What a transformer that writes remembers between steps: the keys and values of what it has read.

Beams are rows: the W beams of an example are W consecutive rows of the target cache and of whatever
is fed, while the source, which they share, stays stored once per example. A model tells the number
of beams by the shapes, so that greedy search is the case of one beam and not a path of its own.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

KeysAndValues = tuple[jax.Array, jax.Array]


@flax.struct.dataclass
class DecodeState:
    """The caches of B examples with W beams each.

    Attributes:
        source: keys and values of the source, [N, B, H, S, K] each; computed once.
        source_length_B: length of `[CLS] S1 [SEP]`.
        target: keys and values of the tokens fed so far, [N, B * W, H, T, K] each; slot t is filled
            by step t. Slot 0 stays unused: step 0 is fed the source's own [SEP], which `source`
            holds already.
        step: how many tokens were fed.
    """

    source: KeysAndValues
    source_length_B: jax.Array
    target: KeysAndValues
    step: jax.Array

    @property
    def num_beams(self) -> int:
        """W."""
        return self.target[0].shape[1] // self.source[0].shape[1]


def init(
    source: KeysAndValues, source_length_B: jax.Array, num_steps: int, num_beams: int
) -> DecodeState:
    """The state before the first token, with room for `num_steps` steps."""
    num_layers, batch, heads, _, size = source[0].shape
    empty = jnp.zeros((num_layers, batch * num_beams, heads, num_steps, size), source[0].dtype)
    return DecodeState(source, source_length_B, (empty, empty), jnp.int32(0))


def take_rows(state: DecodeState, index_B: jax.Array) -> DecodeState:
    """The state of chosen examples, all their beams included; for a batch that shrinks."""
    row_BW = index_B[:, None] * state.num_beams + jnp.arange(state.num_beams)[None]
    return state.replace(
        source=_take(state.source, index_B),
        source_length_B=state.source_length_B[index_B],
        target=_take(state.target, row_BW.reshape(-1)),
    )


def reorder_beams(state: DecodeState, origin_BW: jax.Array) -> DecodeState:
    """Every beam goes on from the beam of its example that `origin_BW` (0 to W-1) names.

    The source's keys and values are shared by the beams and stay where they are.
    """
    batch, num_beams = origin_BW.shape
    row_BW = jnp.arange(batch)[:, None] * num_beams + origin_BW
    return state.replace(target=_take(state.target, row_BW.reshape(-1)))


def _take(cached: KeysAndValues, row_R: jax.Array) -> KeysAndValues:
    return jax.tree.map(lambda x: jnp.take(x, row_R, axis=1), cached)
