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
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from grel.decoding import copying, greedy
from grel.text.bio import NUM_LABELS, O

# (state, origin_BW) -> state in which each beam goes on from that beam of its example
ReorderFn = Callable[[Any, jax.Array], Any]


@flax.struct.dataclass
class Hypotheses:
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


@flax.struct.dataclass
class _Search:
    """Between two steps: b examples are searched, with R = b * W rows.

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

    def step(search: _Search) -> _Search:
        size = len(search.example_b)
        token_logits, bio_logits_RC, state = step_fn(search.state, search.token_R)
        token_logits = copying.biased(token_logits, search.masks, rules)
        scores = copying.score_tokens(token_logits, search.masks, rules)
        label_RL, label_score_RL, log_prob_RLY = _extensions(
            token_logits, scores, bio_logits_RC, search.masks, search.copied, rules
        )
        _, num_labels, num_ways = log_prob_RLY.shape
        score_RLY = label_score_RL[..., None] + log_prob_RLY
        total_RLY = search.beams.score_BW.reshape(-1, 1, 1) + score_RLY
        score_bW, index_bW = jax.lax.top_k(total_RLY.reshape(size, -1), num_beams)
        origin_bW, way_bW = jnp.divmod(index_bW, num_labels * num_ways)
        nth_bW, way_bW = jnp.divmod(way_bW, num_ways)
        row_bW = jnp.arange(size)[:, None] * num_beams + origin_bW
        label_bW = label_RL[row_bW, nth_bW]
        # A place stands for its token.
        points = rules.head == "pointer"
        token_bW = search.masks.ids_BX[row_bW, way_bW] if points else way_bW

        token_R, row_R = token_bW.reshape(-1), row_bW.reshape(-1)
        copied, mass_RS = jax.tree.map(lambda x: x[row_R], (search.copied, scores.mass_BS))
        copied = copying.advance(
            search.masks, copied, token_R, label_bW.reshape(-1), mass_RS, rules
        )
        attended_R = greedy.attended(attended_fn, state, search.masks)
        written = _take(search.beams.written, origin_bW)
        now = (slice(None), slice(None), search.num_steps)
        written = written.replace(
            tokens_BT=written.tokens_BT.at[now].set(token_bW),
            labels_BT=written.labels_BT.at[now].set(label_bW),
            log_prob_BT=written.log_prob_BT.at[now].set(log_prob_RLY[row_bW, nth_bW, way_bW]),
            position_BT=written.position_BT.at[now].set(
                copying.position(search.masks, copied).reshape(token_bW.shape)
            ),
            attended_BT=written.attended_BT.at[now].set(attended_R[row_bW]),
        )
        num_done = search.num_steps + 1
        ended_bW = token_bW == end_id
        penalized_bW = score_bW / length_penalty(num_done, penalty_power)
        ended = Hypotheses(written, score_bW, jnp.where(ended_bW, penalized_bW, -jnp.inf))
        return search.replace(
            state=reorder_fn(state, origin_bW),
            copied=copied,
            token_R=token_R,
            beams=ended.replace(score_BW=jnp.where(ended_bW, -jnp.inf, score_bW)),
            best=_merge(search.best, ended),
            num_steps=num_done,
            num_row_steps=search.num_row_steps + len(token_R),
        )

    def goes_on(search: _Search) -> jax.Array:
        """Which examples do: goes_on_b."""
        # Scores only fall, and no penalty divides by more than that of the longest hypothesis.
        bound_b = search.beams.score_BW.max(-1) / last_penalty
        return bound_b > search.best.penalized_BW[:, -1]

    def take_going_on(search: _Search, size: int) -> _Search:
        """The examples that go on, at most `size` of them; done ones fill up the rest."""
        if size == len(search.example_b):
            return search
        index_b = jnp.argsort(~goes_on(search), stable=True)[:size]
        row_R = (index_b[:, None] * num_beams + jnp.arange(num_beams)[None]).reshape(-1)
        of_rows = search.masks, search.copied, search.token_R
        masks, copied, token_R = jax.tree.map(lambda x: x[row_R], of_rows)
        of_examples = search.beams, search.best, search.example_b
        beams, best, example_b = jax.tree.map(lambda x: x[index_b], of_examples)
        return search.replace(
            state=take_rows_fn(search.state, index_b),
            masks=masks,
            copied=copied,
            token_R=token_R,
            beams=beams,
            best=best,
            example_b=example_b,
        )

    has_source_B1 = masks.inside_BS.any(-1, keepdims=True)
    row_masks = jax.tree.map(lambda x: jnp.repeat(x, num_beams, axis=0), masks)
    found = nothing_written(num_best, ~has_source_B1)
    search = _Search(
        state=state,
        masks=row_masks,
        copied=copying.init_copy(row_masks),
        token_R=jnp.full(batch * num_beams, start_id),
        beams=nothing_written(num_beams, has_source_B1),
        best=found,
        example_b=jnp.arange(batch),
        num_steps=jnp.int32(0),
        num_row_steps=jnp.int32(0),
    )
    for stage in greedy.stages(batch, num_steps):
        search = take_going_on(search, stage.size)
        search = search.replace(state=grow_fn(search.state, stage.room))
        search = jax.lax.while_loop(
            lambda s, stage=stage: (s.num_steps < stage.room) & (goes_on(s).sum() > stage.until),
            step,
            search,
        )
        # Of an example that goes on these are not final, and are replaced after a later stage.
        unended = search.beams.replace(penalized_BW=search.beams.score_BW / last_penalty)
        found = _put(found, search.example_b, _merge(search.best, unended))
    length_BW = (found.written.tokens_BT != end_id).sum(-1)
    found = found.replace(written=found.written.replace(length_B=length_BW))
    return found, search.num_row_steps


def _extensions(
    token_logits: jax.Array,
    scores: copying.Scores,
    bio_logits_RC: jax.Array,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    rules: copying.Rules,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All ways on from each row: L labels, their scores, and log p(token) under each.

    With the likeliest label L is 1 and its score 0. A token or label that may not come next has
    -inf. Tokens (Y) go by id, or where the model points by place, each at the first it stands at.

    Returns label_RL, label_score_RL, log_prob_RLY.
    """
    if rules.label == "argmax":
        label_RL = copying.choose_label(bio_logits_RC, masks, copied, rules)[:, None]
        label_score_RL = jnp.zeros(label_RL.shape)
    else:
        label_RL = jnp.broadcast_to(jnp.arange(NUM_LABELS)[None], bio_logits_RC.shape)
        label_score_RL = _written_label_scores(bio_logits_RC, masks, copied, rules)
    log_prob_RLY = jnp.stack(
        [
            _token_log_probs(token_logits, scores, masks, copied, label_R, rules)
            for label_R in label_RL.T
        ],
        axis=1,
    )
    return label_RL, label_score_RL, log_prob_RLY


def _written_label_scores(
    bio_logits_RC: jax.Array,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    rules: copying.Rules,
) -> jax.Array:
    """log p of the label that the model means by a written one, the likeliest if by several."""
    feasible_RC = copying.feasible_labels(masks, copied, rules)
    log_prob_RC = jnp.where(feasible_RC, jax.nn.log_softmax(bio_logits_RC), -jnp.inf)
    written_RC = jnp.stack(
        [
            copying.final_label(jnp.full_like(copied.label_B, label), masks, copied, rules)
            for label in range(NUM_LABELS)
        ],
        axis=-1,
    )
    means_RCC = written_RC[:, None, :] == jnp.arange(NUM_LABELS)[None, :, None]
    return jnp.where(means_RCC, log_prob_RC[:, None, :], -jnp.inf).max(-1)


def _token_log_probs(
    token_logits: jax.Array,
    scores: copying.Scores,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    label_R: jax.Array,
    rules: copying.Rules,
) -> jax.Array:
    """log p of every token as `rules.scores` has it; -inf for those that the label forbids."""
    allow = copying.allowed(masks, copied, label_R, rules)
    norm_R1 = copying.token_norm(scores, masks, allow, rules)[:, None]
    free_R1 = allow.free_B[:, None]
    if rules.head == "pointer":
        everywhere_RX = jnp.ones_like(allow.place_BX)
        allow_RX = copying.distinct(masks, allow.place_BX | free_R1 & everywhere_RX)
        return jnp.where(allow_RX, scores.logit_BX - norm_R1, -jnp.inf)
    row_R1 = jnp.arange(len(token_logits))[:, None]
    allow_RV = jnp.zeros(token_logits.shape, bool).at[row_R1, masks.ids_BX].max(allow.place_BX)
    return jnp.where(allow_RV | free_R1, token_logits - norm_R1, -jnp.inf)


def _merge(best: Hypotheses, more: Hypotheses) -> Hypotheses:
    """The best of both by penalized score, as many as `best` has."""
    both = jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis=1), best, more)
    _, index_BW = jax.lax.top_k(both.penalized_BW, best.penalized_BW.shape[1])
    return _take(both, index_BW)


def _put(found: Hypotheses, example_b: jax.Array, best: Hypotheses) -> Hypotheses:
    """`found` with those of some examples replaced."""
    return jax.tree.map(lambda x, y: x.at[example_b].set(y), found, best)


def _take(tree: Any, index_BW: jax.Array) -> Any:
    """The chosen hypotheses of each example."""
    row_B1 = jnp.arange(len(index_BW))[:, None]
    return jax.tree.map(lambda x: x[row_B1, index_BW], tree)
