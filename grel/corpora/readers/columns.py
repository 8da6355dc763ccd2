"""CoNLL04 in the two forms that it goes round in: a token a line, and relations between tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

from grel.corpora.drafts import Draft, Options, Words, read_drafts
from grel.corpora.readers.shapes import graph, link, put, word_entity
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import decode, expect, parse_json
from grel.files.reading import Item, json_lines
from grel.records import Document, Triple

CORP_LINE = r"\d+\t[^\t\n]+\t\d+\t[^\t\n]+\t[^\t\n]+\t[^\t\n]+(\t[^\t\n]*){3}"
MULTIHEAD_LINE = r"#doc"
# Words that the corpus writes otherwise.
_WORDS = {"COMMA": ",", "-LRB-": "(", "-RRB-": ")", "-LCB-": "{", "-RCB-": "}"}
_LABEL = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NO_RELATION = "N"

Lines = list[Item[bytes]]


def corp(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """`.corp` of Roth and Yih: an entity is one line, its words joined by slashes.

    A block of `sentence, type, number, O, tag, word, O, O, O`, a blank line, a block of `head,
    tail, relation` by numbers, which may be empty, a blank line.
    """

    def sentences() -> Iterator[Item[Lines]]:
        rows: Lines = []
        seen_blank = False
        for item in json_lines(path):
            is_blank = not item.data.strip()
            if rows and seen_blank and (is_blank or item.data.count(b"\t") > 2):
                yield Item(rows[0].line, rows)
                rows, seen_blank = [], False
            if not is_blank:
                rows.append(item)
            seen_blank = seen_blank or (is_blank and bool(rows))
        if rows:
            yield Item(rows[0].line, rows)

    return read_drafts(path, sentences(), lambda item, _: _corp_draft(path, item.data), **options)


def _corp_draft(path: str | Path, rows: Lines) -> Draft:
    tokens: list[str] = []
    places: dict[str, tuple[int, int, str]] = {}
    links: list[tuple[int, str, str, str]] = []
    for line, columns in _columns(path, rows):
        if len(columns) == 9:
            _, type, number, _, tag, word, *_ = columns
            # As many words as tags: a slash may be of the word itself.
            parts = word.split("/") if word.count("/") == tag.count("/") else [word]
            try:
                put(places, number, (len(tokens), len(tokens) + len(parts), type))
            except Fault as fault:
                reason = f"{fault}; if a sentence begins here, put a blank line before it"
                raise RecordError(path, line, reason) from None
            tokens += [_WORDS.get(part, part) for part in parts]
        elif len(columns) == 3:
            links.append((line, columns[0], columns[1], columns[2]))
        else:
            raise RecordError(path, line, f"{len(columns)} columns; tokens have 9, relations 3")
    words = Words.join(tokens)
    entities = {
        number: word_entity(words, (start, end), "" if type == "O" else type)
        for number, (start, end, type) in places.items()
    }
    triples = []
    for line, head, tail, label in links:
        try:
            triples.append(link(entities, (head, tail), label))
        except Fault as fault:
            raise RecordError(path, line, str(fault)) from None
    return graph(words.text, entities.values(), triples)


def multihead(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """Multi-head selection (Bekoulis et al. 2018): `#doc`, then number, word, BIO, labels, tails.

    The last word of a head has the labels of its relations and the last words of their tails;
    `['N']` and its own number say that there are none.
    """

    def sentences() -> Iterator[Item[Lines]]:
        rows: Lines = []
        for item in json_lines(path):
            if item.data.startswith(b"#doc") and rows:
                yield Item(rows[0].line, rows)
                rows = []
            if item.data.strip():
                rows.append(item)
        if rows:
            yield Item(rows[0].line, rows)

    return read_drafts(
        path, sentences(), lambda item, _: _multihead_draft(path, item.data), **options
    )


def _multihead_draft(path: str | Path, rows: Lines) -> Draft:
    first, *rest = rows
    title, _, id = first.data.decode(errors="replace").partition(" ")
    if title != MULTIHEAD_LINE:
        raise Fault(f"it must begin with '#doc ID', not {quote(title)}")
    tokens: list[str] = []
    tags: list[str] = []
    links: list[tuple[int, int, str, int]] = []
    for line, columns in _columns(path, rest):
        try:
            number, word, tag, labels, tails = columns
            if int(number) != len(tokens):
                raise ValueError
            ends = expect(parse_json(tails.encode()), list, "it")
            names = [single or double for single, double in _LABEL.findall(labels)]
            links += [(line, len(tokens), *pair) for pair in zip(names, ends, strict=True)]
        except ValueError:
            wanted = f"{len(tokens)}, word, tag, ['label', ...], [number, ...]"
            reason = f"it must be {wanted}, between tabs, not {quote(columns)}"
            raise RecordError(path, line, reason) from None
        tokens.append(word)
        tags.append(tag)
    words = Words.join(tokens)
    entities = {end - 1: word_entity(words, (start, end), type) for start, end, type in _bio(tags)}
    triples: list[Triple] = []
    for line, head, label, tail in links:
        if label != _NO_RELATION:
            try:
                triples.append(link(entities, (head, tail), label))
            except (Fault, TypeError):
                reason = f"no entity ends at {quote(tail if head in entities else head)}"
                raise RecordError(path, line, reason) from None
    return graph(words.text, entities.values(), triples, id.strip() or None)


def _bio(tags: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Start, end and type of what is tagged; an I that goes on with nothing begins anew."""
    start, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, type = tag.partition("-")
        if kind and (prefix != "I" or type != kind):
            yield start, place, kind
            kind = ""
        if prefix in ("B", "I") and type and not kind:
            start, kind = place, type


def _columns(path: str | Path, rows: Lines) -> Iterator[tuple[int, list[str]]]:
    for item in rows:
        try:
            yield item.line, decode(item.data).split("\t")
        except Fault as fault:
            raise RecordError(path, item.line, str(fault)) from None
