"""Formats of JSON objects that say where an entity stands by its characters."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from grel.corpora.drafts import Draft, Entity, NoteKind, Remark
from grel.corpora.readers.shapes import (
    UnitOffsets,
    graph,
    key_member,
    link,
    named,
    optional_text,
    own_id,
    put,
    text_entity,
    triple_member,
)
from grel.files.faults import Fault, quote
from grel.files.parsing import expect, member, parse_members
from grel.records import Triple, span_member


def tplinker(record: dict[str, Any], remark: Remark) -> Draft:
    """TPLinker, which repeats a triple for every pair of places; the first pair is taken."""

    def triple(raw: dict[str, Any]) -> Triple:
        spans = span_member(raw, "subj_char_span"), span_member(raw, "obj_char_span")
        return triple_member(raw, "subject", "predicate", "object", *spans)

    first: dict[tuple[str, str, str], Triple] = {}
    for stated in parse_members(record, "relation_list", dict, triple):
        if stated.key in first:
            remark(NoteKind.REPEATED, quote(stated.key))
        first.setdefault(stated.key, stated)
    return Draft(member(record, "text", str), list(first.values()), own_id(record, "id"))


def doccano(record: dict[str, Any], remark: Remark) -> Draft:
    """doccano's export of a project with relations: entities by id, relations between ids."""
    text = member(record, "text", str)
    entities: dict[int | str, Entity] = {}

    def add(raw: dict[str, Any]) -> None:
        span = member(raw, "start_offset", int), member(raw, "end_offset", int)
        entity = text_entity(text, span, optional_text(raw, "label"))
        put(entities, key_member(raw, "id"), entity)

    def triple(raw: dict[str, Any]) -> Triple:
        ends = key_member(raw, "from_id"), key_member(raw, "to_id")
        return link(entities, ends, member(raw, "type", str))

    parse_members(record, "entities", dict, add)
    triples = parse_members(record, "relations", dict, triple)
    return graph(text, entities.values(), triples, own_id(record, "id"))


def prodigy(record: dict[str, Any], remark: Remark) -> Draft | None:
    """Prodigy's rel.manual: spans, and relations from the span of a head to that of a child."""
    text = member(record, "text", str)
    if record.get("answer", "accept") != "accept":
        remark(NoteKind.REJECTED, f"{quote(record['answer'])}: {quote(text)}")
        return None

    def entity(raw: dict[str, Any]) -> Entity:
        span = member(raw, "start", int), member(raw, "end", int)
        return text_entity(text, span, optional_text(raw, "label"))

    spans = parse_members(record, "spans", dict, entity) if "spans" in record else []

    def end(raw: dict[str, Any], name: str) -> Entity:
        if f"{name}_span" in raw:
            return entity(member(raw, f"{name}_span", dict))
        number, tokens = member(raw, name, int), member(record, "tokens", list)
        if not 0 <= number < len(tokens):
            raise Fault(f"token {number} is not among the {len(tokens)} tokens")
        return entity({**expect(tokens[number], dict, f"tokens[{number}]"), "label": None})

    def triple(raw: dict[str, Any]) -> tuple[list[Entity], Triple]:
        ends = {name: end(raw, name) for name in ("head", "child")}
        return list(ends.values()), link(ends, ("head", "child"), member(raw, "label", str))

    linked = parse_members(record, "relations", dict, triple)
    entities = [*spans, *(entity for ends, _ in linked for entity in ends)]
    return graph(text, entities, [triple for _, triple in linked])


def labelstudio(task: dict[str, Any], remark: Remark) -> Draft | None:
    """Label Studio's JSON: regions with labels, and relations between them.

    Of several annotations of a text the first that was not cancelled is taken; where there are
    none, the first prediction.
    """
    text = _labeled_text(member(task, "data", dict))
    results = _results(task, remark)
    if results is None:
        remark(NoteKind.REJECTED, quote(text))
        return None
    offsets = UnitOffsets.of(text)
    entities: dict[int | str, Entity] = {}
    relations = []
    for index, result in enumerate(results):
        try:
            kind = member(expect(result, dict, "it"), "type", str)
            if kind == "relation":
                relations.append((index, result))
            elif kind == "labels":
                key, entity = key_member(result, "id"), _region(result, offsets, remark)
                first = entities.get(key, entity)
                if first.span == entity.span and first.type != entity.type:
                    # A region has a result for each set of labels that it got some of.
                    remark(NoteKind.OTHER, f"second label {quote(entity.type)}")
                else:
                    put(entities, key, entity)
            else:
                remark(NoteKind.OTHER, quote(kind))
        except Fault as fault:
            raise Fault(f"result[{index}]: {fault}") from None
    triples: list[Triple] = []
    for index, result in relations:
        try:
            triples += _links(result, entities, remark)
        except Fault as fault:
            raise Fault(f"result[{index}]: {fault}") from None
    id = own_id(task["data"], "id")
    return graph(text, entities.values(), triples, own_id(task, "id") if id is None else id)


def _labeled_text(data: Mapping[str, Any]) -> str:
    if "text" in data:
        return member(data, "text", str)
    texts = [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1:
        raise Fault(f"field 'data' has no 'text' but {quote(list(data))}; rename the one it is")
    return texts[0]


def _results(task: Mapping[str, Any], remark: Remark) -> list[Any] | None:
    """What was annotated, or predicted; None where nothing was."""
    annotations = member(task, "annotations", list) if "annotations" in task else []
    valid = [a for a in annotations if not expect(a, dict, "each annotation").get("was_cancelled")]
    for annotation in valid[1:]:
        remark(NoteKind.FURTHER, f"annotation {quote(annotation.get('id'))}")
    predictions = member(task, "predictions", list) if "predictions" in task else []
    if not valid and not annotations:
        # Those that are not there but by number are no predictions.
        valid = [prediction for prediction in predictions if isinstance(prediction, dict)]
    return member(valid[0], "result", list) if valid else None


def _region(result: Mapping[str, Any], offsets: UnitOffsets, remark: Remark) -> Entity:
    value = member(result, "value", dict)
    span = member(value, "start", int), member(value, "end", int)
    labels = parse_members(value, "labels", str, str) if "labels" in value else []
    for label in labels[1:]:
        remark(NoteKind.OTHER, f"second label {quote(label)}")
    said = value.get("text")
    if isinstance(said, str) and said not in offsets.text:
        # The editor writes the end of a line as a backslash and an n.
        said = said.replace("\\n", "\n")
    if isinstance(said, str) and offsets.text[slice(*span)] != said:
        # Older versions count as JavaScript does.
        with contextlib.suppress(Fault):
            other = offsets.characters(span)
            span = other if offsets.text[slice(*other)] == said else span
    return named(text_entity(offsets.text, span, labels[0] if labels else ""), said)


def _links(
    result: Mapping[str, Any], entities: Mapping[int | str, Entity], remark: Remark
) -> Iterator[Triple]:
    """A triple for each label, in both directions where it has both."""
    ends = key_member(result, "from_id"), key_member(result, "to_id")
    labels = parse_members(result, "labels", str, str) if result.get("labels") else []
    if not labels:
        remark(NoteKind.UNNAMED, quote(ends))
    direction = result.get("direction", "right")
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        raise Fault(f"field 'direction' must be {', '.join(_DIRECTIONS)}, not {quote(direction)}")
    score = result.get("score")
    for label in labels:
        for head, tail in _DIRECTIONS[direction]:
            triple = link(entities, (ends[head], ends[tail]), label)
            yield dataclasses.replace(triple, score=_score(score))


def _score(score: Any) -> float | None:
    return float(score) if type(score) in (int, float) else None


# Which of the two ends is head and which tail, for each triple that there is.
_DIRECTIONS = {"right": [(0, 1)], "left": [(1, 0)], "bi": [(0, 1), (1, 0)]}
