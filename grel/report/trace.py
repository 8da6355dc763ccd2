"""Decoding traces: what `--trace` of predict wrote about every step, and how to tell it briefly.

The report draws them as the paper's Figure 2 does: the label, what the label allowed, the
candidates, the choice. Most candidate sets are either everything or the whole sentence, so those
are told by name; a report with thousands of traces stays small.
Source: paper section 3.5, Figure 2; METHOD section 6.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import expect, member, parse_members, parse_object
from grel.files.reading import json_lines

LABELS = ("B", "I", "O")


class Strategy(enum.Enum):
    """What decided the candidates of a step."""

    ANY = "any"  # label O: every token
    GRAMMAR = "grammar"  # label O, where decoding is held to the form of triples: what fits there
    SENTENCE = "sentence"  # label B: the tokens of the sentence
    CONTINUE = "continue"  # label I: what follows the copied words in the sentence
    FREE = "free"  # label B or I, but the sentence offers nothing: every token


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One token written: `allowed` are the ids it was chosen from, None for the vocabulary."""

    label: str
    match_length: int
    allowed: tuple[int, ...] | None
    token: str

    @property
    def strategy(self) -> Strategy:
        """The strategy, as label and candidates tell it."""
        if self.label == "O":
            return Strategy.ANY if self.allowed is None else Strategy.GRAMMAR
        if self.allowed is None:
            return Strategy.FREE
        return Strategy.SENTENCE if self.label == "B" else Strategy.CONTINUE


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """How the output for one document was written, wordpiece by wordpiece."""

    id: str
    source_ids: tuple[int, ...]
    source_tokens: tuple[str, ...]
    excluded_ids: frozenset[int]
    steps: tuple[Step, ...]

    def brief(self) -> dict[str, Any]:
        """The trace for the page: `tokens` of the source, and `steps`.

        A step is `[label, strategy, match length, candidates, token]`; candidates are places in
        `tokens`, the first of each candidate, and None where they are the vocabulary or all that
        the sentence offers. A candidate that the sentence lacks is its id as text.
        """
        places: dict[int, int] = {}
        for place, token_id in enumerate(self.source_ids):
            places.setdefault(token_id, place)
        offered = places.keys() - self.excluded_ids
        steps = []
        for step in self.steps:
            candidates = None
            if step.allowed is not None and set(step.allowed) != offered:
                found = (places.get(token_id, f"id {token_id}") for token_id in step.allowed)
                candidates = sorted(found, key=lambda place: (isinstance(place, str), place))
            steps.append(
                [step.label, step.strategy.value, step.match_length, candidates, step.token]
            )
        return {"tokens": self.source_tokens, "steps": steps}


def read_traces(path: str | Path) -> Iterator[Trace]:
    """The traces of a file, one JSON object a line; raises RecordError at the first faulty one."""
    ids: set[str] = set()
    for item in json_lines(path):
        try:
            trace = parse_trace(parse_object(item.data))
            if trace.id in ids:
                raise Fault(f"id {quote(trace.id)} stands on a line before already")
        except Fault as fault:
            raise RecordError(path, item.line, str(fault)) from None
        ids.add(trace.id)
        yield trace


def parse_trace(record: dict[str, Any]) -> Trace:
    """The trace of a JSON object, as `Extractor.traces` gives it; raises Fault."""
    source_ids, excluded_ids = (
        tuple(parse_members(record, name, int, int)) for name in ("source_ids", "excluded_ids")
    )
    source_tokens = tuple(parse_members(record, "source_tokens", str, str))
    if len(source_tokens) != len(source_ids):
        raise Fault(f"{len(source_ids)} source_ids, but {len(source_tokens)} source_tokens")
    return Trace(
        id=member(record, "id", str),
        source_ids=source_ids,
        source_tokens=source_tokens,
        excluded_ids=frozenset(excluded_ids),
        steps=tuple(parse_members(record, "steps", dict, _step)),
    )


def _step(raw: dict[str, Any]) -> Step:
    label = member(raw, "label", str)
    if label not in LABELS:
        raise Fault(f"field 'label' must be one of {', '.join(LABELS)}, not {quote(label)}")
    if raw.get("allowed") == "all":
        allowed = None
    else:
        allowed = tuple(parse_members(raw, "allowed", int, int))
    match_length = member(raw, "match_length", int)
    if match_length < 0:
        raise Fault(f"field 'match_length' must not be negative, but is {match_length}")
    expect(raw.get("token_id"), int, "field 'token_id'")
    return Step(label, match_length, allowed, member(raw, "token", str))
