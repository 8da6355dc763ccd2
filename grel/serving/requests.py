"""What a client asks: the JSON of a request, read as strictly as the lines of a file."""

from __future__ import annotations

import dataclasses
from typing import Any

from grel import config as config_lib
from grel.errors import ConfigError
from grel.files.faults import Fault, quote
from grel.files.parsing import expect, parse_json, parse_members
from grel.records import Document
from grel.serving.limits import Limits, Refused
from grel.serving.model import Kind, Model

FIELDS = ("texts", "relations", "min_score", "trace")


@dataclasses.dataclass(frozen=True)
class Question:
    """What a request asks: triples of these texts, of one kind, that are likely enough."""

    documents: tuple[Document, ...]
    kind: Kind
    min_score: float


def parse(data: bytes, limits: Limits, model: Model) -> Question:
    """The question in the body of a request.

    Raises Refused: 400 where it is no JSON, 413 where it is too much, 422 where it says nothing
    that the model could answer.
    """
    if not data.strip():
        raise Refused(400, "the body is empty; send a JSON object with the field 'texts'")
    try:
        record = parse_json(data)
    except Fault as fault:
        raise Refused(400, f"the body: {fault}") from None
    try:
        return _question(record, limits, model)
    except (Fault, ConfigError) as error:
        raise Refused(422, str(error)) from None


def _question(record: Any, limits: Limits, model: Model) -> Question:
    record = expect(record, dict, "the body")
    if unknown := sorted(record.keys() - set(FIELDS)):
        raise Fault(f"unknown field {quote(unknown[0])}; there are {', '.join(FIELDS)}")
    texts = parse_members(record, "texts", str, str)
    if len(texts) > limits.texts:
        raise Refused(413, f"texts: {len(texts):,} of them; at most {limits.texts:,} a request")
    for index, text in enumerate(texts):
        if len(text) > limits.characters:
            raise Refused(
                413,
                f"texts[{index}]: {len(text):,} characters; at most {limits.characters:,}, so "
                "divide it",
            )
    documents = tuple(Document(str(index), text) for index, text in enumerate(texts))
    kind = Kind(_relations(record, model), _trace(record, model))
    return Question(documents, kind, _min_score(record, model))


def _relations(record: dict[str, Any], model: Model) -> tuple[str, ...] | None:
    if record.get("relations") is None:
        return None
    relations = parse_members(record, "relations", str, str)
    if not relations:
        raise Fault("relations: there are none; name some, or leave the field out for all")
    if unknown := sorted(set(relations) - set(model.relations)):
        raise Fault(f"relations: unknown relation {quote(unknown[0])}; GET schema lists them")
    if model.cannot_restrict is not None:
        raise Fault(f"relations: {model.cannot_restrict}")
    return tuple(sorted(set(relations)))


def _trace(record: dict[str, Any], model: Model) -> bool:
    trace = record.get("trace", False)
    if type(trace) is not bool:
        raise Fault(f"field 'trace' must be true or false, not {quote(trace)}")
    if trace and not model.can_trace:
        raise Fault("field 'trace': this model's family writes in no steps; leave it out")
    return trace


def _min_score(record: dict[str, Any], model: Model) -> float:
    min_score = record.get("min_score")
    if min_score is None:
        return model.min_score
    if type(min_score) not in (int, float):
        raise Fault(f"field 'min_score' must be a number, not {quote(min_score)}")
    config_lib.check_min_score(min_score)
    return float(min_score)
