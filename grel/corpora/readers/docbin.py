"""spaCy's DocBin (`.spacy`), which needs spaCy; it is msgpack, compressed, and no pickle.

Entities are `doc.ents` and all of `doc.spans`, but for the ends of triples that the component
"grel" marks there. spaCy itself has no relations: they are read from where grel writes them,
`doc._.triples`, or else from `doc._.rel`, which spaCy's tutorial on relations uses: `{(first token
of head, of tail): {label: score}}`. A score under one half says there that the pair has the label
not.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from grel.corpora.drafts import Draft, Entity, Options, read_drafts
from grel.corpora.readers.shapes import graph, link, members_of, text_entity
from grel.errors import MissingLibraryError
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import expect
from grel.files.reading import MAX_FILE_BYTES, Item, whole
from grel.records import Document, Span, Triple

# Custom attributes of a document, as `doc.user_data` has them.
TRIPLES = ("._.", "triples", None, None)
ID = ("._.", "id", None, None)
REL = ("._.", "rel", None, None)
# The spans that grel writes entities to.
ENTITIES = "entities"
_LEAST_SCORE = 0.5
_NAMES = ("head", "relation", "tail")
_ENDS = frozenset({"head", "tail"})


def library() -> Any:
    """spaCy; MissingLibraryError where it is not installed."""
    try:
        import spacy.tokens
        import spacy.vocab
    except ImportError as error:
        reason = f"the format 'spacy' needs spaCy: pip install spacy ({error})"
        raise MissingLibraryError(reason) from None
    return spacy


def unpacked(data: bytes, max_bytes: int) -> bytes:
    """The first bytes of a DocBin, decompressed; empty where it is none."""
    try:
        return zlib.decompressobj().decompress(data, max_bytes)
    except zlib.error:
        return b""


def read(path: str | Path, **options: Unpack[Options]) -> Iterator[Document]:
    """The documents of a DocBin."""
    spacy = library()
    data = whole(path)
    size = len(unpacked(data, MAX_FILE_BYTES + 1))
    if not 0 < size <= MAX_FILE_BYTES:
        reason = "it is no DocBin" if not size else f"longer than {MAX_FILE_BYTES:,} bytes"
        raise RecordError(path, None, reason)
    try:
        docs = list(spacy.tokens.DocBin().from_bytes(data).get_docs(spacy.vocab.Vocab()))
    except Exception as error:  # of msgpack, NumPy or spaCy, as it comes
        raise RecordError(path, None, _unreadable(error)) from None
    items = (Item(number, doc, number) for number, doc in enumerate(docs, start=1))
    return read_drafts(path, items, lambda item, _: _draft(item.data), **options)


def _unreadable(error: Exception) -> str:
    return f"spaCy cannot read it: {next(iter(str(error).splitlines()), repr(error))}"


def _draft(doc: Any) -> Draft:
    try:
        text = doc.text
        ents = [_entity(span) for span in doc.ents]
        others = [_entity(span) for group in _groups(doc) for span in group]
    except Exception as error:  # of spaCy, as it comes: labels are looked up only here
        raise Fault(_unreadable(error)) from None
    entities = [entity for _, entity in (*ents, *others) if entity.text]
    id = doc.user_data.get(ID)
    triples = _triples(text, doc.user_data, _Ends.of(ents, others))
    return graph(text, entities, triples, id if isinstance(id, str) else None)


def _groups(doc: Any) -> Iterator[Any]:
    """Those of `doc.spans` whose labels are types, and not the parts that names have in triples."""
    for name, group in doc.spans.items():
        labels = {span.label_ for span in group}
        if name == ENTITIES or TRIPLES not in doc.user_data or labels - _ENDS:
            yield group


def _entity(span: Any) -> tuple[int, Entity]:
    """The number of its first token, and the entity."""
    return span.start, Entity(span.text, span.label_, (span.start_char, span.end_char))


class _Ends(NamedTuple):
    """Entities by their first tokens, by which `doc._.rel` knows them.

    Where several begin at a token, the one in `doc.ents` is meant, of which no two can; where that
    has none, it is `unclear` which is.
    """

    entities: dict[int, Entity]
    unclear: frozenset[int]

    @classmethod
    def of(cls, ents: list[tuple[int, Entity]], others: list[tuple[int, Entity]]) -> _Ends:
        """The ends that relations of a document may have."""
        entities = dict(ents)
        several = set()
        for first, entity in others:
            if entities.setdefault(first, entity).span != entity.span:
                several.add(first)
        return cls(entities, frozenset(several - dict(ents).keys()))


def _triples(text: str, user_data: Mapping[Any, Any], ends: _Ends) -> list[Triple]:
    if TRIPLES in user_data:
        return [_stated(text, raw) for raw in _sequence(user_data[TRIPLES])]
    relations = expect(user_data.get(REL, {}), dict, "doc._.rel")
    triples = []
    for pair, labels in relations.items():
        for label, score in _scores(labels):
            if score is None or score >= _LEAST_SCORE:
                head, tail = _pair(pair)
                if unclear := sorted(ends.unclear & {head, tail}):
                    reason = f"several entities begin at token {unclear[0]}"
                    raise Fault(f"doc._.rel: {reason}; put the one meant in doc.ents")
                triple = link(ends.entities, (head, tail), label)
                triples.append(dataclasses.replace(triple, score=score))
    return triples


def _scores(labels: Any) -> list[tuple[str, float | None]]:
    if isinstance(labels, str):
        return [(labels, None)]
    scores = expect(labels, dict, "doc._.rel: labels of a pair")
    return [(expect(name, str, "doc._.rel: a label"), _score(s)) for name, s in scores.items()]


def _score(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Fault(f"{quote(value)} is no finite number")
    return float(value)


def _stated(text: str, raw: Any) -> Triple:
    if not isinstance(raw, Mapping):
        raise Fault(f"doc._.triples: {quote(raw)} is no triple")
    head, relation, tail = (expect(raw.get(name), str, f"doc._.triples: {name}") for name in _NAMES)

    def value(name: str, parse: Callable[[Any], Any]) -> Any:
        return None if raw.get(name) is None else parse(raw[name])

    def place(span: Any) -> Span:
        start, end = _pair(span)
        text_entity(text, (start, end), "")
        return start, end

    def places(spans: Any) -> tuple[Span, ...]:
        return tuple(map(place, _sequence(spans)))

    return Triple(
        *(head, relation, tail),
        head_span=value("head_span", place),
        tail_span=value("tail_span", place),
        score=value("score", _score),
        score_per_token=value("score_per_token", _score),
        head_spans=value("head_spans", places) or (),
        tail_spans=value("tail_spans", places) or (),
    )


def _sequence(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise Fault(f"{quote(value)} is no list")
    return value


def _pair(value: Any) -> tuple[int, int]:
    first, second = members_of(list(_sequence(value)), int, int)
    return first, second
