"""spaCy's DocBin, which needs spaCy: `doc.ents`, `doc.spans["entities"]` and custom attributes.

`doc._.triples` has the triples, with places and scores, and `doc._.rel` those of pairs of entities
as spaCy's tutorial on relations has them; both wait in `doc.user_data` until an extension of the
name is set. Words are runs of letters and digits, cut where an entity begins or ends.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grel.corpora.readers.docbin import ENTITIES, ID, REL, TRIPLES, library
from grel.corpora.writers.shapes import Marked, OnLoss, blaming, marked
from grel.files.faults import Fault
from grel.files.writing import replacing
from grel.records import Document, fields

_WORD = re.compile(r"\w+|\s|[^\w\s]")


def write(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
    """One DocBin of all documents, which are in memory together."""
    spacy = library()
    vocab = spacy.vocab.Vocab()
    packed = spacy.tokens.DocBin(store_user_data=True)
    with replacing(path) as file:
        for document in documents:
            with blaming(path, document):
                content = marked(document, on_loss, has_triples=True)
                packed.add(_doc(spacy, vocab, document, content))
        file.write(packed.to_bytes())


def _doc(spacy: Any, vocab: Any, document: Document, content: Marked) -> Any:
    entities, links = content
    cuts = {end for entity in entities for end in entity.span}
    words, spaces = _words(document.text, cuts)
    doc = spacy.tokens.Doc(vocab, words=words, spaces=spaces)
    spans = [doc.char_span(*entity.span, label=entity.type) for entity in entities]
    if doc.text != document.text or None in spans:
        raise Fault("spaCy has another text for it")
    doc.spans[ENTITIES] = spans
    doc.ents = spacy.util.filter_spans([span for span in spans if span.label_])
    doc.user_data[ID] = document.id
    doc.user_data[TRIPLES] = list(map(fields, document.triples))
    relations: dict[tuple[int, int], dict[str, float]] = {}
    for head, label, tail, score in links:
        pair = spans[head].start, spans[tail].start
        relations.setdefault(pair, {})[label] = 1.0 if score is None else score
    doc.user_data[REL] = relations
    return doc


def _words(text: str, cuts: Iterable[int]) -> tuple[list[str], list[bool]]:
    """The words of a text, and whether a space follows each, which is then no word of its own."""
    ends = {0, *cuts}
    for match in _WORD.finditer(text):
        ends |= {*match.span()}
    places = sorted(ends)
    words: list[str] = []
    spaces: list[bool] = []
    for start, end in itertools.pairwise(places):
        word = text[start:end]
        if word == " " and spaces and not spaces[-1]:
            spaces[-1] = True
        else:
            words.append(word)
            spaces.append(False)
    return words, spaces
