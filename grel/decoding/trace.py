"""How an output came about: for each step what was being copied and what its label allowed.

The search keeps vectors and tables; this goes the other way and replays METHOD section 6 to the
letter from what was written, so that the two can be held against each other and a report can show
why a token was chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from grel.decoding.structure import Schema
from grel.text import bio
from grel.text.bio import B, I, O


class Step(NamedTuple):
    """One token as it was written.

    Attributes:
        label: "O", "B" or "I".
        match_length: how many tokens an I continues at this step: the number written since the last
            B, this step excluded, if they stand side by side in the source, else 0.
        allowed: ids that the label allowed, ascending; None where it allowed all.
        token_id: the token.
    """

    label: str
    match_length: int
    allowed: list[int] | None
    token_id: int


def trace(
    source_ids: Sequence[int],
    written_ids: Sequence[int],
    labels: Sequence[int],
    *,
    excluded_ids: Collection[int],
    copy: str = "on",
    schema: Schema | None = None,
    relations: Collection[str] | None = None,
    other_ids: Collection[int] = (),
) -> list[Step]:
    """Replays an output, token by token.

    Args:
        source_ids: S1 as the decoder saw it, without [CLS] and [SEP].
        written_ids, labels: of the output, without the end token.
        excluded_ids: never copied.
        copy: a name in `copying.CHOICES`.
        schema: where structure is "on", else None; relations: those that it was restricted to.
        other_ids: what copy="words" allows beside tokens of the source.

    Example: source `x y x z`, output B:x I:z: match lengths are 0 and 1, allowed are `x y z` and
    then `y z`.
    """
    steps = []
    start: int | None = None
    for t, (label, token_id) in enumerate(zip(labels, written_ids, strict=True)):
        q = list(written_ids[start:t]) if start is not None else []
        places = bio.occurrences(source_ids, q)
        if copy == "off":
            allowed = set()
        elif label == B:
            allowed = set(source_ids)
        elif label == I:
            ends = [place + len(q) for place in places]
            allowed = {source_ids[end] for end in ends if end < len(source_ids)}
        else:
            allowed = set()
        if copy == "words":
            allowed = set(source_ids)
        allowed -= set(excluded_ids)
        if copy == "words":
            allowed |= set(other_ids)
        if schema is not None and label == O:
            allowed = _grammar(written_ids[:t], schema, relations)
        steps.append(
            Step(
                label="OBI"[label],
                match_length=len(q) if places else 0,
                allowed=sorted(int(i) for i in allowed) or None,
                token_id=int(token_id),
            )
        )
        if label == B:
            start = t
    return steps


def _grammar(
    written_ids: Sequence[int], schema: Schema, relations: Collection[str] | None
) -> set[int]:
    """The tokens that a schema allows next beside copied ones."""
    form, written = schema.form, [int(i) for i in written_ids]
    relations_ids = schema.chosen(relations).values()
    if not written and not form.relation_first:
        return {schema.end_id}
    triple = written[schema.whole(written) :]
    if triple and triple[0] == form.triple_end:
        del triple[0]
    parts: list[list[int]] = [[]]
    for token_id in triple:
        if token_id == form.part_end:
            parts.append([])
        else:
            parts[-1].append(token_id)
            if form.openers and len(parts) == 1:
                parts.append([])
    slots = ("relation", "head", "tail") if form.relation_first else ("head", "tail", "relation")
    slot, part = slots[len(parts) - 1], tuple(parts[-1])
    is_last = len(parts) == len(slots)
    if is_last and form.openers:
        after = {schema.end_id} | {ids[0] for ids in relations_ids}
    elif is_last:
        after = {schema.end_id, form.triple_end}
    else:
        after = {form.part_end}
    if slot != "relation":
        return after if part else set()
    names = [ids for ids in relations_ids if ids[: len(part)] == part]
    first = set() if written else {schema.end_id}
    ends = after if part in names else set()
    return first | ends | {ids[len(part)] for ids in names if ids != part}
