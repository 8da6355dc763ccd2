"""PtrNet and WordDec: parallel files of sentences, tuples and word positions."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from grel.corpora.drafts import Draft, Options, Remark, Words, read_drafts
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import decode
from grel.files.reading import Item, numbered_lines
from grel.records import Document, Span, Triple

SUFFIXES = (".sent", ".tup", ".pointer")
# A separator stands alone: entities may contain these characters.
_BETWEEN_TRIPLES = re.compile(r"(?<!\S)\|(?!\S)")
_BETWEEN_NAMES = re.compile(r"(?<!\S);(?!\S)")
_ROW_END = b"\n"  # the one byte that no line has


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """PtrNet and WordDec (Nayak & Ng 2020): `path` is the stem of two or three parallel files.

    Any of the files may be given for the stem.

    `.sent` has tokens and `.tup` has `head ; tail ; relation | ...`; `.pointer`, if there, has
    `head_start head_end tail_start tail_end relation | ...` in words from 0, ends included. A line
    of `.tup` may be empty, a sentence without triples, one of `.sent` may not.
    """
    files = files_of(path)
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
    return read_drafts(files[1], items, parse, **options)


def files_of(path: str | Path) -> list[str]:
    """The files that belong to a stem, or to one of its files."""
    stem = str(path)
    if stem.endswith(SUFFIXES) and not Path(f"{stem}.sent").exists():
        stem = stem.rpartition(".")[0]
    sentences, tuples, pointers = (f"{stem}{suffix}" for suffix in SUFFIXES)
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
