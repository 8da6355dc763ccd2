"""What formats to write share: a document as tools mark it, and files of one piece a document.

A tool knows entities, which are stretches of the text, and relations between them. What of a
document has no such form is left out, and told, one loss at a time.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from grel.corpora.drafts import Entity
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import member, parse_members
from grel.files.writing import replacing
from grel.names import locate
from grel.records import Document, Span, span_member

K = TypeVar("K", bound=Hashable)
UNTYPED = "ENTITY"
_ENTITY = frozenset({"text", "type", "span"})


class Loss(enum.StrEnum):
    """What a format may be unable to say."""

    UNPLACED = "triple with a name that is not in its text: left out"
    RESPELLED = "name that its text spells otherwise: written as the text has it"
    PIECES = "entity without a span: left out"
    BLANK = "entity on blanks alone: left out"
    TYPE = "further type of an entity: left out"
    UNLINKED = "entity that is in no triple: left out"
    SCORE = "score of a triple: left out"
    SCORE_PER_TOKEN = "score per token of a triple: left out"
    PLACES = "further places of a triple's names: left out"
    FIELD = "further field of a record: left out"
    ENTITY_FIELD = "further field of an entity: left out"


OnLoss = Callable[[Loss, str], None]


class Writer(Protocol):
    """Writes documents to a path; what is lost is told to `on_loss`, with the id of its document.

    The output appears complete or not at all. Raises RecordError where it can't be written, or a
    document has no form in the format at all.
    """

    def __call__(
        self, path: str | Path, documents: Iterable[Document], on_loss: OnLoss
    ) -> None: ...


class Mark(NamedTuple):
    """An entity where it stands; its type is `UNTYPED` if the document has none for it."""

    text: str
    type: str
    span: Span


class Link(NamedTuple):
    """A relation between two of the entities, by their numbers."""

    head: int
    label: str
    tail: int
    score: float | None


class Marked(NamedTuple):
    """A document as tools mark it."""

    entities: list[Mark]
    links: list[Link]


def marked(document: Document, on_loss: OnLoss, *, has_triples: bool = False) -> Marked:
    """The entities of a document, those of its field `entities` first, and its triples as links.

    An end of a triple is the entity at its span; a name without a span is searched for. A format
    that `has_triples` beside these as they are loses nothing of them by a link.
    """
    typed: dict[Mark, None] = {}
    for entity in typed_entities(document, on_loss):
        if entity.span is None:
            on_loss(Loss.PIECES, document.id)
        elif not (name := document.text[slice(*entity.span)]).strip():
            on_loss(Loss.BLANK, document.id)
        else:
            if name != entity.text:
                on_loss(Loss.RESPELLED, document.id)
            typed[Mark(name, entity.type, entity.span)] = None
    entities = list(typed)
    numbers: dict[Span, int] = {}
    for number, mark in enumerate(entities):
        numbers.setdefault(mark.span, number)

    def number_of(span: Span) -> int:
        if span not in numbers:
            numbers[span] = len(entities)
            entities.append(Mark(document.text[slice(*span)], UNTYPED, span))
        return numbers[span]

    def lose(loss: Loss) -> None:
        if not has_triples:
            on_loss(loss, document.id)

    links = []
    for triple in document.triples:
        head = triple.head_span or next(iter(locate(document.text, triple.head)), None)
        tail = triple.tail_span or next(iter(locate(document.text, triple.tail)), None)
        if head is None or tail is None:
            lose(Loss.UNPLACED)
        else:
            for name, span in ((triple.head, head), (triple.tail, tail)):
                if document.text[slice(*span)] != name:
                    lose(Loss.RESPELLED)
            links.append(Link(number_of(head), triple.relation, number_of(tail), triple.score))
    return Marked(entities, links)


def telling(
    documents: Iterable[Document], losses: Iterable[Loss], on_loss: OnLoss
) -> Iterator[Document]:
    """Passes documents on, and tells what a format has no place for, whatever the document.

    `losses` are that of the format, from `SCORE` on.
    """
    for document in documents:
        for loss in losses:
            for _ in range(_NUM_LOST[loss](document)):
                on_loss(loss, document.id)
        yield document


def _num_further_places(document: Document) -> int:
    ends = [(t.head_span, t.head_spans) for t in document.triples]
    ends += [(t.tail_span, t.tail_spans) for t in document.triples]
    return sum(bool({*spans} - {span}) for span, spans in ends)


_NUM_LOST: dict[Loss, Callable[[Document], int]] = {
    Loss.SCORE: lambda document: sum(t.score is not None for t in document.triples),
    Loss.SCORE_PER_TOKEN: lambda document: sum(
        t.score_per_token is not None for t in document.triples
    ),
    Loss.PLACES: _num_further_places,
    Loss.FIELD: lambda document: len(document.other.keys() - {"entities"}),
}


def typed_entities(document: Document, on_loss: OnLoss) -> list[Entity]:
    """The field `entities` of a record, which may be a stranger's, as others use the name too.

    One of another shape is a further field of the record, and what else an entity has, of the
    entity: both are told.
    """
    if "entities" not in document.other:
        return []

    def entity(raw: dict[str, Any]) -> Entity:
        text, type = member(raw, "text", str), member(raw, "type", str)
        span = span_member(raw, "span")
        if span is not None and not 0 <= span[0] < span[1] <= len(document.text):
            raise Fault(f"span {list(span)} lies outside the text")
        return Entity(text, type if type.strip() else UNTYPED, span)

    try:
        entities = parse_members(document.other, "entities", dict, entity)
    except Fault:
        on_loss(Loss.FIELD, document.id)
        return []
    for raw in document.other["entities"]:
        for _ in raw.keys() - _ENTITY:
            on_loss(Loss.ENTITY_FIELD, document.id)
    return list(dict.fromkeys(entities))


def keeps_type(types: dict[K, str], key: K, type: str) -> bool:
    """Notes under a key the first type of an entity; False where it has another one already.

    For formats in which an entity has one type. `UNTYPED` stands for none.
    """
    if types.get(key, UNTYPED) == UNTYPED:
        types[key] = type
    return type in (UNTYPED, types[key])


def file_writer(begin: Callable[[], Callable[[Document, OnLoss], str]]) -> Writer:
    """The writer of one text file.

    `begin` is called once a file and gives what makes the text of each document, so that this can
    remember what the file has already.
    """

    def write(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
        render = begin()
        with replacing(path) as file:
            for document in documents:
                with blaming(path, document):
                    file.write(render(document, on_loss).encode())

    return write


@contextlib.contextmanager
def blaming(path: str | Path, document: Document) -> Iterator[None]:
    """Says of a Fault, or of a text that UTF-8 has no form for, which document it is of."""
    try:
        yield
    except (Fault, UnicodeEncodeError) as error:
        raise RecordError(path, None, f"{quote(document.id)}: {error}") from None
