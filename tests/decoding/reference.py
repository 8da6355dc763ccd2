"""A slow decoder that follows METHOD section 6 word by word, for the fast one to be held against.

It shares no idea with it: histories are searched again from the start at every step, and the whole
vocabulary is masked and then sorted out by argmax. A source is S1 alone, without [CLS] and [SEP].
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from grel.bio import B, I, O


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


def choose_label(bio_logits, source, tokens, labels, excluded, mode) -> int:
    """The likeliest; by Su's rule never I after O, and B for an I that continues nothing."""
    bio_logits = np.array(bio_logits, float)
    previous = labels[-1] if labels else O
    if mode == "su" and previous == O:
        bio_logits[I] = -np.inf
    label = int(bio_logits.argmax())
    if mode == "su" and label == I and not continuations(source, tokens, labels, excluded):
        return B
    return label


def allowed_tokens(label, source, tokens, labels, excluded, mode) -> set[int] | None:
    """The tokens that a label allows after what was written, None for all."""
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


def decode(
    source: Sequence[int],
    step_fn: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    *,
    max_steps: int,
    start_id: int,
    end_id: int,
    excluded: Collection[int],
    mode: str,
) -> list[Step]:
    """Writes until `end_id`, which is the last step's token unless `max_steps` came first.

    `step_fn(step, previous token)` gives token and label logits.
    """
    steps: list[Step] = []
    token = start_id
    while len(steps) < max_steps and not (steps and token == end_id):
        token_logits, bio_logits = step_fn(len(steps), token)
        tokens, labels = [s.token for s in steps], [s.label for s in steps]
        label = choose_label(bio_logits, source, tokens, labels, excluded, mode)
        allowed = allowed_tokens(label, source, tokens, labels, excluded, mode)
        token = choose_token(token_logits, allowed)
        exact = token_logits.astype(float)
        log_prob = exact[token] - np.log(np.exp(exact - exact.max()).sum()) - exact.max()
        steps.append(Step(label, token, allowed, float(log_prob)))
    return steps
