"""Beam search under the copy mechanism and the grammar, with the length penalty of UniLM.

A hypothesis is a sequence of labeled tokens. At every step the best extensions of an example's
beams become its beams; those that end move to a list of the best ended ones and free their place.
Extensions are compared by summed log-probability, ended hypotheses by that over the length penalty,
and an example is done when no beam can still get into its list: that bound is exact, so stopping
early changes nothing. Beams are rows, the W beams of an example side by side, and whatever a beam
has (caches, copy state, what it has written) moves with it. The batch shrinks as examples are done,
by the stages of greedy search. Source: UniLM (Dong et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from grel.decoding import copying, greedy
from grel.decoding.extensions import extensions
from grel.text.bio import O

# (state, origin_BW) -> state in which each beam goes on from that beam of its example
ReorderFn = Callable[[Any, jax.Array], Any]


class Hypotheses(flax.struct.PyTreeNode):
    """W hypotheses for each example, the best first where they have ended.

    Attributes:
        written: with leading axes B and W.
        score_BW: summed log-probability of the tokens, and of the labels where the rules choose
            them jointly; -inf where there are fewer hypotheses.
        penalized_BW: the score over the length penalty.
    """

    written: greedy.Generated
    score_BW: jax.Array
    penalized_BW: jax.Array


class _Progress(flax.struct.PyTreeNode):
    """A search between two steps: b examples are searched, of B, with R = b * W rows.

    Attributes:
        state: the model's, R rows.
        masks, copied: the copy masks of these rows, and what they have written.
        token_R: their last tokens.
        beams: what they have written; one that has ended has the score -inf.
        best: the best hypotheses of these examples that have ended.
        example_b: which of the B examples these are.
        num_steps: how many steps were run; num_row_steps: the same, summed over rows.
    """

    state: Any
    masks: copying.CopyMasks
    copied: copying.CopyState
    token_R: jax.Array
    beams: Hypotheses
    best: Hypotheses
    example_b: jax.Array
    num_steps: jax.Array
    num_row_steps: jax.Array


class _Chosen(NamedTuple):
    """The W best ways on of each example, the best first.

    Attributes:
        origin_bW: the beam that each goes on from, row_bW: its row.
        token_bW, label_bW: what it writes; log_prob_bW: of the token.
        score_bW: of all that it has written then.
    """

    origin_bW: jax.Array
    row_bW: jax.Array
    token_bW: jax.Array
    label_bW: jax.Array
    log_prob_bW: jax.Array
    score_bW: jax.Array


def length_penalty(num_tokens: jax.Array | int, power: float) -> jax.Array | float:
    """What UniLM divides a score by: ((5 + t) / 6) ** power for t tokens with the end token."""
    return ((5.0 + num_tokens) / 6.0) ** power


def search(
    step_fn: greedy.StepFn,
    state: Any,
    masks: copying.CopyMasks,
    rules: copying.Rules,
    *,
    num_steps: int,
    start_id: int,
    end_id: int,
    reorder_fn: ReorderFn,
    take_rows_fn: greedy.TakeRowsFn,
    grow_fn: greedy.GrowFn,
    num_beams: int,
    num_best: int = 1,
    penalty_power: float = 0.0,
    attended_fn: greedy.AttendedFn | None = None,
) -> tuple[Hypotheses, jax.Array]:
    """The `num_best` best hypotheses of up to `num_steps` tokens that `num_beams` beams find.

    One beam writes what greedy search writes. What has not ended after `num_steps` counts as a
    hypothesis too. Examples without a source have one hypothesis, which is empty.

    Args:
        step_fn: the model: feeds a token to each beam, predicts the next one and its label.
        state: its state before the first token, for `num_beams` beams an example, with room for
            `greedy.first_room(num_steps)` steps.
        masks: the copy masks of the sources, one row per example.
        rules: what decides beside the model.
        start_id: the first token to feed; end_id: the token that ends a hypothesis.
        reorder_fn: the model's state after beams changed places; take_rows_fn: of some of the
            examples; grow_fn: with room for more steps.
        penalty_power: of `length_penalty`, 0 or more; 0 is none.
        attended_fn: where the model looked, if it tells.

    Returns the hypotheses, and the number of steps run, summed over the rows they were run for.

    Raises ValueError on any other `num_best` or `penalty_power`.
    """
    if not 1 <= num_best <= num_beams:
        raise ValueError(f"num_best is {num_best}; from 1 to the number of beams, {num_beams}")
    if penalty_power < 0:
        raise ValueError(f"the length penalty is {penalty_power}; it must be 0 or more")
    batch = len(masks.source_BS)
    last_penalty = length_penalty(num_steps, penalty_power)
    progress = _begin(
        state,
        masks,
        num_steps=num_steps,
        start_id=start_id,
        end_id=end_id,
        num_beams=num_beams,
        num_best=num_best,
    )
    found = progress.best

    def step(progress: _Progress) -> _Progress:
        token_logits, bio_logits_RC, state = step_fn(progress.state, progress.token_R)
        token_logits = copying.biased(token_logits, progress.masks, rules)
        scores = copying.score_tokens(token_logits, progress.masks, rules)
        chosen = _choose(token_logits, scores, bio_logits_RC, progress, rules)
        return _take(
            progress.replace(state=reorder_fn(state, chosen.origin_bW)),
            chosen,
            scores.mass_BS,
            greedy.attended(attended_fn, state, progress.masks),
            rules,
            end_id=end_id,
            penalty_power=penalty_power,
        )

    for stage in greedy.stages(batch, num_steps):

        def goes_on(progress: _Progress, stage: greedy.Stage = stage) -> jax.Array:
            num_left = _goes_on(progress, last_penalty).sum()
            return (progress.num_steps < stage.room) & (num_left > stage.until)

        progress = _take_going_on(progress, stage.size, last_penalty, take_rows_fn)
        progress = progress.replace(state=grow_fn(progress.state, stage.room))
        progress = jax.lax.while_loop(goes_on, step, progress)
        found = _finish(found, progress, last_penalty)
    length_BW = (found.written.tokens_BT != end_id).sum(-1)
    found = found.replace(written=found.written.replace(length_B=length_BW))
    return found, progress.num_row_steps


def _begin(
    state: Any,
    masks: copying.CopyMasks,
    *,
    num_steps: int,
    start_id: int,
    end_id: int,
    num_beams: int,
    num_best: int,
) -> _Progress:
    """All examples before their first step, with one beam; those without a source have ended."""
    batch = len(masks.source_BS)

    def nothing_written(width: int, starts_B1: jax.Array) -> Hypotheses:
        """One empty hypothesis for the examples that start with one, no others."""
        first_1W = jnp.arange(width)[None] == 0
        score_BW = jnp.where(starts_B1 & first_1W, 0.0, -jnp.inf)
        shape = (batch, width, num_steps)
        written = greedy.Generated(
            tokens_BT=jnp.full(shape, end_id),
            labels_BT=jnp.full(shape, O),
            log_prob_BT=jnp.zeros(shape),
            position_BT=jnp.full(shape, -1),
            attended_BT=jnp.full(shape, -1),
            length_B=jnp.zeros(shape[:2], jnp.int32),
        )
        return Hypotheses(written, score_BW, score_BW)

    has_source_B1 = masks.inside_BS.any(-1, keepdims=True)
    row_masks = jax.tree.map(lambda x: jnp.repeat(x, num_beams, axis=0), masks)
    return _Progress(
        state=state,
        masks=row_masks,
        copied=copying.init_copy(row_masks),
        token_R=jnp.full(batch * num_beams, start_id),
        beams=nothing_written(num_beams, has_source_B1),
        best=nothing_written(num_best, ~has_source_B1),
        example_b=jnp.arange(batch),
        num_steps=jnp.int32(0),
        num_row_steps=jnp.int32(0),
    )


def _choose(
    token_logits: jax.Array,
    scores: copying.Scores,
    bio_logits_RC: jax.Array,
    progress: _Progress,
    rules: copying.Rules,
) -> _Chosen:
    """The W best of all ways on from the beams of each example."""
    size, num_beams = progress.beams.score_BW.shape
    label_RL, label_score_RL, log_prob_RLY = extensions(
        token_logits, scores, bio_logits_RC, progress.masks, progress.copied, rules
    )
    _, num_labels, num_ways = log_prob_RLY.shape
    score_RLY = label_score_RL[..., None] + log_prob_RLY
    total_RLY = progress.beams.score_BW.reshape(-1, 1, 1) + score_RLY
    score_bW, index_bW = jax.lax.top_k(total_RLY.reshape(size, -1), num_beams)
    origin_bW, way_bW = jnp.divmod(index_bW, num_labels * num_ways)
    nth_bW, way_bW = jnp.divmod(way_bW, num_ways)
    row_bW = jnp.arange(size)[:, None] * num_beams + origin_bW
    # A place stands for its token.
    points = rules.head == "pointer"
    return _Chosen(
        origin_bW,
        row_bW,
        token_bW=progress.masks.ids_BX[row_bW, way_bW] if points else way_bW,
        label_bW=label_RL[row_bW, nth_bW],
        log_prob_bW=log_prob_RLY[row_bW, nth_bW, way_bW],
        score_bW=score_bW,
    )


def _take(
    progress: _Progress,
    chosen: _Chosen,
    mass_RS: jax.Array,
    attended_R: jax.Array,
    rules: copying.Rules,
    *,
    end_id: int,
    penalty_power: float,
) -> _Progress:
    """The chosen ways on become the beams, and those that end with them hypotheses.

    Args:
        mass_RS: what the model gave each place; attended_R: where it looked.
    """
    row_R, token_R = chosen.row_bW.reshape(-1), chosen.token_bW.reshape(-1)
    copied, mass_RS = jax.tree.map(lambda x: x[row_R], (progress.copied, mass_RS))
    copied = copying.advance(
        progress.masks, copied, token_R, chosen.label_bW.reshape(-1), mass_RS, rules
    )
    position_R = copying.position(progress.masks, copied)
    written = _pick(progress.beams.written, chosen.origin_bW)
    now = (slice(None), slice(None), progress.num_steps)
    written = written.replace(
        tokens_BT=written.tokens_BT.at[now].set(chosen.token_bW),
        labels_BT=written.labels_BT.at[now].set(chosen.label_bW),
        log_prob_BT=written.log_prob_BT.at[now].set(chosen.log_prob_bW),
        position_BT=written.position_BT.at[now].set(position_R.reshape(chosen.token_bW.shape)),
        attended_BT=written.attended_BT.at[now].set(attended_R[chosen.row_bW]),
    )
    num_done = progress.num_steps + 1
    ended_bW = chosen.token_bW == end_id
    penalized_bW = chosen.score_bW / length_penalty(num_done, penalty_power)
    ended = Hypotheses(written, chosen.score_bW, jnp.where(ended_bW, penalized_bW, -jnp.inf))
    return progress.replace(
        copied=copied,
        token_R=token_R,
        beams=ended.replace(score_BW=jnp.where(ended_bW, -jnp.inf, chosen.score_bW)),
        best=_merge(progress.best, ended),
        num_steps=num_done,
        num_row_steps=progress.num_row_steps + len(token_R),
    )


def _goes_on(progress: _Progress, last_penalty: Any) -> jax.Array:
    """Which examples do: goes_on_b."""
    # Scores only fall, and no penalty divides by more than that of the longest hypothesis.
    bound_b = progress.beams.score_BW.max(-1) / last_penalty
    return bound_b > progress.best.penalized_BW[:, -1]


def _take_going_on(
    progress: _Progress, size: int, last_penalty: Any, take_rows_fn: greedy.TakeRowsFn
) -> _Progress:
    """The examples that go on, at most `size` of them; done ones fill up the rest."""
    if size == len(progress.example_b):
        return progress
    num_beams = progress.beams.score_BW.shape[1]
    index_b = jnp.argsort(~_goes_on(progress, last_penalty), stable=True)[:size]
    row_R = (index_b[:, None] * num_beams + jnp.arange(num_beams)[None]).reshape(-1)
    of_rows = progress.masks, progress.copied, progress.token_R
    masks, copied, token_R = jax.tree.map(lambda x: x[row_R], of_rows)
    of_examples = progress.beams, progress.best, progress.example_b
    beams, best, example_b = jax.tree.map(lambda x: x[index_b], of_examples)
    return progress.replace(
        state=take_rows_fn(progress.state, index_b),
        masks=masks,
        copied=copied,
        token_R=token_R,
        beams=beams,
        best=best,
        example_b=example_b,
    )


def _finish(found: Hypotheses, progress: _Progress, last_penalty: Any) -> Hypotheses:
    """`found` with what these examples have, what has not ended included.

    Of an example that goes on that is not final, and is replaced after a later stage.
    """
    unended = progress.beams.replace(penalized_BW=progress.beams.score_BW / last_penalty)
    best = _merge(progress.best, unended)
    return jax.tree.map(lambda x, y: x.at[progress.example_b].set(y), found, best)


def _merge(best: Hypotheses, more: Hypotheses) -> Hypotheses:
    """The best of both by penalized score, as many as `best` has."""
    both = jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis=1), best, more)
    _, index_BW = jax.lax.top_k(both.penalized_BW, best.penalized_BW.shape[1])
    return _pick(both, index_BW)


def _pick(tree: Any, index_BW: jax.Array) -> Any:
    """The chosen hypotheses of each example."""
    row_B1 = jnp.arange(len(index_BW))[:, None]
    return jax.tree.map(lambda x: x[row_B1, index_BW], tree)
