"""brat's standoff: a text and, beside it, the lines that annotate it.

`T1<tab>Person 0 9<tab>Ann Moore` is an entity, `R1<tab>Founder Arg1:T1 Arg2:T2` a relation; an
entity in several pieces has several ranges, `0 3;8 13`. A file is one document, and its name the
id. The shared tasks of BioNLP divide what is annotated into `.a1` and `.a2`; both are read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack
from urllib.parse import quote as percent_encoded
from urllib.parse import unquote

from grel.corpora.drafts import Draft, Entity, NoteKind, Options, Remark, read_drafts, stem_of
from grel.corpora.readers.shapes import finite, graph, link, put, scattered_entity
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import decode
from grel.files.reading import Item, numbered_lines, whole
from grel.names import even_blanks
from grel.records import Document, Triple

TEXT = ".txt"
ANNOTATIONS = (".ann", ".a1", ".a2")
SCORE = "score"  # what begins the note on a relation that has a score
_LINE = re.compile(r"[TREAMNW]\d+\t|#[^\t]*\t|\*\t")
_RANGES = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)")
_RELATION = re.compile(r"(\S+) \S+?:(\S+) \S+?:(\S+)\s*")
_SCORED = re.compile(rf"AnnotatorNotes (R\d+)\t{SCORE} (\S+)")
_LONGEST_NAME = 200


def files_of(path: str | Path) -> list[str]:
    """The text and its annotations, of which any may be given, or what they have in common."""
    stem = Path(path)
    if stem.suffix in (TEXT, *ANNOTATIONS):
        stem = stem.with_suffix("")
    annotations = [f"{stem}{suffix}" for suffix in ANNOTATIONS]
    return [f"{stem}{TEXT}", *([a for a in annotations if Path(a).exists()] or annotations[:1])]


def encoded(label: str) -> str:
    """A label as the name of a type, without blanks and separators; `id_of` undoes it."""
    name = percent_encoded(label, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def name_of(id: str) -> str:
    """An id as the name of a file, which leads to nowhere but its folder; `id_of` undoes it.

    One that is too long for a file is cut, and then is its own id.
    """
    name = encoded(id)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 20]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def id_of(name: str) -> str:
    """What a name of a file or type stands for: itself, unless it was written here."""
    id = unquote(name)
    return id if encoded(id) == name else name


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """The one document of a text and its annotations."""
    text_file, *annotation_files = files_of(path)
    stem = stem_of(text_file, options)
    folder, _, name = stem.rpartition("/")
    id = f"{folder}/{id_of(name)}" if folder else id_of(name)

    def parse(item: Item, remark: Remark) -> Draft:
        standoff = _Standoff(decode(item.data), remark)
        for file in annotation_files:
            for line in numbered_lines(file):
                try:
                    standoff.add(decode(line.data))
                except Fault as fault:
                    raise RecordError(file, line.line, str(fault)) from None
        return standoff.draft(id)

    return read_drafts(text_file, [Item(1, whole(text_file, keep_mark=True))], parse, **options)


class _Standoff:
    """The lines read so far; what they point at may come after them."""

    def __init__(self, text: str, remark: Remark):
        self._text, self._remark = text, remark
        self._entities: dict[str, Entity] = {}
        self._triggers: dict[str, str] = {}
        self._relations: dict[str, tuple[str, str, str]] = {}
        self._scores: dict[str, float] = {}

    def add(self, line: str) -> None:
        if not line.strip():
            return
        if not _LINE.match(line):
            raise Fault(f"{quote(line)} is no line of brat's")
        key, _, rest = line.partition("\t")
        if key[0] == "T":
            put(self._entities, key, self._entity(rest))
        elif key[0] == "R":
            if not (match := _RELATION.fullmatch(rest)):
                raise Fault(f"{quote(rest)} is not of the form 'Type Arg1:T1 Arg2:T2'")
            put(self._relations, key, (id_of(match[1]), match[2], match[3]))
        elif key[0] == "#" and (match := _SCORED.fullmatch(rest)):
            put(self._scores, match[1], finite(match[2]))
        else:
            if key[0] == "E":
                # Its place is that of what triggers it, for relations that it is an end of.
                put(self._triggers, key, rest.partition(" ")[0].partition(":")[2])
            self._remark(NoteKind.OTHER, quote(line))

    def _entity(self, rest: str) -> Entity:
        place, _, said = rest.partition("\t")
        if not (match := _RANGES.fullmatch(place)):
            raise Fault(f"{quote(place)} is not of the form 'Type 0 9'")
        offsets = [tuple(map(int, ends.split())) for ends in match[2].split(";")]
        type = id_of(match[1])
        entity = scattered_entity(self._text, [(start, end) for start, end in offsets], type)
        if said.strip() and even_blanks(said.strip()) != even_blanks(entity.text.strip()):
            self._remark(NoteKind.MISPLACED, quote(said))
            return Entity(said, type, None)
        return entity

    def draft(self, id: str) -> Draft:
        ends = dict(self._entities)
        ends |= {key: ends[t] for key, t in self._triggers.items() if t in ends}
        triples: list[Triple] = []
        for key, (label, head, tail) in self._relations.items():
            try:
                triple = link(ends, (head, tail), label)
            except Fault as fault:
                raise Fault(f"{key}: {fault}") from None
            triples.append(dataclasses.replace(triple, score=self._scores.get(key)))
        return graph(self._text, self._entities.values(), triples, id)
