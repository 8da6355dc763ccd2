"""What corpus files have in common: from what a file says of a sentence to a checked Document.

A raw format says what it says (a draft): a text, names, perhaps positions. The rest is the same for
all of them and stands here: ids, spans where the file has none, and notes on what was decided on
the way, because a corpus that was silently bent is worse than one that was refused.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict, Unpack

from grel.files.faults import quote
from grel.files.reading import Item
from grel.names import locate, spelled_unlike, spells
from grel.records import Document, OnError, Span, Triple, read_documents


class NoteKind(enum.StrEnum):
    """What a reader may decide without it being an error."""

    MISSING = "entity that is not in its text: kept, without a span"
    UNLIKE = "entity spelled unlike its text (accents, case, blanks): kept, but no copy equals it"
    MISPLACED = "annotated position that does not spell its entity: searched for instead"
    TRIMMED = "name or position with blanks around it: trimmed"
    NO_RELATION = "pair of entities labeled as not related (None, NA, no_relation, Other): left out"
    REPEATED = "further occurrence of the same triple: left out"
    SCATTERED = "entity in several pieces: kept, without a span"
    UNNAMED = "relation without a label: left out"
    OTHER = "annotation that is neither an entity nor a relation of two: left out"
    FURTHER = "further annotation of the same text: left out"
    REJECTED = "text that was rejected, skipped or never annotated: left out"


class Note(NamedTuple):
    """One such decision, about a record that was read; `file` is named where there are several."""

    line: int
    kind: NoteKind
    detail: str
    file: str = ""


# Labels that corpora give to pairs that they state no relation of; SemEval-2010 has `Other`.
_UNRELATED = re.compile(r"none|n/?a|no[ _-]?relation|other", re.IGNORECASE)

OnNote = Callable[[Note], None]
Remark = Callable[[NoteKind, str], None]
# Where a name stands, and all its places if they were annotated; see `_place`.
PlaceFn = Callable[[str, Span | None, tuple[Span, ...]], tuple[Span | None, tuple[Span, ...]]]


class Options(TypedDict, total=False):
    """What every reader takes; `relations` and `on_error` are those of `records.read_jsonl`.

    Attributes:
        on_note: is called with the notes on a document right before it is given out.
        stem: what ids begin with, by default the name of the file without its ending.
    """

    relations: Collection[str] | None
    on_error: OnError | None
    on_note: OnNote | None
    stem: str | None


class Reader(Protocol):
    """Reads a corpus file.

    A document's id is the file's where the format has one, else `<stem>-<line>`; in a file that is
    one JSON list the place in the list stands for the line.
    """

    def __call__(self, path: str | Path, **options: Unpack[Options]) -> Iterator[Document]: ...


class Entity(NamedTuple):
    """A name with a type; without a span it is searched for, unless it stands there `in_pieces`."""

    text: str
    type: str
    span: Span | None
    in_pieces: bool = False


class Draft(NamedTuple):
    """What a file says of one sentence; None stands for what it does not say.

    Attributes:
        other: further fields of its record.
        entities: become the field `entities` of the record, a list of `{"text", "type", "span"}`.
        scattered: names that are no stretch of the text but several pieces of it; those that come
            without a span are not searched for.
    """

    text: str
    triples: list[Triple]
    id: str | None = None
    other: Mapping[str, Any] | None = None
    entities: Sequence[Entity] = ()
    scattered: Collection[str] = ()


def stem_of(path: str | Path, options: Options) -> str:
    """What the ids of the documents of a file begin with, or are."""
    return options.get("stem") or ("stdin" if str(path) == "-" else Path(path).stem)


def read_drafts(
    path: str | Path,
    items: Iterable[Item],
    parse: Callable[[Item, Remark], Draft | None],
    **options: Unpack[Options],
) -> Iterator[Document]:
    """A `Reader` of the raw records `items`; `parse` may raise Fault or RecordError.

    Names are trimmed. An entity without a span, or with one that does not spell it, gets the first
    place where `locate` finds it. Pairs with a label that says "no relation" are no triples, unless
    `relations` has that label. Where `parse` gives None the record is left out, and what it
    remarked is told at once.
    """
    stem = stem_of(path, options)
    relations, on_error = options.get("relations"), options.get("on_error")
    on_note = options.get("on_note") or (lambda note: None)
    notes: list[Note] = []

    def document(item: Item) -> Document | None:
        notes.clear()

        def remark(kind: NoteKind, detail: str) -> None:
            notes.append(Note(item.line, kind, detail))

        draft = parse(item, remark)
        if draft is None:
            for note in notes:
                on_note(note)
            return None
        id = f"{stem}-{item.number or item.line}" if draft.id is None else draft.id
        # Of what is said of a name in triples and as an entity, the same becomes, and is told once.
        place = functools.cache(functools.partial(_place, draft, remark))
        triples = _settled(draft, frozenset(relations or ()), place, remark)
        entities = _fields(draft, place, remark)
        other = {**(draft.other or {}), **({"entities": entities} if entities else {})}
        return Document(id, draft.text, triples, other)

    for read in read_documents(path, items, document, relations=relations, on_error=on_error):
        for note in notes:
            on_note(note)
        yield read


def _fields(draft: Draft, place: PlaceFn, remark: Remark) -> list[dict[str, Any]]:
    """The entities as the record has them; those of blanks alone are left out."""
    settled = []
    for entity in dict.fromkeys(draft.entities):
        if name := entity.text.strip():
            span, _ = place(name, entity.span, ())
            settled.append(Entity(name, entity.type, span))
        else:
            remark(NoteKind.OTHER, f"{quote(entity.type)} on blanks")
    return [
        {"text": text, "type": type, **({} if span is None else {"span": list(span)})}
        for text, type, span, _ in dict.fromkeys(settled)
    ]


def _settled(
    draft: Draft, known: Collection[str], place: PlaceFn, remark: Remark
) -> tuple[Triple, ...]:
    triples = []
    for triple in draft.triples:
        names = triple.head, triple.relation, triple.tail
        head, relation, tail = (name.strip() for name in names)
        if _UNRELATED.fullmatch(relation) and relation not in known:
            remark(NoteKind.NO_RELATION, quote((head, tail)))
            continue
        for name in names:
            if name != name.strip():
                remark(NoteKind.TRIMMED, quote(name))
        head_span, head_spans = place(head, triple.head_span, triple.head_spans)
        tail_span, tail_spans = place(tail, triple.tail_span, triple.tail_spans)
        triples.append(
            dataclasses.replace(
                triple,
                head=head,
                relation=relation,
                tail=tail,
                head_span=head_span,
                tail_span=tail_span,
                head_spans=head_spans,
                tail_spans=tail_spans,
            )
        )
    return tuple(triples)


def _place(
    draft: Draft, remark: Remark, name: str, span: Span | None, spans: tuple[Span, ...]
) -> tuple[Span | None, tuple[Span, ...]]:
    """Where a name stands, and all its places if they were annotated."""
    text = draft.text
    if span is None and name in draft.scattered:
        remark(NoteKind.SCATTERED, quote(name))
        return None, ()
    if span is not None:
        tight, *others = (_without_blank_ends(text, one) for one in (span, *spans))
        if all(spells(text, one, name) for one in (tight, *others)):
            if tight != span:
                remark(NoteKind.TRIMMED, f"{quote(name)} at {list(span)}")
            span, spans = tight, tuple(others)
        else:
            remark(NoteKind.MISPLACED, quote(name))
            span, spans = None, ()
    if span is None:
        span = next(iter(locate(text, name)), None)
    if spelled_unlike(text, name, span):
        found = f" for {quote(text[slice(*span)])}" if span else ""
        remark(NoteKind.UNLIKE, f"{quote(name)}{found}")
    elif span is None:
        remark(NoteKind.MISSING, quote(name))
    return span, spans


def _without_blank_ends(text: str, span: Span) -> Span:
    start, end = span
    if not 0 <= start < end <= len(text):
        return span
    inside = text[start:end]
    return end - len(inside.lstrip()), start + len(inside.rstrip())


class Words(NamedTuple):
    """A text and the character spans of its words, for formats that count in words."""

    text: str
    spans: list[Span]

    @classmethod
    def split(cls, text: str) -> Words:
        """The words that `text.split()` gives."""
        return cls(text, [match.span() for match in re.finditer(r"\S+", text)])

    @classmethod
    def join(cls, tokens: list[str]) -> Words:
        """The tokens as words of a text that has one space between them."""
        ends = itertools.accumulate(len(token) + 1 for token in tokens)
        spans = [(end - 1 - len(token), end - 1) for token, end in zip(tokens, ends, strict=True)]
        return cls(" ".join(tokens), spans)

    def characters(self, words: Span) -> Span | None:
        """The characters of a range of words, end excluded; None if there is no such range."""
        first, end = words
        if not 0 <= first < end <= len(self.spans):
            return None
        return self.spans[first][0], self.spans[end - 1][1]

    def place(
        self, triple: Triple, heads: Iterable[Span], tails: Iterable[Span], remark: Remark
    ) -> Triple:
        """The triple with the spans of the first ranges of words that spell its head and tail.

        Where none of the annotated ranges does, that is remarked, and the span stays open.
        """
        return dataclasses.replace(
            triple,
            head_span=self._spelling(triple.head, heads, remark),
            tail_span=self._spelling(triple.tail, tails, remark),
        )

    def _spelling(self, entity: str, ranges: Iterable[Span], remark: Remark) -> Span | None:
        for span in map(self.characters, ranges):
            if span is not None and spells(self.text, span, entity.strip()):
                return span
        remark(NoteKind.MISPLACED, quote(entity))
        return None
