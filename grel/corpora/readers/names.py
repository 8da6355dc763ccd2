"""Formats of JSON objects that state names, and not where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grel.corpora.drafts import Draft, Entity, Remark
from grel.corpora.readers.shapes import optional_text, own_id, triple_member, triple_of_names
from grel.files.faults import Fault, quote
from grel.files.parsing import expect, member, parse_members
from grel.records import Span, Triple, parse_record, span_member

_VALUE = "@value"


def copyre(record: dict[str, Any], remark: Remark) -> Draft:
    """CopyRE's raw files and SPN4RE's."""

    def triple(mention: dict[str, Any]) -> Triple:
        return triple_member(mention, "em1Text", "label", "em2Text")

    triples = parse_members(record, "relationMentions", dict, triple)
    return Draft(member(record, "sentText", str), triples)


def casrel(record: dict[str, Any], remark: Remark) -> Draft:
    """CasRel and PRGC."""
    triples = parse_members(record, "triple_list", list, triple_of_names)
    return Draft(member(record, "text", str), triples)


def duie(record: dict[str, Any], remark: Remark) -> Draft:
    """DuIE 1.0 and 2.0, whose objects have slots: `@value`, and others such as `inArea`.

    The relation of such a slot is `predicate_slot`, that of `@value` the predicate alone.
    """
    entities: list[Entity] = []

    def facts(raw: dict[str, Any]) -> list[Triple]:
        subject, predicate = member(raw, "subject", str), member(raw, "predicate", str)
        entities.append(Entity(subject, optional_text(raw, "subject_type"), None))
        objects, types = raw.get("object"), raw.get("object_type")
        if isinstance(objects, str):
            objects, types = {_VALUE: objects}, {_VALUE: types}
        objects = expect(objects, dict, "field 'object'")
        types = expect(types, dict, "field 'object_type'")
        triples = []
        for slot in objects:
            name = member(objects, slot, str)
            label = predicate if slot == _VALUE else f"{predicate}_{slot}"
            triples.append(Triple(subject, label, name))
            entities.append(Entity(name, optional_text(types, slot), None))
        return triples

    parsed = parse_members(record, "spo_list", dict, facts)
    typed = [entity for entity in entities if entity.type]
    triples = [triple for facts_of_one in parsed for triple in facts_of_one]
    return Draft(member(record, "text", str), triples, entities=typed)


def rebel(record: dict[str, Any], remark: Remark) -> Draft:
    """REBEL, as its corpus has articles, and as its models read and write `triplets`.

    The latter are `<triplet> head <subj> tail <obj> relation <subj> tail <obj> relation ...`.
    """
    if "triplets" in record:
        triples = list(_linearized(member(record, "triplets", str)))
        return Draft(member(record, "context", str), triples, own_id(record, "id"))

    def end(raw: dict[str, Any]) -> tuple[str, Span | None]:
        span = None if raw.get("boundaries") is None else span_member(raw, "boundaries")
        return member(raw, "surfaceform", str), span

    def triple(raw: dict[str, Any]) -> Triple:
        head, head_span = end(member(raw, "subject", dict))
        tail, tail_span = end(member(raw, "object", dict))
        label = member(member(raw, "predicate", dict), "surfaceform", str)
        return Triple(head, label, tail, head_span, tail_span)

    triples = parse_members(record, "triples", dict, triple)
    return Draft(member(record, "text", str), triples, own_id(record, "docid"))


def _linearized(text: str) -> Iterator[Triple]:
    before, *facts = text.split("<triplet>")
    if before.strip():
        raise Fault(f"field 'triplets' must begin with <triplet>, not {quote(before)}")
    for fact in facts:
        head, *tails = fact.split("<subj>")
        for tail_and_label in tails:
            tail, mark, label = tail_and_label.partition("<obj>")
            if not mark:
                raise Fault(f"field 'triplets': no <obj> in {quote(tail_and_label)}")
            yield Triple(head.strip(), label.strip(), tail.strip())


def jsonl(record: dict[str, Any], remark: Remark) -> Draft:
    """grel's own records, to have them checked and their missing spans filled in."""
    document = parse_record(record)
    return Draft(document.text, list(document.triples), document.id, document.other)
