"""Formats of JSON objects that say where an entity stands by its words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from grel.corpora.drafts import Draft, Entity, NoteKind, Remark, Words
from grel.corpora.readers.shapes import (
    graph,
    link,
    members_of,
    named,
    own_id,
    triple_member,
    triple_of_names,
    word_entity,
)
from grel.files.faults import Fault
from grel.files.parsing import expect, member, parse_members
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


def dygie(record: dict[str, Any], remark: Remark) -> Draft:
    """DyGIE++ and SciERC: sentences of a document, whose words are counted through, ends included.

    `ner` has for each sentence lists of `[start, end, type]`, `relations` of `[start, end, start,
    end, label]`; models add scores behind them.
    """
    sentences = parse_members(record, "sentences", list, _strings)
    words = Words.join([token for sentence in sentences for token in sentence])

    def entity(first: int, last: int, type: str) -> Entity:
        return word_entity(words, (first, last + 1), type)

    def triple(raw: list[Any]) -> Triple:
        *places, label = members_of(raw, int, int, int, int, str)
        ends = {0: entity(places[0], places[1], ""), 1: entity(places[2], places[3], "")}
        return link(ends, (0, 1), label)

    entities = [] if "ner" not in record else _nested(record, "ner")
    typed = [entity(*members_of(raw, int, int, str)) for raw in entities]
    triples = [triple(raw) for raw in _nested(record, "relations")]
    return graph(words.text, typed, triples, own_id(record, "doc_key"))


def _strings(raw: list[Any]) -> list[str]:
    return [expect(value, str, "each") for value in raw]


def _nested(record: dict[str, Any], name: str) -> list[list[Any]]:
    """The lists in the list of each sentence."""

    def lists(raw: list[Any]) -> list[list[Any]]:
        return [expect(value, list, "each") for value in raw]

    return [value for sentence in parse_members(record, name, list, lists) for value in sentence]


def docred(record: dict[str, Any], remark: Remark) -> Draft:
    """DocRED and Re-DocRED: `vertexSet` has the mentions of each entity, `labels` pairs of these.

    A name is that of the first mention; all mentions become entities. Without `labels`, as in the
    test split, there are no triples.
    """
    sentences = parse_members(record, "sents", list, _strings)
    words = Words.join([token for sentence in sentences for token in sentence])
    starts = [0, *itertools.accumulate(map(len, sentences))][:-1]

    def mention(raw: dict[str, Any]) -> Entity:
        number = member(raw, "sent_id", int)
        if not 0 <= number < len(starts):
            raise Fault(f"sentence {number} is not among the {len(starts)} sentences")
        first, end = members_of(member(raw, "pos", list), int, int)
        tokens = starts[number] + first, starts[number] + end
        return named(word_entity(words, tokens, member(raw, "type", str)), raw.get("name"))

    def mentions(raw: list[Any]) -> list[Entity]:
        if not raw:
            raise Fault("an entity without mentions")
        return parse_members({"mentions": raw}, "mentions", dict, mention)

    vertices = parse_members(record, "vertexSet", list, mentions)
    entities = {number: vertex[0] for number, vertex in enumerate(vertices)}

    def triple(raw: dict[str, Any]) -> Triple:
        ends = member(raw, "h", int), member(raw, "t", int)
        return link(entities, ends, member(raw, "r", str))

    triples = parse_members(record, "labels", dict, triple) if "labels" in record else []
    draft = graph(words.text, [one for vertex in vertices for one in vertex], triples)
    return draft._replace(other={"title": record["title"]} if "title" in record else None)


def gliner(record: dict[str, Any], remark: Remark) -> Draft:
    """GLiNER and GLiREL: `ner` of `[first, last, type]`, in tokens, ends included.

    `relations` are `[head, tail, label]`, by numbers in `ner`, or objects with `head`, `tail`, each
    with a `position`, and `relation_text`.
    """
    words = Words.join(parse_members(record, "tokenized_text", str, str))

    def entity(raw: list[Any]) -> Entity:
        first, last, type = members_of(raw, int, int, str)
        return word_entity(words, (first, last + 1), type)

    entities = dict(enumerate(parse_members(record, "ner", list, entity)))

    def end(raw: dict[str, Any]) -> Entity:
        first, last = members_of(member(raw, "position", list), int, int)
        return word_entity(words, (first, last + 1), "")

    def triple(raw: Any) -> Triple:
        if isinstance(raw, list):
            head, tail, label = members_of(raw, int, int, str)
            return link(entities, (head, tail), label)
        raw = expect(raw, dict, "it")
        ends = {name: end(member(raw, name, dict)) for name in ("head", "tail")}
        return link(ends, ("head", "tail"), member(raw, "relation_text", str))

    triples = []
    for index, raw in enumerate(member(record, "relations", list)):
        try:
            triples.append(triple(raw))
        except Fault as fault:
            raise Fault(f"relations[{index}]: {fault}") from None
    return graph(words.text, entities.values(), triples)
