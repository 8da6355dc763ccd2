"""INCEpTION's and WebAnno's TSV 3: a line for each token, and columns for the layers on it.

The header names the layers: `#T_SP=Layer|feature|...` of spans, `#T_RL=Layer|feature|...|BT_Base`
of relations between spans of the layer Base. A cell has `_` for nothing, `*` for an annotation
without a value, `|` between annotations at the same place, and behind a value `[7]`, the number by
which the lines of one annotation belong together. A relation stands on the line of its target, and
its last column names the source: its first token, and `[source_target]` if they have numbers.
Offsets count as Java does. A file is one document.
Source: the appendix on file formats in INCEpTION's user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Unpack

from grel.corpora.drafts import Draft, NoteKind, Options, Remark, read_drafts, stem_of
from grel.corpora.readers.shapes import UnitOffsets, graph, link, put, scattered_entity, text_entity
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import decode
from grel.files.reading import Item, whole
from grel.records import Document, Span, Triple

MARK = "#FORMAT=WebAnno TSV 3"
_TOKEN = ".segmentation.type.Token"
# Layers of the preprocessing, which say of words what they are and name nothing.
_LINGUISTIC = (".lexmorph.", ".segmentation.", ".syntax.", ".morph.")
_ROW = re.compile(r"(\d{1,9}-\d{1,9}(?:\.\d{1,9})?)\t(\d{1,9})-(\d{1,9})\t")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}
_NUMBERED = re.compile(r"(.*?)(?<!\\)\[(\d{1,9})\]", re.DOTALL)
_SOURCE = re.compile(r"(\d{1,9}-\d{1,9}(?:\.\d{1,9})?)(?:\[(\d{1,9})_(\d{1,9})\])?")
_WIDEST_GAP = 10_000
_BETWEEN = re.compile(r"(?<!\\)\|")


class _Layer(NamedTuple):
    """A layer, its first column, and the names of its features; `base` is that of relations."""

    name: str
    start: int
    features: tuple[str, ...]
    base: str | None = None

    @property
    def is_linguistic(self) -> bool:
        return any(part in self.name for part in _LINGUISTIC)


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """The one document of a file."""
    id = stem_of(path, options)

    def parse(item: Item, remark: Remark) -> Draft:
        sheet = _Sheet(remark)
        for line, data in enumerate(item.data.splitlines(), start=1):
            try:
                sheet.add(decode(data))
            except Fault as fault:
                raise RecordError(path, line, str(fault)) from None
        return sheet.draft(id)

    return read_drafts(path, [Item(1, whole(path))], parse, **options)


class _Sheet:
    """The lines read so far."""

    def __init__(self, remark: Remark):
        self._remark = remark
        self._layers: list[_Layer] = []
        self._num_columns = 0
        self._pieces: list[str] = []
        self._units = 0
        self._sentence: list[str] = []
        self._tokens: dict[str, tuple[str, Span]] = {}
        # Of an annotation, known by its layer and its number, or its token: places and label.
        self._spans: dict[tuple[str, str], tuple[list[Span], str]] = {}
        self._links: list[tuple[_Layer, str, str, str]] = []  # layer, label, source, target token

    def add(self, line: str) -> None:
        if line.startswith("#T_"):
            self._add_layer(line)
        elif line.startswith("#Text="):
            self._sentence.append(_unescaped(line.removeprefix("#Text=")))
        elif line.strip() and not line.startswith("#"):
            self._add_row(line)

    def _add_layer(self, line: str) -> None:
        kind, _, content = line.partition("=")
        name, *features = content.split("|")
        base = features.pop().removeprefix("BT_") if kind == "#T_RL" and features else None
        if kind == "#T_CH" or (kind == "#T_RL" and base is None):
            self._remark(NoteKind.OTHER, f"layer {quote(name)}")
        else:
            layer = _Layer(name, self._num_columns, tuple(features), base)
            self._layers.append(layer)
            if layer.is_linguistic:
                self._remark(NoteKind.OTHER, f"layer {quote(name)}")
        self._num_columns += max(1, len(features) + (base is not None))

    def _add_row(self, line: str) -> None:
        if not (match := _ROW.match(line)):
            raise Fault(f"{quote(line)} does not begin with '1-1', '0-3' and a token")
        token, (start, end) = match[1], (int(match[2]), int(match[3]))
        form, *cells = line[match.end() :].split("\t")
        self._add_text(_unescaped(form), start)
        put(self._tokens, token, (_unescaped(form), (start, end)))
        if len(cells) < self._num_columns:
            raise Fault(f"{len(cells)} columns for {self._num_columns} in the header")
        for layer in self._layers:
            if not layer.is_linguistic:
                self._add_cells(layer, token, cells)

    def _add_text(self, form: str, start: int) -> None:
        """The text of a sentence, once its first token says where it begins."""
        if not self._sentence:
            return
        text, self._sentence = "\n".join(self._sentence), []
        place = text.find(form)
        before = text[: max(place, 0)]
        gap = start - _num_units(before) - self._units
        if place < 0 or gap < 0:
            raise Fault(f"{quote(form)} does not stand at {start}, by the text of the sentence")
        if gap > _WIDEST_GAP:
            raise Fault(f"{quote(form)} stands {gap:,} characters behind the sentence before")
        self._pieces += [" " * gap, text]
        self._units += gap + _num_units(text)

    def _add_cells(self, layer: _Layer, token: str, cells: list[str]) -> None:
        columns = cells[layer.start : layer.start + max(1, len(layer.features))]
        if layer.base is not None:
            sources = cells[layer.start + len(layer.features)]
            if sources != "_":
                features = [_stacked(column) for column in columns[: len(layer.features)]]
                for number, source in enumerate(_BETWEEN.split(sources)):
                    label = _label(layer, [f[number][0] for f in features if number < len(f)])
                    self._links.append((layer, label, source, token))
            return
        features = [_stacked(column) for column in columns]
        for number, (_, key) in enumerate(features[0]):
            label = _label(layer, [f[number][0] for f in features if number < len(f)])
            places, first = self._spans.setdefault((layer.name, key or token), ([], label))
            if label != first:
                self._remark(NoteKind.OTHER, f"second label {quote(label)}")
            places.append(self._tokens[token][1])

    def draft(self, id: str) -> Draft:
        text = "".join(self._pieces)
        offsets = UnitOffsets.of(text)
        tokens = {token: offsets.characters(place) for token, (_, place) in self._tokens.items()}
        for token, (form, _) in self._tokens.items():
            if (stated := text[slice(*tokens[token])]) != form:
                raise Fault(f"token {token} is {quote(form)}, but the text has {quote(stated)}")
        entities = {}
        for (layer_name, key), (stated_places, label) in self._spans.items():
            # An annotation may be of no width, between two characters.
            places = [offsets.characters(place) for place in stated_places if place[0] < place[1]]
            if places:
                entities[layer_name, key] = scattered_entity(text, places, label)
            else:
                self._remark(NoteKind.OTHER, f"{quote(label)} on nothing")
        triples: list[Triple] = []
        for layer, label, source, target in self._links:
            if not (match := _SOURCE.fullmatch(source)):
                raise Fault(f"{quote(source)} is not of the form '1-2' or '1-2[3_4]'")
            ends = {}
            for end, token, key in ((0, match[1], match[2]), (1, target, match[3])):
                place = (str(layer.base), f"[{key}]" if key and int(key) else token)
                if place in entities:
                    ends[end] = entities[place]
                elif _TOKEN in str(layer.base) and token in tokens:
                    ends[end] = text_entity(text, tokens[token], "")
            if len(ends) < 2:
                raise Fault(f"relation {quote(source)} at {target} lacks a span at one of its ends")
            triples.append(link(ends, (0, 1), label))
        return graph(text, entities.values(), triples, id)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: _CONTROLS.get(match[1], match[1]), text)


def _num_units(text: str) -> int:
    return len(text) + sum(char >= "\U00010000" for char in text)


def _stacked(cell: str) -> list[tuple[str, str]]:
    """The values in a cell, `*` for one that is not set, and the number of each, if it has one."""
    if cell in ("_", ""):
        return []
    parts = [_NUMBERED.fullmatch(part) or part for part in _BETWEEN.split(cell)]
    return [(p, "") if isinstance(p, str) else (p[1], f"[{p[2]}]") for p in parts]


def _label(layer: _Layer, values: list[str]) -> str:
    """The value of a feature called so, or of the first that is set, or the layer's name."""
    named = dict(zip(layer.features, values, strict=False))
    choices = [named.get("value", "*"), named.get("label", "*"), *values]
    label = next((value for value in choices if value not in ("*", "_")), None)
    return layer.name.rpartition(".")[2] if label is None else _unescaped(label)
