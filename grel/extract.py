"""Extraction: texts in, documents with triples, places and scores out.

Names are never taken from the vocabulary where they can be taken from the text: wordpieces that
stand in the source are looked up there and cut out by their character offsets, so that casing,
accents and spacing are those of the sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grel import bio, linearize, parallel
from grel.checkpoint import FOLDERS, CheckpointError, Checkpoints
from grel.decoding.driver import Decoder, Written
from grel.records import Document, Span, Triple
from grel.system import System
from grel.wordpiece import Encoding, Wordpiece


@dataclasses.dataclass(frozen=True)
class Tally:
    """What went wrong while writing; add them up over documents.

    Attributes:
        malformed: pieces of the output that were not `head ; tail ; relation`.
        unknown_relation: triples dropped because their relation is not in the schema.
        not_in_text: entities written that do not stand in the sentence.
        unended: sentences whose output was still going on at the longest length.
        cut: sentences of which the model saw only the beginning.
    """

    malformed: int = 0
    unknown_relation: int = 0
    not_in_text: int = 0
    unended: int = 0
    cut: int = 0

    def __add__(self, other: Tally) -> Tally:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Tally(*(a + b for a, b in pairs))


def read_output(
    document: Document, source: Encoding, written: Written, wordpiece: Wordpiece
) -> tuple[Document, Tally]:
    """The document with the triples that were written for it, each once, and what went wrong.

    A triple's score is the product of its tokens' probabilities, separators excluded. Of a name
    that stands in the sentence several times, the first place is given.
    """
    ids = [int(i) for i in written.ids]
    parsed = linearize.parse(ids, wordpiece.part_end_id, wordpiece.triple_end_id)
    triples: dict[tuple[str, str, str], Triple] = {}
    num_unknown = num_foreign = 0
    for slots in parsed.triples:
        relation = wordpiece.relation(ids[slots.relation])
        if relation is None:
            num_unknown += 1
            continue
        names, spans = [], []
        for slot in (slots.head, slots.tail):
            span = place(ids[slot], source, document.text)
            spans.append(span)
            names.append(document.text[slice(*span)] if span else wordpiece.decode(ids[slot]))
        num_foreign += spans.count(None)
        score = math.exp(sum(float(written.log_probs[slot].sum()) for slot in slots))
        triple = Triple(names[0], relation, names[1], *spans, score=min(score, 1.0))
        triples.setdefault(triple.key, triple)
    tally = Tally(
        malformed=parsed.num_malformed,
        unknown_relation=num_unknown,
        not_in_text=num_foreign,
        unended=int(not written.ended),
        cut=int(written.num_cut > 0),
    )
    return dataclasses.replace(document, triples=tuple(triples.values())), tally


def place(ids: Sequence[int], source: Encoding, text: str) -> Span | None:
    """Characters of the first place where these wordpieces stand in the source, if there is one."""
    starts = bio.occurrences(source.ids, ids)
    if not starts:
        return None
    start, end = source.offsets[starts[0]][0], source.offsets[starts[0] + len(ids) - 1][1]
    # An accent that is a character of its own lies outside the wordpieces of an uncased vocabulary.
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return start, end


def extract(
    decoder: Decoder, params: Any, wordpiece: Wordpiece, documents: Sequence[Document]
) -> tuple[list[Document], Tally]:
    """The same documents with extracted instead of given triples, and what went wrong.

    `params` are replicated over the devices.
    """
    encodings = wordpiece.encode_batch([document.text for document in documents])
    written = decoder(params, [encoding.ids for encoding in encodings])
    read = [read_output(*one, wordpiece) for one in zip(documents, encodings, written, strict=True)]
    return [document for document, _ in read], sum((tally for _, tally in read), Tally())


class Extractor:
    """Extracts triples from texts with a trained model.

    Args:
        system: the model's system.
        params: its parameters, as host arrays.
        overrides: replace fields of `config.decoding`, such as `copy="off"`.
    """

    def __init__(self, system: System, params: Any, **overrides: Any):
        self.system = system
        self._decoder = system.decoder(**overrides)
        self._params = parallel.replicate(params)

    @classmethod
    def from_checkpoint(
        cls, workdir: str | Path, checkpoint: str = "best", **overrides: Any
    ) -> Extractor:
        """Opens the "best" or the "latest" checkpoint of a training run.

        Raises CheckpointError where there is none or it is damaged.
        """
        system, params, _ = load(workdir, checkpoint)
        return cls(system, params, **overrides)

    def __call__(self, texts: Sequence[str]) -> list[Document]:
        """A document for each text, with ids "0", "1", ..."""
        return self.documents([Document(str(i), text) for i, text in enumerate(texts)])[0]

    def documents(self, documents: Sequence[Document]) -> tuple[list[Document], Tally]:
        """The same documents with extracted instead of given triples, and what went wrong."""
        return extract(self._decoder, self._params, self.system.wordpiece, documents)


def load(workdir: str | Path, checkpoint: str) -> tuple[System, Any, dict[str, Any]]:
    """System, host parameters and `about` of a run's "best" or "latest" checkpoint."""
    folder = Path(workdir) / FOLDERS[checkpoint]
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; train first, or check --workdir")
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        about = checkpoints.about()
        system = System.from_about(about)
        return system, checkpoints.params(system.params_like()), about
