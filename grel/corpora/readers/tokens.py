"""Formats of JSON objects that say where an entity stands by its words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grel.corpora.drafts import Draft, Entity, NoteKind, Remark, Words
from grel.corpora.readers.shapes import (
    graph,
    link,
    members_of,
    own_id,
    triple_member,
    triple_of_names,
    word_entity,
)
from grel.files.textio import Fault, member, parse_members
from grel.records import Span, Triple


def spert(record: dict[str, Any], remark: Remark) -> Draft:
    """SpERT and PFN: entities are ranges of tokens, and relations are pairs of entity numbers."""
    words = Words.join(parse_members(record, "tokens", str, str))

    def entity(raw: dict[str, Any]) -> Entity:
        type = member(raw, "type", str) if "type" in raw else ""
        return word_entity(words, (member(raw, "start", int), member(raw, "end", int)), type)

    entities = dict(enumerate(parse_members(record, "entities", dict, entity)))

    def triple(raw: dict[str, Any]) -> Triple:
        ends = member(raw, "head", int), member(raw, "tail", int)
        return link(entities, ends, member(raw, "type", str))

    triples = parse_members(record, "relations", dict, triple)
    return graph(words.text, entities.values(), triples, own_id(record, "orig_id"))


def hrl(record: dict[str, Any], remark: Remark) -> Draft:
    """HRL-RE: every relation tags all words; its head is `4 1 1 ...`, its tail `5 2 2 ...`."""
    words = Words.split(member(record, "sentext", str))

    def triple(raw: dict[str, Any]) -> Triple:
        tags = parse_members(raw, "tags", int, int)
        if len(tags) != len(words.spans):
            raise Fault(f"{len(tags)} tags for {len(words.spans)} words")
        heads, tails = _tagged(tags, begin=4, inside=1), _tagged(tags, begin=5, inside=2)
        return words.place(triple_member(raw, "em1", "rtext", "em2"), heads, tails, remark)

    return Draft(words.text, parse_members(record, "relations", dict, triple))


def _tagged(tags: list[int], begin: int, inside: int) -> Iterator[Span]:
    """The ranges, end excluded, of a `begin` and all `inside` right behind it."""
    for start, tag in enumerate(tags):
        if tag == begin:
            end = start + 1
            while end < len(tags) and tags[end] == inside:
                end += 1
            yield start, end


def jointer(record: dict[str, Any], remark: Remark) -> Draft:
    """JointER (ETL-Span): `spo_details`, if there, says where the triples of `spo_list` stand.

    Each is `[head start, end, type, relation, tail start, end, type]`, in tokens.
    """
    words = Words.join(parse_members(record, "tokens", str, str))
    triples = parse_members(record, "spo_list", list, triple_of_names)
    types: list[tuple[str, str]] = []
    if "spo_details" in record:
        details = parse_members(
            record,
            "spo_details",
            list,
            lambda raw: members_of(raw, int, int, str, str, int, int, str),
        )
        if len(details) == len(triples):
            triples = [
                words.place(triple, [tuple(raw[:2])], [tuple(raw[4:6])], remark)
                for triple, raw in zip(triples, details, strict=True)
            ]
            types = [(raw[2], raw[6]) for raw in details]
        else:
            remark(NoteKind.MISPLACED, f"{len(details)} positions for {len(triples)} triples")
    entities = [
        Entity(words.text[slice(*span)], type, span)
        for triple, pair in zip(triples, types, strict=False)
        for span, type in zip((triple.head_span, triple.tail_span), pair, strict=True)
        if span is not None
    ]
    return Draft(words.text, triples, entities=entities)
