"""Formats that state one pair of entities and its relation a record.

Records of one sentence become one document, or what the others state of it would count as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Unpack

from grel.corpora.drafts import Draft, Entity, Options, Reader, Words
from grel.corpora.readers.shapes import (
    graph,
    link,
    members_of,
    named,
    optional_text,
    read_rows,
    text_entity,
    word_entity,
)
from grel.files.faults import Fault, RecordError
from grel.files.parsing import expect, member, parse_json, parse_members, parse_object
from grel.files.reading import MAX_FILE_BYTES, Item, json_items, whole
from grel.records import Document


def pair_reader(parse: Callable[[dict[str, Any]], Draft]) -> Reader:
    """The reader of JSON objects of one pair each."""

    def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
        items = json_items(path)
        return read_rows(path, items, lambda item: parse(parse_object(item.data)), **options)

    return read


def tacred(record: dict[str, Any]) -> Draft:
    """TACRED, its revisions and KBP37: tokens, ends included."""
    words = Words.join(parse_members(record, "token", str, str))

    def end(name: str) -> Entity:
        span = member(record, f"{name}_start", int), member(record, f"{name}_end", int) + 1
        return word_entity(words, span, optional_text(record, f"{name}_type"))

    ends = {name: end(name) for name in ("subj", "obj")}
    triple = link(ends, ("subj", "obj"), member(record, "relation", str))
    return graph(words.text, ends.values(), [triple])


def opennre(record: dict[str, Any]) -> Draft:
    """OpenNRE: a text and characters, or tokens and their numbers, ends excluded."""
    words = Words.join(parse_members(record, "token", str, str)) if "token" in record else None
    text = member(record, "text", str) if words is None else words.text

    def end(name: str) -> Entity:
        raw = member(record, name, dict)
        first, last = members_of(member(raw, "pos", list), int, int)
        if words is None:
            return named(text_entity(text, (first, last), ""), raw.get("name"))
        return named(word_entity(words, (first, last), ""), raw.get("name"))

    ends = {name: end(name) for name in ("h", "t")}
    return graph(text, ends.values(), [link(ends, ("h", "t"), member(record, "relation", str))])


def fewrel(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """FewRel: one object of relations, with a list of `tokens`, `h` and `t` for each.

    An end is `[name, id, [[token, ...], ...]]`; the first place is taken.
    """
    try:
        relations = expect(parse_json(whole(path), MAX_FILE_BYTES), dict, "the file")
    except Fault as fault:
        raise RecordError(path, None, str(fault)) from None

    def instances() -> Iterator[Item]:
        number = 0
        for relation, group in relations.items():
            for instance in group if isinstance(group, list) else [group]:
                number += 1
                yield Item(1, (relation, instance), number)

    return read_rows(path, instances(), _fewrel_instance, **options)


def _fewrel_instance(item: Item) -> Draft:
    relation, instance = item.data
    record = expect(instance, dict, f"{relation}: each instance")
    words = Words.join(parse_members(record, "tokens", str, str))

    def end(name: str) -> Entity:
        said, _, places = members_of(member(record, name, list), str, str, list)
        place = expect((places or [[]])[0], list, "place")
        tokens = [expect(token, int, "token") for token in place]
        span = min(tokens, default=-1), max(tokens, default=-1) + 1
        return named(word_entity(words, span, ""), said)

    ends = {name: end(name) for name in ("h", "t")}
    return graph(words.text, ends.values(), [link(ends, ("h", "t"), relation)])
