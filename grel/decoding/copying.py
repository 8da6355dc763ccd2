"""What may come next, and which of it wins: the copy mechanism, alone or inside a grammar.

A label's candidates are tokens of the source, tokens of the grammar, or everything, so nothing of
the size of the vocabulary is masked at a step: the logits are gathered at the source positions and
grammar tokens, and the best allowed one is taken. What continues an n-gram of the source is a
shifted boolean vector over its positions. Both are exact and cost O(source) a step.
Source: paper section 3.5; METHOD section 6.

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

from grel.bio import NUM_LABELS, B, I, O
from grel.decoding import structure

# What can be chosen, by the names of `config.decoding`.
CHOICES = {
    "copy": ("on", "off", "su"),
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


@flax.struct.dataclass
class Rules:
    """What decides beside the model.

    Attributes:
        grammar: the automaton of the slots; None is structure="off".
        copy: "on" (METHOD section 6), "off" (every token is allowed) or "su" (Su 2021).
        label: "argmax" takes the likeliest label and then the token; "joint" the pair with the
            highest log p(label) + log p(token | label).
        scores: of tokens: "raw" of the model's distribution over the vocabulary, "renormalized"
            over what the label allows.
    """

    grammar: structure.Grammar | None = None
    copy: str = flax.struct.field(pytree_node=False, default="on")
    label: str = flax.struct.field(pytree_node=False, default="argmax")
    scores: str = flax.struct.field(pytree_node=False, default="raw")


@flax.struct.dataclass
class CopyMasks:
    """What the source allows; computed once, before the loop.

    Attributes:
        source_BS: wordpiece ids of `[CLS] S1 [SEP] pad`.
        inside_BS: positions of S1.
        candidate_BS: positions of S1 whose token may be copied.
        first_BS: for each position, the first one with the same token.
    """

    source_BS: jax.Array
    inside_BS: jax.Array
    candidate_BS: jax.Array
    first_BS: jax.Array


@flax.struct.dataclass
class CopyState:
    """What was written so far.

    Attributes:
        match_BS: position j of the source where the tokens since the last B end, if they stand
            there contiguously.
        label_B: the previous label.
        slot_B: the state of the grammar's automaton.
    """

    match_BS: jax.Array
    label_B: jax.Array
    slot_B: jax.Array


@flax.struct.dataclass
class Allowed:
    """The tokens that a label allows: those at some positions, some of the grammar, or all.

    Attributes:
        position_BS: source positions whose tokens are allowed.
        grammar_BE: grammar tokens that are allowed; E is 0 without a grammar.
        free_B: whether every token of the vocabulary is allowed.
    """

    position_BS: jax.Array
    grammar_BE: jax.Array
    free_B: jax.Array


@flax.struct.dataclass
class Choice:
    """One token a row: its label, its id, and the token's log-probability."""

    label_B: jax.Array
    token_B: jax.Array
    log_prob_B: jax.Array


def copy_masks(
    source_BS: jax.Array, source_length_B: jax.Array, excluded_ids: Sequence[int]
) -> CopyMasks:
    """Masks of padded sources `[CLS] S1 [SEP]`; `excluded_ids` are never candidates."""
    place_1S = jnp.arange(source_BS.shape[1])[None]
    inside_BS = (place_1S > 0) & (place_1S < source_length_B[:, None] - 1)
    excluded_BS = jnp.isin(source_BS, jnp.array(excluded_ids, jnp.int32))
    first_BS = (source_BS[:, :, None] == source_BS[:, None, :]).argmax(-1)
    return CopyMasks(source_BS, inside_BS, inside_BS & ~excluded_BS, first_BS)


def init_copy(masks: CopyMasks) -> CopyState:
    """Nothing written yet: nothing matches."""
    num_rows = len(masks.source_BS)
    return CopyState(
        match_BS=jnp.zeros_like(masks.inside_BS),
        label_B=jnp.full(num_rows, O),
        slot_B=jnp.full(num_rows, structure.FIRST),
    )


def choose(
    bio_logits_BC: jax.Array,
    token_logits_BV: jax.Array,
    masks: CopyMasks,
    state: CopyState,
    rules: Rules,
) -> Choice:
    """The best label and token; ties go to the lower label and then to the lower id."""
    if rules.label == "argmax":
        label_B = choose_label(bio_logits_BC, masks, state, rules)
        return _choose_under(label_B, token_logits_BV, masks, state, rules)
    options, scores = [], []
    feasible_BC = feasible_labels(masks, state, rules)
    label_log_prob_BC = jax.nn.log_softmax(bio_logits_BC)
    for label in range(NUM_LABELS):
        label_B = final_label(jnp.full_like(state.label_B, label), masks, state, rules)
        option = _choose_under(label_B, token_logits_BV, masks, state, rules)
        options.append(option)
        score_B = label_log_prob_BC[:, label] + option.log_prob_B
        scores.append(jnp.where(feasible_BC[:, label], score_B, -jnp.inf))
    best_1B = jnp.stack(scores).argmax(0)[None]
    return jax.tree.map(
        lambda *of_label: jnp.take_along_axis(jnp.stack(of_label), best_1B, axis=0)[0], *options
    )


def _choose_under(label_B, token_logits_BV, masks, state, rules) -> Choice:
    allow = allowed(masks, state, label_B, rules)
    token_B = choose_token(token_logits_BV, masks, allow, rules)
    log_prob_B = token_log_prob(token_logits_BV, token_B, masks, allow, rules)
    return Choice(label_B, token_B, log_prob_B)


def feasible_labels(masks: CopyMasks, state: CopyState, rules: Rules) -> jax.Array:
    """Labels that may come next: feasible_BC.

    Without a grammar all may, but in mode "su" (Su 2021) I may not follow O.
    """
    if rules.grammar is not None:
        feasible = {
            O: (rules.grammar.next_AE[state.slot_B] >= 0).any(-1),
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
    labels do.
    """
    label_B1 = label_B[:, None]
    position_BS = jnp.where(
        label_B1 == I, _continuations(masks, state), (label_B1 == B) & masks.candidate_BS
    )
    if rules.grammar is not None:
        grammar_BE = (label_B1 == O) & (rules.grammar.next_AE[state.slot_B] >= 0)
        return Allowed(position_BS, grammar_BE, jnp.zeros_like(label_B, bool))
    if rules.copy == "off":
        position_BS = jnp.zeros_like(position_BS)
    return Allowed(position_BS, jnp.zeros((len(label_B), 0), bool), ~position_BS.any(-1))


def choose_token(
    token_logits_BV: jax.Array, masks: CopyMasks, allow: Allowed, rules: Rules
) -> jax.Array:
    """The best of the allowed tokens.

    Ties go to the lowest id, as in an argmax over the masked vocabulary, to which this is equal bit
    for bit. Returns token_B.
    """
    vocab = token_logits_BV.shape[-1]
    ids_BX, allow_BX = candidates(masks, allow, rules)
    logits_BX = jnp.take_along_axis(token_logits_BV, ids_BX, axis=-1)
    logits_BX = jnp.where(allow_BX, logits_BX, -jnp.inf)
    best_BX = allow_BX & (logits_BX == logits_BX.max(-1, keepdims=True))
    restricted_B = jnp.where(best_BX, ids_BX, vocab).min(-1)
    return jnp.where(allow.free_B, token_logits_BV.argmax(-1), restricted_B)


def token_log_prob(
    token_logits_BV: jax.Array,
    token_B: jax.Array,
    masks: CopyMasks,
    allow: Allowed,
    rules: Rules,
) -> jax.Array:
    """log p(token): among all tokens, or with scores="renormalized" among the allowed ones."""
    logit_B = jnp.take_along_axis(token_logits_BV, token_B[:, None], axis=-1)[:, 0]
    norm_B = jax.nn.logsumexp(token_logits_BV, axis=-1)
    if rules.scores == "renormalized":
        ids_BX, allow_BX = candidates(masks, distinct(masks, allow), rules)
        logits_BX = jnp.take_along_axis(token_logits_BV, ids_BX, axis=-1)
        among_B = jax.nn.logsumexp(jnp.where(allow_BX, logits_BX, -jnp.inf), axis=-1)
        norm_B = jnp.where(allow.free_B, norm_B, among_B)
    return logit_B - norm_B


def candidates(masks: CopyMasks, allow: Allowed, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """Source and grammar tokens side by side: ids_BX, and which of them are allowed, allow_BX.

    A token that stands in the source several times is there several times; see `distinct`.
    """
    if rules.grammar is None:
        return masks.source_BS, allow.position_BS
    grammar_BE = jnp.broadcast_to(rules.grammar.token_ids_E[None], allow.grammar_BE.shape)
    return (
        jnp.concatenate([masks.source_BS, grammar_BE], axis=-1),
        jnp.concatenate([allow.position_BS, allow.grammar_BE], axis=-1),
    )


def distinct(masks: CopyMasks, allow: Allowed) -> Allowed:
    """The same tokens, each at one position: the first where it stands in the source."""
    row_B1 = jnp.arange(len(masks.first_BS))[:, None]
    first_BS = jnp.zeros_like(allow.position_BS).at[row_B1, masks.first_BS].max(allow.position_BS)
    return allow.replace(position_BS=first_BS)


def advance(
    masks: CopyMasks, state: CopyState, token_B: jax.Array, label_B: jax.Array, rules: Rules
) -> CopyState:
    """The state after `token_B` was written under `label_B`.

    Example: the source is `x y x z`. After B:x the match is `1 0 1 0`, so that I offers y and z;
    after I:z it is `0 0 0 1`, and an I would find nothing.
    """
    here_BS = masks.inside_BS & (masks.source_BS == token_B[:, None])
    goes_on_BS = (label_B == B)[:, None] | _shift(state.match_BS)
    slot_B = state.slot_B
    if rules.grammar is not None:
        column_B = (token_B[:, None] == rules.grammar.token_ids_E[None]).argmax(-1)
        slot_B = jnp.where(
            label_B == O,
            rules.grammar.next_AE[slot_B, column_B],
            rules.grammar.next_copied_A[slot_B],
        )
    return CopyState(match_BS=here_BS & goes_on_BS, label_B=label_B, slot_B=slot_B)


def position(state: CopyState) -> jax.Array:
    """Where in S1 the tokens since the last B end, the first such place; -1 where in none.

    Returns position_B: [CLS] is not counted.
    """
    # [CLS] never matches, so a row without a match gives 0 here, which is a place no match has.
    return state.match_BS.argmax(-1) - 1


def _continuations(masks: CopyMasks, state: CopyState) -> jax.Array:
    """Positions right after a match whose token may be copied."""
    return _shift(state.match_BS) & masks.candidate_BS


def _shift(x_BS: jax.Array) -> jax.Array:
    """Moves every row one position to the right."""
    return jnp.pad(x_BS, ((0, 0), (1, 0)))[:, :-1]
