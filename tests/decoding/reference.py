"""A slow decoder that follows METHOD section 6 word by word, for the fast one to be held against.

It shares no idea with it: histories are searched again from the start at every step, and the whole
vocabulary is masked and then sorted out by argmax. A source is S1 alone, without [CLS] and [SEP].
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from grel.text.bio import B, I, O


class Layout(NamedTuple):
    """What structure="on" writes beside copied tokens."""

    relations: Sequence[tuple[int, ...]]
    part_end: int
    triple_end: int
    end: int
    form: str = "htr"  # "rht": the relation first; "opened": as one token that opens a triple


class Step(NamedTuple):
    """One step; `allowed` is None where every token is."""

    label: int
    token: int
    allowed: set[int] | None
    log_prob: float


def copied_so_far(tokens: Sequence[int], labels: Sequence[int]) -> list[int]:
    """q: the tokens since the most recent step labeled B, that step included; else empty."""
    starts = [t for t, label in enumerate(labels) if label == B]
    return list(tokens[starts[-1] :]) if starts else []


def continuations(
    source: Sequence[int], tokens: Sequence[int], labels: Sequence[int], excluded: Collection[int]
) -> set[int]:
    """What follows q in the source, wherever q stands there."""
    q = copied_so_far(tokens, labels)
    offered = set()
    for j in range(len(source)):
        if q and list(source[j : j + len(q)]) == q and j + len(q) < len(source):
            offered.add(source[j + len(q)])
    return offered - set(excluded)


def allowed_tokens(label, source, tokens, labels, excluded, mode, others=()) -> set[int] | None:
    """The tokens that a label allows after what was written, None for all.

    `others` are what mode "words" allows beside the source.
    """
    if mode == "words":
        return set(source) - set(excluded) | set(others)
    if mode == "off" or label == O:
        return None
    if label == B:
        return set(source) - set(excluded) or None
    return continuations(source, tokens, labels, excluded) or None


def choose_token(token_logits: np.ndarray, allowed: set[int] | None) -> int:
    """Argmax over the vocabulary, all of it masked but what is allowed."""
    if allowed is None:
        return int(token_logits.argmax())
    mask = np.array([token in allowed for token in range(len(token_logits))])
    return int(np.where(mask, token_logits, -np.inf).argmax())


def structured_moves(source, tokens, labels, excluded, layout) -> dict[int, set[int]]:
    """The labels that may come next when only whole triples are written, and their tokens."""
    if not set(source) - set(excluded):
        return {O: {layout.end}}
    if layout.form == "opened":
        return _moves_after_openers(source, tokens, labels, excluded, layout)
    triple = list(tokens)
    while layout.triple_end in triple:
        triple = triple[triple.index(layout.triple_end) + 1 :]
    num_parts, part = 0, triple
    while layout.part_end in part:
        num_parts, part = num_parts + 1, part[part.index(layout.part_end) + 1 :]
    moves = {O: set(), B: set(), I: set()}
    after = {layout.triple_end, layout.end} if num_parts == 2 else {layout.part_end}
    if num_parts == (0 if layout.form == "rht" else 2):
        for relation in layout.relations:
            if relation == tuple(part):
                moves[O] |= after
            elif relation[: len(part)] == tuple(part):
                moves[O].add(relation[len(part)])
    elif part:
        moves[O] = after
        moves[I] = continuations(source, tokens, labels, excluded)
    else:
        moves[B] = set(source) - set(excluded)
    if not tokens:
        moves[O].add(layout.end)
    return {label: allowed for label, allowed in moves.items() if allowed}


def _moves_after_openers(source, tokens, labels, excluded, layout) -> dict[int, set[int]]:
    """The same where a relation is one token that opens a triple."""
    openers = {token for (token,) in layout.relations}
    starts = [t for t, token in enumerate(tokens) if token in openers]
    if not starts:
        return {O: openers | {layout.end}}
    triple = tokens[starts[-1] + 1 :]
    in_tail = layout.part_end in triple
    part = triple[triple.index(layout.part_end) + 1 :] if in_tail else triple
    if not part:
        found = {B: set(source) - set(excluded)}
    else:
        found = {
            O: openers | {layout.end} if in_tail else {layout.part_end},
            I: continuations(source, tokens, labels, excluded),
        }
    return {label: allowed for label, allowed in found.items() if allowed}


def moves(
    source, tokens, labels, excluded, mode, layout, others=()
) -> dict[int, tuple[int, set[int] | None]]:
    """For each label that the model may mean: the label written, and the tokens allowed.

    By Su's rule never I after O, and B for an I that continues nothing.
    """
    if layout is not None:
        found = structured_moves(source, tokens, labels, excluded, layout)
        return {label: (label, allowed) for label, allowed in found.items()}
    options = {}
    for label in (O, B, I):
        if mode == "su" and label == I:
            if not labels or labels[-1] == O:
                continue
            if not continuations(source, tokens, labels, excluded):
                options[I] = B, allowed_tokens(B, source, tokens, labels, excluded, mode)
                continue
        allowed = allowed_tokens(label, source, tokens, labels, excluded, mode, others)
        options[label] = label, allowed
    return options


def over_vocabulary(place_logits: np.ndarray, ids: Sequence[int], vocab: int) -> np.ndarray:
    """Logits of tokens whose probability is the sum over their places; -inf where there is none."""
    tokens = np.full(vocab, -np.inf)
    for token, logit in zip(ids, place_logits, strict=True):
        tokens[token] = np.logaddexp(tokens[token], logit)
    return tokens


def pointed_place(
    source: Sequence[int],
    tokens: Sequence[int],
    labels: Sequence[int],
    masses: Sequence[Sequence[float]],
) -> int:
    """Where in the source q ends: of the places where it stands, the one that was given most.

    `masses` has for each step the log-probability of each source position. -1 without a place.
    """
    q = copied_so_far(tokens, labels)
    given = {}
    for j in range(len(source)):
        if q and list(source[j : j + len(q)]) == q:
            steps = range(len(tokens) - len(q), len(tokens))
            given[j + len(q) - 1] = sum(masses[t][j + n] for n, t in enumerate(steps))
    return max(given, key=given.get) if given else -1


def log_prob(logits: np.ndarray, place: int, among: Collection[int] | None = None) -> float:
    """Of one of the logits, normalized over all of them or among some."""
    exact = np.asarray(logits, float)
    others = exact if among is None else exact[sorted(among)]
    return float(exact[place] - np.log(np.exp(others - others.max()).sum()) - others.max())


def decode(
    source: Sequence[int],
    step_fn: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    *,
    max_steps: int,
    start_id: int,
    end_id: int,
    excluded: Collection[int],
    mode: str = "on",
    layout: Layout | None = None,
    choose: str = "argmax",
    scores: str = "raw",
    others: Collection[int] = (),
) -> list[Step]:
    """Writes until `end_id`, which is the last step's token unless `max_steps` came first.

    `step_fn(step, previous token)` gives token and label logits; `choose` is how the label is.
    """
    steps: list[Step] = []
    token = start_id
    while len(steps) < max_steps and not (steps and token == end_id):
        token_logits, bio_logits = step_fn(len(steps), token)
        tokens, labels = [s.token for s in steps], [s.label for s in steps]
        options = []
        possible = moves(source, tokens, labels, excluded, mode, layout, others)
        for meant, (label, allowed) in sorted(possible.items()):
            token = choose_token(token_logits, allowed)
            among = allowed if scores == "renormalized" else None
            step = Step(label, token, allowed, log_prob(token_logits, token, among))
            score = float(bio_logits[meant])
            if choose == "joint":
                score = log_prob(bio_logits, meant) + step.log_prob
            options.append((score, step))
        best = max(score for score, _ in options)
        steps.append(next(step for score, step in options if score == best))
        token = steps[-1].token
    return steps
