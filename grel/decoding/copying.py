"""What may come next, and which of it wins: the copy mechanism, alone or inside a grammar.

A label's candidates are tokens of the source, tokens of the grammar, or everything, so nothing of
the size of the vocabulary is masked at a step: the logits are gathered at places, which are the
source positions and the tokens that are written without being copied, and the best allowed one is
taken. A model whose head points gives the logits of places itself, and the probability of a token
is then the sum over its places. What continues an n-gram of the source is a shifted boolean vector
over its positions. All of it is exact and costs O(source) a step.
Source: paper section 3.5; METHOD section 6.

With copy="words" labels decide nothing: at every step the tokens of the source and all others that
are written without being copied are allowed, as in WordDec (Nayak and Ng 2020).

With a grammar (structure="on") the label decides which move is made, among those that the slot
offers: B starts an entity with any candidate of the source, I continues it where the source goes
on, O takes a token of the grammar. So at the start of the output the label chooses between an
entity (B) and the end token (O); at any other start of an entity only B is left; inside an entity
it chooses between going on (I) and `;` (O); in a relation only O is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp

from grel.decoding import structure
from grel.text.bio import NUM_LABELS, B, I, O

# What can be chosen, by the names of `config.decoding`.
CHOICES = {
    "copy": ("on", "off", "su", "words"),
    "structure": ("off", "on"),
    "label": ("argmax", "joint"),
    "scores": ("raw", "renormalized"),
}


def check(*, copy: str, structure: str, label: str, scores: str) -> None:
    """Refuses what could not work: raises ValueError."""
    values = {"copy": copy, "structure": structure, "label": label, "scores": scores}
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise ValueError(f"{name} is {values[name]!r}; one of {', '.join(choices)}")
    if structure == "on" and copy != "on":
        raise ValueError(
            f"structure is 'on' and copy {copy!r}, but its entities are copied: set copy='on', or "
            "structure='off'"
        )


class Rules(flax.struct.PyTreeNode):
    """What decides beside the model.

    Attributes:
        grammar: the automaton of the slots; None is structure="off".
        copy: "on" (METHOD section 6), "off" (every token is allowed), "su" (Su 2021) or "words"
            (whatever the label, tokens of the source and those that are not copied).
        label: "argmax" takes the likeliest label and then the token; "joint" the pair with the
            highest log p(label) + log p(token | label).
        scores: of tokens: "raw" of the model's distribution over all tokens, "renormalized" over
            what the label allows.
        head: "vocabulary" where the model gives a logit for each of its tokens, "pointer" where it
            gives one for each place; a place that can't be taken then has -inf.
        end_bias: is added to the logit of `end_id`; None is 0.
        followed: the automaton whose states the copy state keeps, for drafts to go by though it
            forces nothing; None is `grammar`.
    """

    grammar: structure.Grammar | None = None
    copy: str = flax.struct.field(pytree_node=False, default="on")
    label: str = flax.struct.field(pytree_node=False, default="argmax")
    scores: str = flax.struct.field(pytree_node=False, default="raw")
    head: str = flax.struct.field(pytree_node=False, default="vocabulary")
    end_bias: jax.Array | None = None
    end_id: int = flax.struct.field(pytree_node=False, default=0)
    followed: structure.Grammar | None = None


class CopyMasks(flax.struct.PyTreeNode):
    """What the source allows; computed once, before the loop.

    Attributes:
        source_BS: ids of the source, padded: of wordpieces `[CLS] S1 [SEP]`, of words S1 alone.
        inside_BS: positions of S1.
        candidate_BS: positions of S1 whose token may be copied.
        ids_BX: tokens by place: those of the source, then those that need not be copied.
        first_BX: for each place, the first one with the same token.
    """

    source_BS: jax.Array
    inside_BS: jax.Array
    candidate_BS: jax.Array
    ids_BX: jax.Array
    first_BX: jax.Array


class CopyState(flax.struct.PyTreeNode):
    """What was written so far.

    Attributes:
        match_BS: position j of the source where the tokens since the last B end, if they stand
            there contiguously.
        mass_BS: log of what the pointer gave the places of these tokens; 0 where there is none.
        label_B: the previous label.
        slot_B: the state of the grammar's automaton; -1 where the grammar is left, which it can
            be where it is `Rules.followed` only.
    """

    match_BS: jax.Array
    mass_BS: jax.Array
    label_B: jax.Array
    slot_B: jax.Array


class Allowed(flax.struct.PyTreeNode):
    """The tokens that a label allows: those at some places, or all.

    Attributes:
        place_BX: places whose tokens are allowed.
        free_B: whether every token is allowed, wherever it stands.
    """

    place_BX: jax.Array
    free_B: jax.Array


class Scores(flax.struct.PyTreeNode):
    """How likely the model finds each token.

    Attributes:
        logit_BX: of the token at each place, the same wherever it stands.
        norm_B: log of the sum over all tokens.
        best_B, best_logit_B: the best of all tokens, the lowest id of equals.
        mass_BS: log-probability of each source position; 0 where the model does not point.
    """

    logit_BX: jax.Array
    norm_B: jax.Array
    best_B: jax.Array
    best_logit_B: jax.Array
    mass_BS: jax.Array


class Choice(flax.struct.PyTreeNode):
    """One token a row: its label, its id, and the token's log-probability."""

    label_B: jax.Array
    token_B: jax.Array
    log_prob_B: jax.Array


def copy_masks(
    source_BS: jax.Array,
    source_length_B: jax.Array,
    excluded_ids: Sequence[int],
    other_ids: Sequence[int] = (),
    frame: tuple[int, int] = (1, 1),
) -> CopyMasks:
    """Masks of padded sources, `[CLS] S1 [SEP]` or whatever `frame` says.

    `excluded_ids` are never candidates; `other_ids`, each once, are written without being copied:
    those of the grammar, of a model that points or of copy="words". `frame` is how many tokens
    stand before S1 and after it.
    """
    before, after = frame
    place_1S = jnp.arange(source_BS.shape[1])[None]
    inside_BS = (place_1S >= before) & (place_1S < source_length_B[:, None] - after)
    excluded_BS = jnp.isin(source_BS, jnp.array(excluded_ids, jnp.int32))
    other_BE = jnp.broadcast_to(
        jnp.array(other_ids, jnp.int32)[None], (len(source_BS), len(other_ids))
    )
    ids_BX = jnp.concatenate([source_BS, other_BE], axis=-1)
    first_BX = (ids_BX[:, :, None] == ids_BX[:, None, :]).argmax(-1)
    return CopyMasks(source_BS, inside_BS, inside_BS & ~excluded_BS, ids_BX, first_BX)


def init_copy(masks: CopyMasks) -> CopyState:
    """Nothing written yet: nothing matches."""
    num_rows = len(masks.source_BS)
    return CopyState(
        match_BS=jnp.zeros_like(masks.inside_BS),
        mass_BS=jnp.zeros(masks.inside_BS.shape, jnp.float32),
        label_B=jnp.full(num_rows, O),
        slot_B=jnp.full(num_rows, structure.FIRST),
    )


def biased(token_logits: jax.Array, masks: CopyMasks, rules: Rules) -> jax.Array:
    """The model's token logits with the bias of the end token."""
    if rules.end_bias is None:
        return token_logits
    if rules.head == "vocabulary":
        return token_logits.at[:, rules.end_id].add(rules.end_bias)
    return token_logits + jnp.where(masks.ids_BX == rules.end_id, rules.end_bias, 0)


# Of exponentials against a row's top: less has lost digits in float32, or is 0.
_LEAST_SUM = 1e-30


def _far_logits(logits_BX: jax.Array, first: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Of the token at each place the log of the sum over its places, against its own top."""
    top_BX = jnp.full_like(logits_BX, -jnp.inf).at[first].max(logits_BX)
    top_BX = jnp.where(top_BX > -jnp.inf, top_BX, 0)  # of tokens that can't be taken
    sum_BX = jnp.zeros_like(logits_BX).at[first].add(jnp.exp(logits_BX - top_BX[first]))
    return (jnp.log(sum_BX) + top_BX)[first]


def score_tokens(token_logits: jax.Array, masks: CopyMasks, rules: Rules) -> Scores:
    """What there is to know of a step's tokens, from token_logits_BV or token_logits_BX."""
    if rules.head == "vocabulary":
        logits_BV = token_logits
        return Scores(
            jnp.take_along_axis(logits_BV, masks.ids_BX, axis=-1),
            jax.nn.logsumexp(logits_BV, axis=-1),
            *_likeliest(logits_BV, jax.lax.broadcasted_iota(jnp.int32, logits_BV.shape, 1)),
            jnp.zeros(masks.inside_BS.shape, jnp.float32),
        )
    logits_BX = token_logits
    norm_B = jax.nn.logsumexp(logits_BX, axis=-1)
    # The sum is taken at the first place of a token and looked up from the others.
    first = jnp.arange(len(logits_BX))[:, None], masks.first_BX
    top_B1 = logits_BX.max(-1, keepdims=True)
    sum_BX = jnp.zeros_like(logits_BX).at[first].add(jnp.exp(logits_BX - top_B1))[first]
    logit_BX = jnp.log(sum_BX) + top_B1
    # What lies far below the row's top is 0 there. That is rare, and costs as much again.
    is_far_BX = sum_BX < _LEAST_SUM
    logit_BX = jax.lax.cond(
        (is_far_BX & (logits_BX > -jnp.inf)).any(),
        lambda: jnp.where(is_far_BX, _far_logits(logits_BX, first), logit_BX),
        lambda: logit_BX,
    )
    best_B, best_logit_B = _best(logit_BX, logit_BX > -jnp.inf, masks)
    mass_BS = logits_BX[:, : masks.source_BS.shape[1]] - norm_B[:, None]
    return Scores(logit_BX, norm_B, best_B, best_logit_B, mass_BS)


def choose(
    bio_logits_BC: jax.Array,
    scores: Scores,
    masks: CopyMasks,
    state: CopyState,
    rules: Rules,
) -> Choice:
    """The best label and token; ties go to the lower label and then to the lower id."""
    if rules.label == "argmax":
        label_B = choose_label(bio_logits_BC, masks, state, rules)
        return _choose_under(label_B, scores, masks, state, rules)
    options, totals = [], []
    feasible_BC = feasible_labels(masks, state, rules)
    label_log_prob_BC = jax.nn.log_softmax(bio_logits_BC)
    for label in range(NUM_LABELS):
        label_B = final_label(jnp.full_like(state.label_B, label), masks, state, rules)
        option = _choose_under(label_B, scores, masks, state, rules)
        options.append(option)
        total_B = label_log_prob_BC[:, label] + option.log_prob_B
        totals.append(jnp.where(feasible_BC[:, label], total_B, -jnp.inf))
    best_1B = jnp.stack(totals).argmax(0)[None]
    return jax.tree.map(
        lambda *of_label: jnp.take_along_axis(jnp.stack(of_label), best_1B, axis=0)[0], *options
    )


def _choose_under(
    label_B: jax.Array, scores: Scores, masks: CopyMasks, state: CopyState, rules: Rules
) -> Choice:
    allow = allowed(masks, state, label_B, rules)
    token_B, logit_B = choose_token(scores, masks, allow)
    return Choice(label_B, token_B, logit_B - token_norm(scores, masks, allow, rules))


def feasible_labels(masks: CopyMasks, state: CopyState, rules: Rules) -> jax.Array:
    """Labels that may come next: feasible_BC.

    Without a grammar all may, but in mode "su" (Su 2021) I may not follow O.
    """
    if rules.grammar is not None:
        feasible = {
            O: _grammar_tokens(masks, state, rules.grammar).any(-1),
            B: rules.grammar.starts_A[state.slot_B] & masks.candidate_BS.any(-1),
            I: rules.grammar.inside_A[state.slot_B] & _continuations(masks, state).any(-1),
        }
        return jnp.stack([feasible[label] for label in range(NUM_LABELS)], axis=-1)
    barred_BC = (state.label_B[:, None] == O) & (jnp.arange(NUM_LABELS)[None] == I)
    return ~barred_BC if rules.copy == "su" else jnp.ones_like(barred_BC)


def final_label(label_B: jax.Array, masks: CopyMasks, state: CopyState, rules: Rules) -> jax.Array:
    """The label that is written when the model means `label_B`.

    In mode "su" an I that finds nothing to continue becomes B: it copies anew from anywhere.
    """
    if rules.copy != "su":
        return label_B
    stray_B = (label_B == I) & ~_continuations(masks, state).any(-1)
    return jnp.where(stray_B, B, label_B)


def choose_label(
    bio_logits_BC: jax.Array, masks: CopyMasks, state: CopyState, rules: Rules
) -> jax.Array:
    """The likeliest of the feasible labels. Returns label_B."""
    feasible_BC = feasible_labels(masks, state, rules)
    label_B = jnp.where(feasible_BC, bio_logits_BC, -jnp.inf).argmax(-1)
    return final_label(label_B, masks, state, rules)


def allowed(masks: CopyMasks, state: CopyState, label_B: jax.Array, rules: Rules) -> Allowed:
    """What a feasible label allows.

    B: the tokens of the source. I: those that follow a match. O: those of the grammar. Without a
    grammar, O allows every token, and so does a label that finds no candidate; in mode "off" all
    labels do, and in mode "words" all allow the source and what is not copied.
    """
    if rules.copy == "words":
        num_others = masks.ids_BX.shape[1] - masks.source_BS.shape[1]
        place_BX = jnp.pad(masks.candidate_BS, ((0, 0), (0, num_others)), constant_values=True)
        return Allowed(place_BX, jnp.zeros_like(label_B, bool))
    label_B1 = label_B[:, None]
    position_BS = jnp.where(
        label_B1 == I, _continuations(masks, state), (label_B1 == B) & masks.candidate_BS
    )
    if rules.grammar is not None:
        other_BE = (label_B1 == O) & _grammar_tokens(masks, state, rules.grammar)
        free_B = jnp.zeros_like(label_B, bool)
    else:
        if rules.copy == "off":
            position_BS = jnp.zeros_like(position_BS)
        num_others = masks.ids_BX.shape[1] - masks.source_BS.shape[1]
        other_BE = jnp.zeros((len(label_B), num_others), bool)
        free_B = ~position_BS.any(-1)
    return Allowed(jnp.concatenate([position_BS, other_BE], axis=-1), free_B)


def choose_token(scores: Scores, masks: CopyMasks, allow: Allowed) -> tuple[jax.Array, jax.Array]:
    """The best of the allowed tokens, and its logit.

    Ties go to the lowest id, as in an argmax over the masked vocabulary, to which this is equal bit
    for bit. Returns token_B, logit_B.
    """
    token_B, logit_B = _best(scores.logit_BX, allow.place_BX, masks)
    return (
        jnp.where(allow.free_B, scores.best_B, token_B),
        jnp.where(allow.free_B, scores.best_logit_B, logit_B),
    )


def _best(
    logit_BX: jax.Array, allow_BX: jax.Array, masks: CopyMasks
) -> tuple[jax.Array, jax.Array]:
    """The likeliest token at these places, the lowest id of equals, and its logit."""
    last = jnp.iinfo(masks.ids_BX.dtype).max
    return _likeliest(
        jnp.where(allow_BX, logit_BX, -jnp.inf), jnp.where(allow_BX, masks.ids_BX, last)
    )


def _likeliest(logit_BX: jax.Array, ids_BX: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The likeliest of these tokens, the lowest id of equals, and its logit.

    By two reductions: for an argmax over a vocabulary a CPU takes five times as long.
    """
    logit_B = logit_BX.max(-1)
    best_BX = logit_BX == logit_B[:, None]
    return jnp.where(best_BX, ids_BX, ids_BX.max(-1, keepdims=True)).min(-1), logit_B


def token_norm(scores: Scores, masks: CopyMasks, allow: Allowed, rules: Rules) -> jax.Array:
    """What a token's logit is held against for its log-probability: norm_B.

    All tokens, or with scores="renormalized" the allowed ones.
    """
    if rules.scores == "raw":
        return scores.norm_B
    once_BX = distinct(masks, allow.place_BX)
    among_B = jax.nn.logsumexp(jnp.where(once_BX, scores.logit_BX, -jnp.inf), axis=-1)
    return jnp.where(allow.free_B, scores.norm_B, among_B)


def distinct(masks: CopyMasks, place_BX: jax.Array) -> jax.Array:
    """The tokens at some places, each at one place only: the first where it stands."""
    row_B1 = jnp.arange(len(place_BX))[:, None]
    return jnp.zeros_like(place_BX).at[row_B1, masks.first_BX].max(place_BX)


def advance(
    masks: CopyMasks,
    state: CopyState,
    token_B: jax.Array,
    label_B: jax.Array,
    mass_BS: jax.Array,
    rules: Rules,
) -> CopyState:
    """The state after `token_B` was written under `label_B`; `mass_BS` is of that step's scores.

    Example: the source is `x y x z`. After B:x the match is `1 0 1 0`, so that I offers y and z;
    after I:z it is `0 0 0 1`, and an I would find nothing.
    """
    here_BS = masks.inside_BS & (masks.source_BS == token_B[:, None])
    starts_B1 = (label_B == B)[:, None]
    goes_on_BS = starts_B1 | _shift(state.match_BS)
    before_BS = jnp.where(starts_B1, 0.0, _shift(state.mass_BS))
    slot_B = state.slot_B
    grammar = rules.grammar if rules.followed is None else rules.followed
    if grammar is not None:
        slot_B = structure.follow(grammar, slot_B, token_B, label_B != O)
    match_BS = here_BS & goes_on_BS
    mass_BS = jnp.where(match_BS, before_BS + mass_BS, 0.0)
    return CopyState(match_BS, mass_BS, label_B, slot_B)


def place(state: CopyState) -> jax.Array:
    """Where in the source the tokens since the last B end; -1 where in no place.

    Of several places the one that the pointer gave most, or the first where the model does not
    point. Returns place_B.
    """
    place_B = jnp.where(state.match_BS, state.mass_BS, -jnp.inf).argmax(-1)
    return jnp.where(state.match_BS.any(-1), place_B, -1)


def position(masks: CopyMasks, state: CopyState) -> jax.Array:
    """The same in S1: position_B, for which what stands before S1 is not counted."""
    place_B = place(state)
    return jnp.where(place_B >= 0, in_sentence(masks, place_B), -1)


def in_sentence(masks: CopyMasks, place_B: jax.Array) -> jax.Array:
    """Places in the source as places in S1."""
    return place_B - masks.inside_BS.argmax(-1)


def _grammar_tokens(masks: CopyMasks, state: CopyState, grammar: structure.Grammar) -> jax.Array:
    """Grammar tokens that may come next, of a source without candidates the end alone."""
    has_candidates_B1 = masks.candidate_BS.any(-1, keepdims=True)
    return (grammar.next_AE[state.slot_B] >= 0) & (has_candidates_B1 | grammar.is_end_E[None])


def _continuations(masks: CopyMasks, state: CopyState) -> jax.Array:
    """Positions right after a match whose token may be copied."""
    return _shift(state.match_BS) & masks.candidate_BS


def _shift(x_BS: jax.Array) -> jax.Array:
    """Moves every row one position to the right."""
    return jnp.pad(x_BS, ((0, 0), (1, 0)))[:, :-1]
