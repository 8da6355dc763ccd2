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
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from grel.records import (
    Document,
    OnError,
    Span,
    Triple,
    locate,
    read_documents,
    spelled_unlike,
    spells,
)
from grel.textio import Item, quote


class NoteKind(enum.StrEnum):
    """What a reader may decide without it being an error."""

    MISSING = "entity that is not in its text: kept, without a span"
    UNLIKE = "entity spelled unlike its text (accents, case): kept, though no copy can equal it"
    MISPLACED = "annotated position that does not spell its entity: searched for instead"
    NO_RELATION = "pair of entities labeled as not related: left out"
    REPEATED = "further occurrence of the same triple: left out"


class Note(NamedTuple):
    """One such decision, about a record that was read."""

    line: int
    kind: NoteKind
    detail: str


OnNote = Callable[[Note], None]
Remark = Callable[[NoteKind, str], None]


class Reader(Protocol):
    """Reads a corpus file; `relations` and `on_error` are those of `records.read_jsonl`.

    A document's id is the file's where the format has one, else `<file stem>-<line>`; in a file
    that is one JSON list the place in the list stands for the line. `on_note` is called with the
    notes on a document right before it is given out.
    """

    def __call__(
        self,
        path: str | Path,
        *,
        relations: Collection[str] | None = None,
        on_error: OnError | None = None,
        on_note: OnNote | None = None,
    ) -> Iterator[Document]: ...


class Draft(NamedTuple):
    """What a file says of one sentence; None stands for what it does not say."""

    text: str
    triples: list[Triple]
    id: str | None = None


def read_drafts(
    path: str | Path,
    items: Iterable[Item],
    parse: Callable[[Item, Remark], Draft],
    *,
    relations: Collection[str] | None,
    on_error: OnError | None,
    on_note: OnNote | None,
) -> Iterator[Document]:
    """A `Reader` of the raw records `items`; `parse` may raise Fault or RecordError.

    An entity without a span gets the first place where `locate` finds it.
    """
    stem = "stdin" if str(path) == "-" else Path(path).stem
    notes: list[Note] = []

    def document(item: Item) -> Document:
        notes.clear()

        def remark(kind: NoteKind, detail: str) -> None:
            notes.append(Note(item.line, kind, detail))

        draft = parse(item, remark)
        id = f"{stem}-{item.number or item.line}" if draft.id is None else draft.id
        return Document(id, draft.text, _with_spans(draft, remark))

    for read in read_documents(path, items, document, relations=relations, on_error=on_error):
        if on_note is not None:
            for note in notes:
                on_note(note)
        yield read


def _with_spans(draft: Draft, remark: Remark) -> tuple[Triple, ...]:
    @functools.cache
    def place(entity: str, span: Span | None) -> Span | None:
        if span is None:
            span = next(iter(locate(draft.text, entity)), None)
        if spelled_unlike(draft.text, entity, span):
            remark(NoteKind.UNLIKE, quote(entity))
        elif span is None:
            remark(NoteKind.MISSING, quote(entity))
        return span

    return tuple(
        dataclasses.replace(
            triple,
            head_span=place(triple.head, triple.head_span),
            tail_span=place(triple.tail, triple.tail_span),
        )
        for triple in draft.triples
    )


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
            if span is not None and spells(self.text, span, entity):
                return span
        remark(NoteKind.MISPLACED, quote(entity))
        return None
