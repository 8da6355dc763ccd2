"""A token head that points: it scores only what can be written.

What can be written is the tokens of the source, at each place where they stand, and a few others:
the separators, the relations and the end. A place has the logit that the vocabulary's head gives
its token, and a source position on top of that a bilinear product of the decoder's and its own
state, so that equal tokens can be told apart by where they stand. The vocabulary is never touched,
and what is not in the sentence cannot be written. Source: after See et al. (2017) and Vinyals et
al. (2015); METHOD section 4.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp


class Places(flax.struct.PyTreeNode):
    """The source as a pointer sees it.

    Attributes:
        key_BSD: what the bilinear product takes of each position.
        word_BSD: embeddings of the tokens.
        bias_BS: of the tokens; -inf outside S1, where nothing can be taken.
    """

    key_BSD: jax.Array
    word_BSD: jax.Array
    bias_BS: jax.Array


def inside(source_length_B: jax.Array, length: int) -> jax.Array:
    """Positions of S1 in `[CLS] S1 [SEP]`: inside_BS."""
    place_1S = jnp.arange(length)[None]
    return (place_1S > 0) & (place_1S < source_length_B[:, None] - 1)


def logits(
    query_BPD: jax.Array,
    transformed_BPD: jax.Array,
    places: Places,
    word_ED: jax.Array,
    bias_E: jax.Array,
) -> jax.Array:
    """Logits of all places, source positions first: logits_BPX in float32.

    Args:
        query_BPD: what the bilinear product takes of the predicting states, scaled.
        transformed_BPD: what the vocabulary's head would multiply with all embeddings.
        places: of the source.
        word_ED, bias_E: embeddings and biases of the other tokens that can be written.
    """
    # One product instead of two; the sum over both halves is what is wanted.
    asked_BPD = jnp.concatenate([query_BPD, transformed_BPD], axis=-1)
    given_BSD = jnp.concatenate([places.key_BSD, places.word_BSD], axis=-1)
    source_BPS = jnp.einsum("BPD,BSD->BPS", asked_BPD, given_BSD).astype(jnp.float32)
    other_BPE = jnp.einsum("BPD,ED->BPE", transformed_BPD, word_ED).astype(jnp.float32)
    return jnp.concatenate(
        [source_BPS + places.bias_BS[:, None], other_BPE + bias_E[None, None]], axis=-1
    )
