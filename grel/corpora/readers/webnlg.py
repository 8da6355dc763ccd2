"""WebNLG's XML: entries with triples, and sentences that tell them.

The parser is the standard library's expat under one rule: a DOCTYPE is refused, so that there are
no entities to expand and nothing outside to fetch. Each sentence of an entry, a `lex` or the `text`
in it, is a document with the triples of the entry, as `modifiedtripleset` has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Unpack
from xml.parsers import expat

from grel.corpora.drafts import Draft, NoteKind, Options, Remark, read_drafts
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import MAX_LINE_BYTES
from grel.files.reading import Item, guarded, opened
from grel.records import Document, Triple

_CHUNK = 1 << 16
_MAX_DEPTH = 100


class _Sentence(NamedTuple):
    """A sentence, the attributes of its `lex`, and the triples of its entry."""

    text: str
    attributes: dict[str, str]
    triples: list[str]


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """The documents of a file."""
    return read_drafts(path, _items(path), _draft, **options)


def _items(path: str | Path) -> Iterator[Item[_Sentence]]:
    parser = _Parser()
    try:
        with opened(path) as file:
            for chunk in guarded(path, iter(lambda: file.read(_CHUNK), b"")):
                parser.feed(chunk)
                yield from parser.taken()
            parser.feed(b"", is_final=True)
            yield from parser.taken()
    except expat.ExpatError as error:
        reason = f"not XML: {expat.ErrorString(error.code)} at column {error.offset + 1}"
        raise RecordError(path, error.lineno, reason) from None
    except Fault as fault:
        raise RecordError(path, parser.line, str(fault)) from None


class _Parser:
    """Gathers the sentences of entries, as they end."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=None)
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._path: list[str] = []
        self._pieces: list[str] = []
        self._size = 0
        self._triples: list[str] = []
        self._sentences: list[Item[_Sentence]] = []
        self._attributes: dict[str, str] = {}
        self._begin, self._inner, self._num_sentences = 0, "", 0
        self._done: list[Item[_Sentence]] = []

    @property
    def line(self) -> int:
        """Of what is being parsed."""
        return self._parser.CurrentLineNumber

    def feed(self, data: bytes, *, is_final: bool = False) -> None:
        """Parses further data; raises expat.ExpatError, or Fault."""
        try:
            self._parser.Parse(data, is_final)
        except Fault:
            raise
        except (LookupError, ValueError) as error:  # of an encoding that one of them lacks
            raise Fault(f"{error}; save the file as UTF-8, and let its first line say so") from None

    def taken(self) -> list[Item[_Sentence]]:
        """Sentences of the entries that have ended since."""
        done, self._done = self._done, []
        return done

    def _refuse(self, *_: Any) -> None:
        raise Fault("it has a DOCTYPE, which may define entities; remove it")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise Fault("nested too deeply")
        self._pieces, self._size = [], 0
        if name == "entry":
            self._triples, self._sentences = [], []
        elif name == "lex":
            self._attributes, self._begin, self._inner = attributes, self.line, ""

    def _text(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_LINE_BYTES:
            raise Fault(f"a text longer than {MAX_LINE_BYTES:,} characters")
        self._pieces.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        text = "".join(self._pieces)
        self._pieces = []
        if name == "mtriple":
            self._triples.append(text)
        elif name == "text" and self._path[-1:] == ["lex"]:
            self._inner = text
        elif name == "lex":
            sentence = _Sentence(self._inner or text, self._attributes, self._triples)
            self._num_sentences += 1
            self._sentences.append(Item(self._begin, sentence, self._num_sentences))
        elif name == "entry":
            self._done += self._sentences


def _draft(item: Item[_Sentence], remark: Remark) -> Draft | None:
    text, attributes, triples = item.data
    if attributes.get("comment", "").casefold() == "bad":
        remark(NoteKind.REJECTED, quote(text))
        return None
    return Draft(" ".join(text.split()), [_triple(raw) for raw in triples])


def _triple(raw: str) -> Triple:
    parts = [part.strip() for part in raw.split(" | ")]
    if len(parts) != 3:
        raise Fault(f"{quote(raw)} is not of the form 'head | relation | tail'")
    head, relation, tail = parts
    return Triple(_name(head), relation, _name(tail))


def _name(resource: str) -> str:
    """DBpedia's name as it may stand in a text: with blanks, and without quotation marks."""
    name = resource.strip('"') or resource
    return name.replace("_", " ").strip()
