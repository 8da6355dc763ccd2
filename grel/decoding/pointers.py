"""Names by two pointers: the best span of a start and an end, and the best two that do not overlap.

Systems that point at words give each word a score as the start and one as the end of a name. A span
has the sum of the two: log-probabilities where a system multiplies, probabilities where it adds.
The best span is not that of the best start and the best end, which may lie in the wrong order, too
far apart, or across another name. Source: Chen et al. (2019),
Nayak and Ng (2020).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Scores(NamedTuple):
    """Of every word as the start and as the end of a name: start_BS, end_BS; -inf forbids it."""

    start_BS: jax.Array
    end_BS: jax.Array


class Spans(NamedTuple):
    """A span of each row, both ends included; its score is -inf where no span is allowed."""

    start_B: jax.Array
    end_B: jax.Array
    score_B: jax.Array


class Found(NamedTuple):
    """A triple as a network writes it; None for a part that it did not write.

    Attributes:
        head, tail: (start, end) in words, the end excluded.
        relation: index of the relation, without any classes that stand for none.
        probability: of all choices that made the triple.
    """

    head: tuple[int, int] | None
    tail: tuple[int, int] | None
    relation: int | None
    probability: float


def at(values: jax.Array, index: jax.Array | np.ndarray) -> jax.Array:
    """The entry of the last axis at each index."""
    return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def best_span(scores: Scores, max_words: int, taken: Spans | None = None) -> Spans:
    """The span i..j of most start_BS[i] + end_BS[j], with 0 <= j - i < `max_words`.

    It lies entirely before or entirely behind the span of its row that is `taken`. Of equal ones it
    is the one that starts first, then the shortest. Example: start (.2, 0, .8) and end
    (.4, .55, .05) give 2..2, of score .85. B may be any number of axes.
    """
    start_BS, end_BS = scores
    length = start_BS.shape[-1]
    behind_BX = jnp.full((*end_BS.shape[:-1], max_words - 1), -jnp.inf)
    padded_BX = jnp.concatenate([end_BS, behind_BX], axis=-1)
    # W: one less than the words of the span.
    end_BSW = jnp.stack([padded_BX[..., w : w + length] for w in range(max_words)], axis=-1)
    total_BSW = start_BS[..., None] + end_BSW
    if taken is not None:
        shape = total_BSW.shape
        start = jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 2)
        end = start + jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
        before_BSW = end < taken.start_B[..., None, None]
        after_BSW = start > taken.end_B[..., None, None]
        total_BSW = jnp.where(before_BSW | after_BSW, total_BSW, -jnp.inf)
    total_BX = total_BSW.reshape(*total_BSW.shape[:-2], -1)
    best_B = total_BX.argmax(-1)
    start_B, more_B = best_B // max_words, best_B % max_words
    return Spans(start_B, start_B + more_B, total_BX.max(-1))


def best_pair(head: Scores, tail: Scores, max_words: int) -> tuple[Spans, Spans]:
    """Head and tail that do not overlap, chosen greedily in the better of two orders.

    (a) is the best head and the best tail apart from it, (b) the best tail and the best head apart
    from it; (a) is taken if its sum is greater, else (b). This is not the best of all pairs, which
    is how it is published. With the probabilities .6 .1 .2 .1 (head's start), .2 .6 .1 .1 (its
    end), .1 .5 .1 .3 (tail's start) and .1 .1 .2 .6 (its end), (a) is 0..1 and 3..3, .0648; (b) is
    0..0 and 1..3, .036. Where neither order has room for both, the score of one of them is -inf.
    """
    head_first = best_span(head, max_words)
    tail_second = best_span(tail, max_words, head_first)
    tail_first = best_span(tail, max_words)
    head_second = best_span(head, max_words, tail_first)
    sum_a_B = head_first.score_B + tail_second.score_B
    takes_a_B = sum_a_B > tail_first.score_B + head_second.score_B

    def better(a: Spans, b: Spans) -> Spans:
        return jax.tree.map(lambda x, y: jnp.where(takes_a_B, x, y), a, b)

    return better(head_first, head_second), better(tail_second, tail_first)
