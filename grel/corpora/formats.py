"""The raw formats that public corpora come in: `READERS`, a dict from name to reader.

Corpora differ in how they say where an entity stands: not at all, by character, by word, by tags.
Whichever it is, every reader gives the same Documents with character spans: those of the file where
they spell the entity, else of the first place where it occurs, which is also what the official
pointers of NYT24 say for over 99 % of the mentions. Duplicate triples stay as they are in the file,
because a corpus is counted with them by some and without them by others. Fields that a foreign
format has and that are not needed here are ignored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from grel.corpora.drafts import Draft, NoteKind, OnNote, Reader, Remark, Words, read_drafts
from grel.files.textio import (
    Fault,
    Item,
    RecordError,
    decode,
    expect,
    json_items,
    member,
    numbered_lines,
    parse_members,
    parse_object,
    quote,
)
from grel.records import Document, OnError, Span, Triple, parse_record, span_member

_PTRNET = (".sent", ".tup", ".pointer")
# A separator stands alone: entities may contain these characters.
_BETWEEN_TRIPLES = re.compile(r"(?<!\S)\|(?!\S)")
_BETWEEN_NAMES = re.compile(r"(?<!\S);(?!\S)")
_ROW_END = b"\n"  # the one byte that no line has


def _json_reader(parse: Callable[[dict[str, Any], Remark], Draft]) -> Reader:
    """The reader of a format of JSON objects, which may be lines or the items of one list."""

    def read(
        path: str | Path,
        *,
        relations: Collection[str] | None = None,
        on_error: OnError | None = None,
        on_note: OnNote | None = None,
    ) -> Iterator[Document]:
        return read_drafts(
            path,
            json_items(path),
            lambda item, remark: parse(parse_object(item.data), remark),
            relations=relations,
            on_error=on_error,
            on_note=on_note,
        )

    return read


def _copyre(record: dict[str, Any], remark: Remark) -> Draft:
    """CopyRE's raw files and SPN4RE's."""

    def triple(mention: dict[str, Any]) -> Triple:
        return _triple(mention, "em1Text", "label", "em2Text")

    triples = parse_members(record, "relationMentions", dict, triple)
    return Draft(member(record, "sentText", str), triples)


def _casrel(record: dict[str, Any], remark: Remark) -> Draft:
    """CasRel and PRGC."""
    triples = parse_members(record, "triple_list", list, _triple_of_names)
    return Draft(member(record, "text", str), triples)


def _spert(record: dict[str, Any], remark: Remark) -> Draft:
    """SpERT and PFN: entities are ranges of tokens, and relations are pairs of entity numbers."""
    words = Words.join(parse_members(record, "tokens", str, str))

    def entity(raw: dict[str, Any]) -> Span:
        tokens = member(raw, "start", int), member(raw, "end", int)
        span = words.characters(tokens)
        if span is None:
            raise Fault(f"tokens {list(tokens)} are no range of the {len(words.spans)} tokens")
        return span

    entities = parse_members(record, "entities", dict, entity)

    def triple(raw: dict[str, Any]) -> Triple:
        numbers = member(raw, "head", int), member(raw, "tail", int)
        if not all(0 <= number < len(entities) for number in numbers):
            raise Fault(f"entities {list(numbers)} are not among the {len(entities)} entities")
        spans = [entities[number] for number in numbers]
        head, tail = (words.text[slice(*span)] for span in spans)
        return Triple(head, member(raw, "type", str), tail, *spans)

    triples = parse_members(record, "relations", dict, triple)
    return Draft(words.text, triples, _own_id(record, "orig_id"))


def _hrl(record: dict[str, Any], remark: Remark) -> Draft:
    """HRL-RE: every relation tags all words; its head is `4 1 1 ...`, its tail `5 2 2 ...`."""
    words = Words.split(member(record, "sentext", str))

    def triple(raw: dict[str, Any]) -> Triple:
        tags = parse_members(raw, "tags", int, int)
        if len(tags) != len(words.spans):
            raise Fault(f"{len(tags)} tags for {len(words.spans)} words")
        heads, tails = _tagged(tags, begin=4, inside=1), _tagged(tags, begin=5, inside=2)
        return words.place(_triple(raw, "em1", "rtext", "em2"), heads, tails, remark)

    return Draft(words.text, parse_members(record, "relations", dict, triple))


def _tagged(tags: list[int], begin: int, inside: int) -> Iterator[Span]:
    """The ranges, end excluded, of a `begin` and all `inside` right behind it."""
    for start, tag in enumerate(tags):
        if tag == begin:
            end = start + 1
            while end < len(tags) and tags[end] == inside:
                end += 1
            yield start, end


def _tplinker(record: dict[str, Any], remark: Remark) -> Draft:
    """TPLinker, which repeats a triple for every pair of places; the first pair is taken."""

    def triple(raw: dict[str, Any]) -> Triple:
        spans = span_member(raw, "subj_char_span"), span_member(raw, "obj_char_span")
        return _triple(raw, "subject", "predicate", "object", *spans)

    first: dict[tuple[str, str, str], Triple] = {}
    for stated in parse_members(record, "relation_list", dict, triple):
        if stated.key in first:
            remark(NoteKind.REPEATED, quote(stated.key))
        first.setdefault(stated.key, stated)
    return Draft(member(record, "text", str), list(first.values()), _own_id(record, "id"))


def _jointer(record: dict[str, Any], remark: Remark) -> Draft:
    """JointER (ETL-Span): `spo_details`, if there, has the tokens of the triples of `spo_list`."""
    words = Words.join(parse_members(record, "tokens", str, str))
    triples = parse_members(record, "spo_list", list, _triple_of_names)
    if "spo_details" in record:
        places = parse_members(record, "spo_details", list, _places)
        if len(places) == len(triples):
            triples = [
                words.place(triple, [head], [tail], remark)
                for triple, (head, tail) in zip(triples, places, strict=True)
            ]
        else:
            remark(NoteKind.MISPLACED, f"{len(places)} positions for {len(triples)} triples")
    return Draft(words.text, triples)


def _places(details: list[Any]) -> tuple[Span, Span]:
    """Token ranges of `[head start, end, type, relation, tail start, end, type]`."""
    if [type(detail) for detail in details] != [int, int, str, str, int, int, str]:
        raise Fault(f"it must be [int, int, str, str, int, int, str], not {quote(details)}")
    return (details[0], details[1]), (details[4], details[5])


def _jsonl(record: dict[str, Any], remark: Remark) -> Draft:
    """grel's own records, to have them checked and their missing spans filled in."""
    document = parse_record(record)
    return Draft(document.text, list(document.triples), document.id, document.other)


def _triple(
    raw: dict[str, Any],
    head: str,
    relation: str,
    tail: str,
    head_span: Span | None = None,
    tail_span: Span | None = None,
) -> Triple:
    """The triple whose parts stand under the three names."""
    names = member(raw, head, str), member(raw, relation, str), member(raw, tail, str)
    return Triple(*names, head_span, tail_span)


def _triple_of_names(names: list[Any]) -> Triple:
    if [type(name) for name in names] != [str, str, str]:
        raise Fault(f"it must be [head, relation, tail], three strings, not {quote(names)}")
    return Triple(*names)


def _own_id(record: dict[str, Any], name: str) -> str | None:
    if name not in record:
        return None
    id = record[name]
    return str(id) if type(id) is int else expect(id, str, f"field {name!r}")


def _read_ptrnet(
    path: str | Path,
    *,
    relations: Collection[str] | None = None,
    on_error: OnError | None = None,
    on_note: OnNote | None = None,
) -> Iterator[Document]:
    """PtrNet and WordDec (Nayak & Ng 2020): `path` is the stem of two or three parallel files.

    Any of the files may be given for the stem.

    `.sent` has tokens and `.tup` has `head ; tail ; relation | ...`; `.pointer`, if there, has
    `head_start head_end tail_start tail_end relation | ...` in words from 0, ends included. A line
    of `.tup` may be empty, a sentence without triples, one of `.sent` may not.
    """
    files = files_of("ptrnet", path)
    num_lines = {file: sum(1 for _ in numbered_lines(file)) for file in files}
    if len(set(num_lines.values())) > 1:
        counts = ", ".join(f"{Path(file).name} has {n:,}" for file, n in num_lines.items())
        raise RecordError(path, None, f"the files differ in their number of lines: {counts}")

    def parse(item: Item, remark: Remark) -> Draft:
        sentence, tuples, *pointers = item.data.split(_ROW_END)
        with _blaming(files[0], item.line):
            words = Words.split(decode(sentence))
            if not words.spans:
                raise Fault("the sentence is empty")
        with _blaming(files[1], item.line):
            triples = [_tuple(piece) for piece in _pieces(decode(tuples))]
        for row in pointers:
            with _blaming(files[2], item.line):
                places = [_pointer(piece) for piece in _pieces(decode(row))]
                if [relation for *_, relation in places] != [t.relation for t in triples]:
                    raise Fault(f"the relations are not those of {Path(files[1]).name}")
            triples = [
                words.place(triple, [head], [tail], remark)
                for triple, (head, tail, _) in zip(triples, places, strict=True)
            ]
        return Draft(words.text, triples)

    rows = zip(*map(numbered_lines, files), strict=True)
    items = (Item(row[0].line, _ROW_END.join(item.data for item in row)) for row in rows)
    return read_drafts(
        files[1], items, parse, relations=relations, on_error=on_error, on_note=on_note
    )


def files_of(format: str, path: str | Path) -> list[str]:
    """The files that the reader of a format reads for a path."""
    if format != "ptrnet":
        return [str(path)]
    stem = str(path)
    if stem.endswith(_PTRNET) and not Path(f"{stem}.sent").exists():
        stem = stem.rpartition(".")[0]
    sentences, tuples, pointers = (f"{stem}{suffix}" for suffix in _PTRNET)
    return [sentences, tuples, *([pointers] if Path(pointers).exists() else [])]


@contextlib.contextmanager
def _blaming(file: str, line: int) -> Iterator[None]:
    """Says of a Fault that it is in `file`, which is one of several that make up a record."""
    try:
        yield
    except Fault as fault:
        raise RecordError(file, line, str(fault)) from None


def _pieces(line: str) -> list[str]:
    return _BETWEEN_TRIPLES.split(line) if line.strip() else []


def _tuple(piece: str) -> Triple:
    names = [name.strip() for name in _BETWEEN_NAMES.split(piece)]
    if len(names) != 3:
        raise Fault(f"{quote(piece)} is not of the form 'head ; tail ; relation'")
    head, tail, relation = names
    return Triple(head, relation, tail)


def _pointer(piece: str) -> tuple[Span, Span, str]:
    match = re.fullmatch(r"([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9}) (.+)", piece.strip())
    if not match:
        raise Fault(f"{quote(piece)} is not of the form '3 4 0 1 relation'")
    head_start, head_end, tail_start, tail_end = map(int, match.groups()[:4])
    return (head_start, head_end + 1), (tail_start, tail_end + 1), match[5]


READERS: dict[str, Reader] = {
    "ptrnet": _read_ptrnet,
    "copyre": _json_reader(_copyre),
    "casrel": _json_reader(_casrel),
    "spert": _json_reader(_spert),
    "hrl": _json_reader(_hrl),
    "tplinker": _json_reader(_tplinker),
    "jointer": _json_reader(_jointer),
    "jsonl": _json_reader(_jsonl),
}
