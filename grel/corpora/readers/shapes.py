"""What formats share: JSON objects, entities at words or characters, links between them, rows.

A format is then what is its own: which field is which. Everything here raises Fault where a file
contradicts itself.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Unpack

from grel.corpora.drafts import Draft, Entity, Options, Reader, Remark, Words, read_drafts
from grel.files.faults import Fault, quote
from grel.files.parsing import expect, member, parse_object
from grel.files.reading import Item, json_items
from grel.names import even_blanks, plain
from grel.records import Document, Span, Triple

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def json_reader(parse: Callable[[dict[str, Any], Remark], Draft | None]) -> Reader:
    """The reader of a format of JSON objects, which may be lines or the items of one list."""

    def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
        return read_drafts(
            path,
            json_items(path),
            lambda item, remark: parse(parse_object(item.data), remark),
            **options,
        )

    return read


def triple_member(
    raw: Mapping[str, Any],
    head: str,
    relation: str,
    tail: str,
    head_span: Span | None = None,
    tail_span: Span | None = None,
) -> Triple:
    """The triple whose parts stand under the three names."""
    names = member(raw, head, str), member(raw, relation, str), member(raw, tail, str)
    return Triple(*names, head_span, tail_span)


def triple_of_names(names: list[Any]) -> Triple:
    """`[head, relation, tail]` as a triple."""
    if [type(name) for name in names] != [str, str, str]:
        raise Fault(f"it must be [head, relation, tail], three strings, not {quote(names)}")
    return Triple(*names)


def own_id(record: Mapping[str, Any], name: str) -> str | None:
    """The id under `name`, a string or a number; None where there is none."""
    if name not in record:
        return None
    id = record[name]
    return str(id) if type(id) is int else expect(id, str, f"field {name!r}")


def key_member(raw: Mapping[str, Any], name: str) -> int | str:
    """What an entity is called by: a number or a string."""
    if type(raw.get(name)) is int:
        return raw[name]
    return member(raw, name, str)


def finite(text: str) -> float:
    """The number that a text is."""
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise Fault(f"{quote(text)} is no finite number")


def optional_text(raw: Mapping[str, Any], name: str) -> str:
    """The string under a name, empty where there is none, or null."""
    return "" if raw.get(name) is None else member(raw, name, str)


def members_of(raw: list[Any], *kinds: type) -> list[Any]:
    """The first members of a list, which must be of these kinds; what follows is of no concern."""
    if [type(value) for value in raw[: len(kinds)]] != list(kinds):
        wanted = ", ".join({int: "int", str: "str", list: "list"}[kind] for kind in kinds)
        raise Fault(f"it must be [{wanted}], not {quote(raw)}")
    return raw[: len(kinds)]


def word_entity(words: Words, tokens: Span, type: str) -> Entity:
    """The entity at a range of words, end excluded."""
    span = words.characters(tokens)
    if span is None:
        raise Fault(f"tokens {list(tokens)} are no range of the {len(words.spans)} tokens")
    return Entity(words.text[slice(*span)], type, span)


def text_entity(text: str, span: Span, type: str) -> Entity:
    """The entity at a range of characters, end excluded."""
    start, end = span
    if not 0 <= start < end <= len(text):
        raise Fault(f"characters {list(span)} are no range of the text, which has {len(text)}")
    return Entity(text[start:end], type, (start, end))


def named(entity: Entity, name: Any) -> Entity:
    """The entity by the `name` that its file states, where that is not what stands at its place.

    A place that does not spell its name is told and searched for, as `drafts` says. Case, accents
    and blanks make no other name, as corpora state names in lower case, and tokenized otherwise
    than their texts; then what stands there is the name. Nothing is stated if it is no string.

    Example: at `Ak - Sar - Ben Bridge` stands `ak-sar-ben bridge`, and not `oslo`.
    """
    if not isinstance(name, str) or _letters(name) in ("", _letters(entity.text)):
        return entity
    return entity._replace(text=name)


def _letters(name: str) -> str:
    return plain(even_blanks(name)).replace(" ", "")


def scattered_entity(text: str, spans: Sequence[Span], type: str) -> Entity:
    """The entity at one or several ranges of characters; pieces side by side are one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        text_entity(text, (start, end), type)
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    if len(joined) == 1:
        return text_entity(text, joined[0], type)
    name = " ".join(text[start:end].strip() for start, end in joined)
    return Entity(name, type, None, in_pieces=True)


def put(known: dict[K, V], id: K, value: V) -> None:
    """Puts under an id what it stands for; a Fault where that is another thing already.

    What replaced it would be lost, and links would go to the wrong one. The same thing told again,
    as by two files of which one was made of the other, is no harm.
    """
    if known.setdefault(id, value) != value:
        reason = "stands twice, for different things; keep one, or give it another id"
        raise Fault(f"id {quote(id)} {reason}")


def link(entities: Mapping[K, Entity], ends: tuple[K, K], label: str) -> Triple:
    """The triple of the entities under two keys."""
    if not all(end in entities for end in ends):
        raise Fault(f"entities {quote(list(ends))} are not among the {len(entities)} entities")
    head, tail = (entities[end] for end in ends)
    return Triple(head.text, label, tail.text, head.span, tail.span)


def graph(
    text: str, entities: Iterable[Entity], triples: list[Triple], id: str | None = None
) -> Draft:
    """The draft of a text, its entities, and the links between them."""
    entities = list(entities)
    scattered = {entity.text.strip() for entity in entities if entity.in_pieces}
    typed = [entity for entity in entities if entity.type.strip()]
    return Draft(text, triples, id, entities=typed, scattered=scattered)


class UnitOffsets(NamedTuple):
    """Offsets of tools that count as JavaScript and Java do, where 😊 is two; see `characters`."""

    text: str
    starts: dict[int, int] | None

    @classmethod
    def of(cls, text: str) -> UnitOffsets:
        """The offsets of a text in UTF-16."""
        if text.isascii() or max(text, default="") < "\U00010000":
            return cls(text, None)
        starts, units = {}, 0
        for place, char in enumerate(text):
            starts[units] = place
            units += 1 + (char >= "\U00010000")
        return cls(text, {**starts, units: len(text)})

    def characters(self, span: Span) -> Span:
        """The span in characters; a Fault where an end lies inside of one."""
        if self.starts is None:
            return span
        start, end = (self.starts.get(offset, -1) for offset in span)
        if start < 0 or end < 0:
            raise Fault(f"offsets {list(span)} are no range of the text in UTF-16")
        return start, end


def read_rows(
    path: str | Path,
    items: Iterable[Item],
    parse: Callable[[Item], Draft],
    **options: Unpack[Options],
) -> Iterator[Document]:
    """A `Reader` of formats with a triple a row: rows of one text, and id, are one document.

    It stands where the first of them does. All rows are read before the first document is given.
    """
    on_error = options.get("on_error")
    rows: dict[tuple[str | None, str], Item[list[Draft]]] = {}
    for item in items:
        try:
            draft = parse(item)
        except Fault as fault:
            if on_error is None:
                raise item.error(path, fault) from None
            on_error(item.error(path, fault))
            continue
        key = draft.id, draft.text
        rows.setdefault(key, Item(item.line, [], item.number)).data.append(draft)

    def merge(item: Item[list[Draft]], remark: Remark) -> Draft:
        first, *_ = drafts = item.data
        return first._replace(
            triples=[triple for draft in drafts for triple in draft.triples],
            entities=[entity for draft in drafts for entity in draft.entities],
            scattered={name for draft in drafts for name in draft.scattered},
        )

    return read_drafts(path, rows.values(), merge, **options)
