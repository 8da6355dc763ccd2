"""A small vocabulary and outputs written by hand, for tests of everything around the decoder."""

import dataclasses

import numpy as np

from grel.extraction.reading import Extraction
from grel.families.writer import Tally
from grel.files.parsing import MAX_LINE_BYTES
from grel.records import Triple

LIVES, BORN = "/people/person/place_lived", "/people/person/place_of_birth"
PIECES = "ann moore ##s in new york medellin the ##ville . , place _ lived of birth"


# Imports stand in functions here where a process that is to be killed can do without the seconds.
def make_wordpiece():
    from grel.text.wordpiece import SPECIAL, Wordpiece

    vocabulary = [*SPECIAL, "[unused0]", "[unused1]", *PIECES.split()]
    return Wordpiece(vocabulary, [LIVES, BORN], lowercase=True)


def write(wordpiece, output, *, probabilities=(), positions=None, ended=True, num_cut=0):
    """Wordpieces, `;` and `|` as the decoder gives them; all certain, or of these probabilities.

    `positions` are where each token was copied from, nowhere if not given.
    """
    from grel.decoding.driver import Written

    reserved = {";": wordpiece.part_end_id, "|": wordpiece.triple_end_id}
    ids = [reserved.get(token) or wordpiece.vocabulary.index(token) for token in output.split()]
    positions = [-1] * len(ids) if positions is None else positions
    return Written(
        ids=np.array(ids, np.int32),
        labels=np.zeros(len(ids), np.int32),
        log_probs=np.log(probabilities or np.ones(len(ids))).astype(np.float32),
        positions=np.array(positions, np.int32),
        attended=np.full(len(ids), -1, np.int32),
        ended=ended,
        num_cut=num_cut,
    )


class FakeExtractor:
    """Extracts from each text that its first word lives in its last one, and remembers the ids.

    A text that says so is handled in a way of its own: `long` gives names that fill a line,
    `everywhere` gives places that do, `cut` is cut, `windowed` is, and `?` is an unknown wordpiece.
    """

    def __init__(self, **identity):
        self._identity = identity
        self.extracted = []
        self.chunk_sizes = []

    def extractions(self, documents):
        self.chunk_sizes.append(len(documents))
        return [self._extract(document) for document in documents]

    def _extract(self, document):
        self.extracted.append(document.id)
        words = document.text.split()
        head = "x" * MAX_LINE_BYTES if "long" in words else words[0]
        triple = Triple(head, LIVES, words[-1], score=0.5)
        if "everywhere" in words:
            places = ((0, len(head)), *((n, n) for n in range(MAX_LINE_BYTES // 16)))
            triple = dataclasses.replace(triple, head_span=places[0], head_spans=places)
        tally = Tally(
            cut=int("cut" in words),
            windowed=int("windowed" in words),
            unknown_tokens=words.count("?"),
        )
        return Extraction(dataclasses.replace(document, triples=(triple,)), tally, ())

    def traces(self, extraction):
        return [{"id": extraction.document.id, "é": n} for n in range(2)]

    def identity(self):
        return self._identity
