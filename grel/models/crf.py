"""A linear-chain conditional random field over padded sequences.

The score of a tag sequence y over a sequence of n positions is

    start[y_1] + sum_i emission[i, y_i] + sum_i transition[y_i, y_(i+1)] + end[y_n]

and its probability is the softmax of that over all sequences of n tags. Padding is never read; a
row without any position has the one empty sequence, whose probability is 1.
Source: Lafferty et al. (2001); weights drawn as in the published CopyMTL.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from grel.models.recurrent import inside, uniform


class CRF(nn.Module):
    """Scores of tags at the start, from one position to the next, and at the end."""

    num_tags: int

    def setup(self):
        drawn = uniform(0.1)
        self.start_C = self.param("start", drawn, (self.num_tags,))
        self.end_C = self.param("end", drawn, (self.num_tags,))
        self.transition_CC = self.param("transition", drawn, (self.num_tags, self.num_tags))

    def log_likelihood(
        self, emission_BSC: jax.Array, tags_BS: jax.Array, length_B: jax.Array
    ) -> jax.Array:
        """Log probability of these tags: log_likelihood_B."""
        score_B = self.score(emission_BSC, tags_BS, length_B)
        return score_B - self.log_partition(emission_BSC, length_B)

    def score(self, emission_BSC: jax.Array, tags_BS: jax.Array, length_B: jax.Array) -> jax.Array:
        """The score of one tag sequence a row: score_B, 0 in an empty row."""
        inside_BS = inside(length_B, tags_BS.shape[1])
        emitted_BS = jnp.take_along_axis(emission_BSC, tags_BS[..., None], axis=2)[..., 0]
        moved_BS = self.transition_CC[tags_BS[:, :-1], tags_BS[:, 1:]]
        last_B = jnp.take_along_axis(tags_BS, jnp.maximum(length_B - 1, 0)[:, None], axis=1)[:, 0]
        return (
            jnp.where(inside_BS, emitted_BS, 0).sum(1)
            + jnp.where(inside_BS[:, 1:], moved_BS, 0).sum(1)
            + jnp.where(length_B > 0, self.start_C[tags_BS[:, 0]] + self.end_C[last_B], 0)
        )

    def log_partition(self, emission_BSC: jax.Array, length_B: jax.Array) -> jax.Array:
        """Log of the summed exp(score) of all tag sequences: log_partition_B, 0 in an empty row."""

        def add(score_BC, position):
            emission_BC, inside_B = position
            moved_BCC = score_BC[:, :, None] + self.transition_CC[None]
            new_BC = jax.nn.logsumexp(moved_BCC, axis=1) + emission_BC
            return jnp.where(inside_B[:, None], new_BC, score_BC), None

        score_BC, _ = jax.lax.scan(add, self._first(emission_BSC), _rest(emission_BSC, length_B))
        total_B = jax.nn.logsumexp(score_BC + self.end_C[None], axis=1)
        return jnp.where(length_B > 0, total_B, 0)

    def viterbi(self, emission_BSC: jax.Array, length_B: jax.Array) -> jax.Array:
        """The likeliest tags_BS; 0 on padding."""

        def add(score_BC, position):
            emission_BC, inside_B = position
            moved_BCC = score_BC[:, :, None] + self.transition_CC[None]
            new_BC = moved_BCC.max(axis=1) + emission_BC
            # Padding keeps the tag, so that going back starts at the last true position.
            stay_BC = jnp.broadcast_to(jnp.arange(self.num_tags)[None], new_BC.shape)
            from_BC = jnp.where(inside_B[:, None], moved_BCC.argmax(axis=1), stay_BC)
            return jnp.where(inside_B[:, None], new_BC, score_BC), from_BC

        def go_back(tag_B, from_BC):
            before_B = jnp.take_along_axis(from_BC, tag_B[:, None], axis=1)[:, 0]
            return before_B, tag_B

        first_BC = self._first(emission_BSC)
        score_BC, from_SBC = jax.lax.scan(add, first_BC, _rest(emission_BSC, length_B))
        last_B = (score_BC + self.end_C[None]).argmax(axis=1)
        first_B, later_SB = jax.lax.scan(go_back, last_B, from_SBC, reverse=True)
        tags_BS = jnp.concatenate([first_B[:, None], later_SB.T], axis=1)
        return jnp.where(inside(length_B, tags_BS.shape[1]), tags_BS, 0)

    def _first(self, emission_BSC: jax.Array) -> jax.Array:
        return self.start_C[None] + emission_BSC[:, 0]


def _rest(emission_BSC: jax.Array, length_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All positions but the first, for a scan, and whether they are no padding."""
    inside_BS = inside(length_B, emission_BSC.shape[1])
    return emission_BSC[:, 1:].swapaxes(0, 1), inside_BS[:, 1:].T
