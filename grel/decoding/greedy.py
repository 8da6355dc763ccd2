"""Greedy search under the copy mechanism, over fewer and fewer rows as they end.

The loop is a scan over a few steps inside a `while_loop` that asks in between how many rows go on:
asking costs a round trip on accelerators, running to the maximum length costs far more. When half
of the rows have ended the others are gathered into a batch of half the size and go on there, down
to a few rows. All sizes are stages of one compiled program, so that a device halves when its own
rows allow, without the host and without the other devices. Most outputs are short, so that the
first of the stages has little room to write, and steps in it need not look at what is empty.

A model that can be fed several tokens at once may be: the last one and drafted ones behind it. It
then says for each what comes next, and what would have been written one token a step is written at
once, as far as the draft has guessed it and one token further. Rows then differ in how many tokens
they have, and a draft changes how many steps a search takes but nothing that it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from grel.decoding import batching, copying
from grel.text.bio import O

STEPS_PER_CHECK = 2
# More than half of the outputs of NYT24 have ended by then.
FIRST_ROOM = 16

# (state, token_B) -> (token_logits_BV or, of places, token_logits_BX, bio_logits_BC, state)
StepFn = Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, Any]]
# state after a step -> where in the source the model looked at that step: place_B
AttendedFn = Callable[[Any], jax.Array]
# (state, index_B) -> state of these rows
TakeRowsFn = Callable[[Any, jax.Array], Any]
# (state, num_steps) -> state with room for so many steps
GrowFn = Callable[[Any, int], Any]
# (masks, copied, tokens_BT, labels_BT, length_B) -> guesses of the next tokens, draft_BU
DraftFn = Callable[
    [copying.CopyMasks, copying.CopyState, jax.Array, jax.Array, jax.Array], jax.Array
]


class Drafting(NamedTuple):
    """How several tokens are written in a step.

    Attributes:
        num_drafted: U; how many are guessed, 1 or more.
        draft_fn: guesses them. Any ids will do, and those that are not as greedy search writes them
            are dropped.
        feed_fn: (state, tokens_BF) -> (token_logits_BFX, bio_logits_BFC, state): as a step
            function, for F = 1 + U tokens one behind the other. Each counts for those behind it.
        keep_fn: (state, num_B) -> the state in which so many of the tokens fed last were fed.
    """

    num_drafted: int
    draft_fn: DraftFn
    feed_fn: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, Any]]
    keep_fn: Callable[[Any, jax.Array], Any]


class Generated(flax.struct.PyTreeNode):
    """What was written, T tokens a row.

    Attributes:
        tokens_BT: ids; the end token from where a row has ended.
        labels_BT: the labels that were written with them.
        log_prob_BT: log-probability of each token, see `copying.Rules.scores`.
        position_BT: where in S1 the tokens since the last B end, this one included, [CLS] not
            counted; see `copying.position`.
        attended_BT: where in S1 the model looked to write each token, -1 if it does not tell.
        length_B: tokens before the end token; T where a row did not end.
    """

    tokens_BT: jax.Array
    labels_BT: jax.Array
    log_prob_BT: jax.Array
    position_BT: jax.Array
    attended_BT: jax.Array
    length_B: jax.Array


class Progress(flax.struct.PyTreeNode):
    """A search between two steps: b rows are searched, of B.

    Attributes:
        state: the model's, b rows.
        masks, copied: the copy masks of these rows, and what they have written.
        token_b: the last token; ended_b: whether that was the last of its row.
        row_b: which of the B rows these are.
        length_b: how many tokens they have, the end token included.
        written: all B rows.
        num_row_steps: how many steps were run, summed over the rows they were run for.
    """

    state: Any
    masks: copying.CopyMasks
    copied: copying.CopyState
    token_b: jax.Array
    ended_b: jax.Array
    row_b: jax.Array
    length_b: jax.Array
    written: Generated
    num_row_steps: jax.Array


def num_steps_for(num_tokens: int) -> int:
    """Steps that a search of at most `num_tokens` tokens and the end token makes room for."""
    return -(-(num_tokens + 1) // STEPS_PER_CHECK) * STEPS_PER_CHECK


def first_room(num_steps: int) -> int:
    """Steps that the model's state must have room for before the first of `num_steps`."""
    return FIRST_ROOM if num_steps >= 2 * FIRST_ROOM else num_steps


def search(
    step_fn: StepFn,
    state: Any,
    masks: copying.CopyMasks,
    rules: copying.Rules,
    *,
    num_steps: int,
    start_id: int,
    end_id: int,
    take_rows_fn: TakeRowsFn,
    grow_fn: GrowFn,
    attended_fn: AttendedFn | None = None,
    drafting: Drafting | None = None,
) -> tuple[Generated, jax.Array]:
    """Writes up to `num_steps` tokens (a multiple of STEPS_PER_CHECK) for each row.

    Rows without a source, which fill up a batch, are ended from the start.

    Args:
        step_fn: the model: feeds a token, predicts the next one and its label.
        state: its state before the first token, with room for `first_room(num_steps)` steps.
        masks: the copy masks of the sources; rules: what decides beside the model.
        start_id: the first token to feed; end_id: the token that ends a row.
        take_rows_fn: the model's state of some of the rows; grow_fn: with room for more steps.
        attended_fn: where the model looked, if it tells and is fed one token a step.
        drafting: how more are fed; then `step_fn` is not used, and the state is to have room for
            the drafted tokens too.

    Returns what was written, and the number of steps run, summed over the rows they were run for.

    Raises ValueError on any other `num_steps`.
    """
    if num_steps % STEPS_PER_CHECK:
        raise ValueError(f"num_steps is {num_steps}; it must be a multiple of {STEPS_PER_CHECK}")
    num_drafted = drafting.num_drafted if drafting else 0
    progress = begin(state, masks, num_steps=num_steps, start_id=start_id, end_id=end_id)
    for stage in stages(len(masks.source_BS), num_steps):
        progress = take_unended(progress, stage.size, take_rows_fn)
        progress = progress.replace(state=grow_fn(progress.state, stage.room + num_drafted))
        progress = advance(
            step_fn,
            progress,
            rules,
            stage,
            end_id=end_id,
            attended_fn=attended_fn,
            drafting=drafting,
        )
    written = progress.written
    length_B = (written.tokens_BT != end_id).sum(-1)
    return written.replace(length_B=length_B), progress.num_row_steps


class Stage(NamedTuple):
    """Steps with batches of one shape.

    Attributes:
        size: rows searched.
        room: tokens that there is room for; the stage ends when a row that goes on has so many,
        until: or when no more than so many rows go on.
    """

    size: int
    room: int
    until: int


def stages(num_rows: int, num_steps: int) -> Iterator[Stage]:
    """The whole batch with little room, then with all of it, then halves down to the fewest."""
    room = first_room(num_steps)
    while True:
        half = num_rows // 2 if num_rows // 2 >= batching.MIN_ROWS else 0
        yield Stage(num_rows, room, half)
        if room < num_steps:
            room = num_steps
        elif half:
            num_rows = half
        else:
            return


def begin(
    state: Any, masks: copying.CopyMasks, *, num_steps: int, start_id: int, end_id: int
) -> Progress:
    """All rows before their first step, with room to write `num_steps` tokens."""
    num_rows = len(masks.source_BS)

    def filled(value):
        return jnp.full((num_rows, num_steps), value)

    return Progress(
        state=state,
        masks=masks,
        copied=copying.init_copy(masks),
        token_b=jnp.full(num_rows, start_id),
        ended_b=~masks.inside_BS.any(-1),
        row_b=jnp.arange(num_rows),
        length_b=jnp.zeros(num_rows, jnp.int32),
        written=Generated(
            tokens_BT=filled(end_id),
            labels_BT=filled(O),
            log_prob_BT=filled(0.0),
            position_BT=filled(-1),
            attended_BT=filled(-1),
            length_B=jnp.zeros(num_rows, jnp.int32),
        ),
        num_row_steps=jnp.int32(0),
    )


def take_unended(progress: Progress, size: int, take_rows_fn: TakeRowsFn) -> Progress:
    """The rows that go on, at most `size` of them; ended ones fill up the rest."""
    if size == len(progress.ended_b):
        return progress
    index_b = jnp.argsort(progress.ended_b, stable=True)[:size]
    of_rows = ("masks", "copied", "token_b", "ended_b", "row_b", "length_b")
    rows = {name: getattr(progress, name) for name in of_rows}
    return progress.replace(
        state=take_rows_fn(progress.state, index_b),
        **jax.tree.map(lambda x: x[index_b], rows),
    )


def attended(attended_fn: AttendedFn | None, state: Any, masks: copying.CopyMasks) -> jax.Array:
    """Where in S1 the model looked at the step before `state`; -1 where it does not tell."""
    if attended_fn is None:
        return jnp.full(len(masks.source_BS), -1)
    return copying.in_sentence(masks, attended_fn(state))


def advance(
    step_fn: StepFn,
    progress: Progress,
    rules: copying.Rules,
    stage: Stage,
    *,
    end_id: int,
    attended_fn: AttendedFn | None = None,
    drafting: Drafting | None = None,
) -> Progress:
    """Goes on to the end of the stage."""
    num_tokens = progress.written.tokens_BT.shape[1]

    def write(progress, going_b, logits, attended_b):
        """One token more in the rows that are going."""
        token_logits, bio_logits_bC = logits
        token_logits = copying.biased(token_logits, progress.masks, rules)
        scores = copying.score_tokens(token_logits, progress.masks, rules)
        choice = copying.choose(bio_logits_bC, scores, progress.masks, progress.copied, rules)
        token_b, label_b = choice.token_B, choice.label_B
        copied = copying.advance(
            progress.masks, progress.copied, token_b, label_b, scores.mass_BS, rules
        )
        now = {
            "tokens_BT": token_b,
            "labels_BT": label_b,
            "log_prob_BT": choice.log_prob_B,
            "position_BT": copying.position(progress.masks, copied),
            "attended_BT": attended_b,
        }
        # Of the others, what would be written falls off the end.
        place = progress.row_b, jnp.where(going_b, progress.length_b, num_tokens)
        written = {
            name: getattr(progress.written, name).at[place].set(value, mode="drop")
            for name, value in now.items()
        }
        length_b = progress.length_b + going_b
        has_ended_b = (token_b == end_id) | (length_b == num_tokens)
        return progress.replace(
            copied=jax.tree.map(
                lambda new, old: jnp.where(going_b.reshape(-1, *[1] * (old.ndim - 1)), new, old),
                copied,
                progress.copied,
            ),
            token_b=jnp.where(going_b, token_b, progress.token_b),
            ended_b=progress.ended_b | (going_b & has_ended_b),
            length_b=length_b,
            written=progress.written.replace(**written),
        )

    def step(progress, _):
        going_b = ~progress.ended_b & (progress.length_b < stage.room)
        if drafting is None:
            *logits, state = step_fn(progress.state, progress.token_b)
            attended_b = attended(attended_fn, state, progress.masks)
            progress = write(progress, going_b, logits, attended_b)
        else:
            progress, state = verify(drafting, progress, going_b)
        num_row_steps = progress.num_row_steps + len(going_b)
        return progress.replace(state=state, num_row_steps=num_row_steps), None

    def verify(drafting: Drafting, progress: Progress, going_b: jax.Array) -> tuple[Progress, Any]:
        """Writes as far as a draft is what is written anyway, and one token further."""
        draft_bU = drafting.draft_fn(
            progress.masks,
            progress.copied,
            progress.written.tokens_BT[progress.row_b],
            progress.written.labels_BT[progress.row_b],
            progress.length_b,
        )
        fed_bF = jnp.concatenate([progress.token_b[:, None], draft_bU], axis=1)
        *logits, state = drafting.feed_fn(progress.state, fed_bF)
        attended_b = attended(None, state, progress.masks)

        def write_next(carry, xs):
            progress, going_b = carry
            logits, fed_next_b = xs
            progress = write(progress, going_b, logits, attended_b)
            going_b &= ~progress.ended_b & (progress.length_b < stage.room)
            return (progress, going_b & (progress.token_b == fed_next_b)), None

        logits, fed_bF = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (logits, fed_bF))
        # Nothing is fed behind the last one.
        fed_next_Fb = jnp.roll(fed_bF, -1, axis=0)
        carry = progress.replace(state=None), going_b
        (after, _), _ = jax.lax.scan(write_next, carry, (logits, fed_next_Fb))
        return after, drafting.keep_fn(state, after.length_b - progress.length_b)

    def goes_on(progress):
        longest = jnp.where(progress.ended_b, 0, progress.length_b).max()
        return (longest < stage.room) & ((~progress.ended_b).sum() > stage.until)

    # Where steps write several tokens there are few of them.
    length = 1 if drafting else STEPS_PER_CHECK
    return jax.lax.while_loop(goes_on, lambda p: jax.lax.scan(step, p, length=length)[0], progress)
