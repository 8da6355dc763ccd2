"""The look-up: a system without a model, which writes the triples that it knows from training.

It keeps the gold triples of the training split. Of a sentence it takes every known name that stands
there and is not inside of a longer known name that stands there, and writes each known triple
between the names it took. Where labels come from aligning a knowledge base, as with NYT, most facts
of a test split are facts of training, and this is the floor that a trained model has to beat.

A name stands where its words do, and words are what white space parts, as corpora come tokenized. A
triple of a name with itself needs two places. Its `score` is the share of triples like it that were
right in training: see `fit`.

The fields of the configuration that a look-up depends on are `config.LOOKUP_FIELDS`; the others
belong to models, are refused where they were changed, and are recorded nowhere. Its checkpoint has
one array, the known triples as UTF-8 bytes of JSON, so that the digest of arrays covers them.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from grel import config as config_lib
from grel.extraction import reading
from grel.extraction.reading import Extraction, Tally
from grel.extraction.system import read_config
from grel.extraction.texts import TextExtractor, check_texts
from grel.records import Document, Span, Triple
from grel.runs.checkpoint import CheckpointError

_WORD = re.compile(r"\S+")

# (head, relation, tail) -> in how many training sentences it is right, and could be; see `fit`.
Known = dict[tuple[str, str, str], tuple[int, int]]


class Index:
    """Known triples, to be found in texts at a cost that does not grow with their number."""

    def __init__(self, known: Known):
        self._tails: dict[str, dict[str, list[tuple[str, float]]]] = defaultdict(dict)
        self._names = {name for head, _, tail in known for name in (head, tail)}
        for (head, relation, tail), (right, times) in known.items():
            self._tails[head].setdefault(tail, []).append((relation, right / times))
        # By first word, how many words the names have that begin with it, the most first.
        lengths = defaultdict(set)
        for name in self._names:
            first, *rest = name.split()
            lengths[first].add(1 + len(rest))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def places(self, text: str) -> dict[str, list[Span]]:
        """Where known names stand that are not inside of longer ones, from left to right.

        Example: of `New York` and `York`, in `York and New York`, both stand there, in `the New
        York Times` only the first, and in `New Yorkers` none.
        """
        words = [match.span() for match in _WORD.finditer(text)]
        places: dict[str, list[Span]] = {}
        furthest = 0
        for number, (start, first_end) in enumerate(words):
            for length in self._lengths.get(text[start:first_end], ()):
                if number + length > len(words):
                    continue
                end = words[number + length - 1][1]
                if (name := text[start:end]) in self._names:
                    # One that began before and reaches as far has this one inside of it, and those
                    # that begin here and are shorter lie inside of this one.
                    if end > furthest:
                        places.setdefault(name, []).append((start, end))
                        furthest = end
                    break
        return places

    def triples(self, text: str) -> list[Triple]:
        """The known triples between the names that stand in the text, by place of head and tail."""
        places = self.places(text)
        triples = []
        for head, (place, *others) in places.items():
            tails = self._tails.get(head, {})
            for tail in places if len(places) < len(tails) else tails:
                if tail not in places or tail not in tails or (head == tail and not others):
                    continue
                tail_place = places[tail][0] if head != tail else others[0]
                triples += (
                    Triple(head, relation, tail, place, tail_place, score=score)
                    for relation, score in tails[tail]
                )
        triples.sort(key=lambda t: (t.head_span, t.tail_span, t.relation))
        return list(reading.with_all_places(text, triples))


def fit(documents: Sequence[Document]) -> Known:
    """All triples of the documents, sorted, and what is to be expected of them.

    For each one, in how many documents it is right, of how many that have it or are written it: the
    share is the probability that it is right where its names stand. A document that has a triple
    counts for it also where its names are spelled otherwise or stand inside of longer ones.
    """
    has = [{triple.key for triple in document.triples} for document in documents]
    right = Counter(key for keys in has for key in keys)
    index = Index(dict.fromkeys(right, (1, 1)))
    times = Counter(right)
    for document, keys in zip(documents, has, strict=True):
        times.update({triple.key for triple in index.triples(document.text)} - keys)
    return {key: (right[key], times[key]) for key in sorted(right)}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything of a look-up but the triples; `num_bytes` is the size of their array."""

    config: ml_collections.ConfigDict
    num_bytes: int

    def about(self) -> dict[str, Any]:
        """What `from_about` needs, as JSON."""
        return {"config": self.config.to_json(), "num_bytes": self.num_bytes}

    @classmethod
    def from_about(cls, about: dict[str, Any]) -> System:
        """The system that `about` describes.

        Raises CheckpointError or ConfigError, as `system.read_config` does, where there is none.
        """
        if type(size := about.get("num_bytes")) is not int or size < 0:
            raise CheckpointError("the checkpoint's about is damaged: num_bytes is no size")
        return cls(read_config(about, "the checkpoint"), size)

    def params_like(self) -> dict[str, np.ndarray]:
        """Shape and type of the array of triples."""
        return {"triples": np.zeros(self.num_bytes, np.uint8)}


def to_params(known: Known) -> dict[str, np.ndarray]:
    """The triples as a checkpoint holds them."""
    rows = [[*key, *counts] for key, counts in known.items()]
    data = json.dumps(rows, ensure_ascii=False).encode()
    return {"triples": np.frombuffer(data, np.uint8)}


def from_params(params: Mapping[str, np.ndarray]) -> Known:
    """What `to_params` was given."""
    rows = json.loads(params["triples"].tobytes())
    return {(head, relation, tail): (right, times) for head, relation, tail, right, times in rows}


class Lookup(TextExtractor):
    """Extracts the triples of a look-up; may be called from several threads.

    Args:
        system, params: as `extractor.load` returns them.
        windows: is without effect, as texts of any length are read whole.
        min_score: triples with a lower `score` are dropped and counted.

    Raises:
        ConfigError: an option does not exist or has no such value.
    """

    def __init__(
        self,
        system: System,
        params: Mapping[str, np.ndarray],
        *,
        windows: bool = True,
        min_score: float = 0.0,
        **others: Any,
    ):
        del windows
        if others:
            raise config_lib.ConfigError(
                f"unknown option {min(others)!r}; of a look-up there are windows, min_score"
            )
        config_lib.check_min_score(min_score)
        self.system = system
        known = from_params(params)
        self._relations = tuple(sorted({relation for _, relation, _ in known}))
        self._wanted = frozenset(self._relations)
        self._index = Index(known)
        self._min_score = min_score
        self._digest = hashlib.sha256(params["triples"].tobytes()).hexdigest()

    @property
    def relations(self) -> Sequence[str]:
        """All relations of the known triples."""
        return self._relations

    def restricted(self, relations: Sequence[str]) -> Lookup:
        """The same look-up for these relations only; raises ConfigError where one is unknown."""
        if unknown := sorted(set(relations) - set(self._relations)):
            raise config_lib.ConfigError(
                f"unknown relation {unknown[0]!r}; one of {', '.join(self._relations)}"
            )
        if not relations:
            raise config_lib.ConfigError("there are no relations to write; name some")
        other = copy.copy(self)
        other._wanted = frozenset(relations)
        return other

    def balanced(self, end_bias: float, min_score: float) -> Lookup:
        """See `TextExtractor.balanced`; there is no end to bias."""
        if end_bias:
            raise config_lib.ConfigError("a look-up writes no end: end_bias must be 0")
        config_lib.check_min_score(min_score)
        other = copy.copy(self)
        other._min_score = min_score
        return other

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]:
        """The same documents with looked-up triples one by one; nothing else can go wrong."""
        check_texts(documents)
        return [self._extraction(document) for document in documents]

    def _extraction(self, document: Document) -> Extraction:
        wanted = [t for t in self._index.triples(document.text) if t.relation in self._wanted]
        kept = tuple(triple for triple in wanted if triple.score >= self._min_score)
        tally = Tally(below_min_score=len(wanted) - len(kept))
        return Extraction(dataclasses.replace(document, triples=kept), tally, ())

    def alternatives(self, extraction: Extraction) -> list[Document]:
        """None: there is one output for a text."""
        del extraction
        return []

    def traces(self, extraction: Extraction) -> list[dict[str, Any]]:
        """Raises ConfigError: nothing is written step by step."""
        del extraction
        raise config_lib.ConfigError("a look-up has no steps to trace; leave out --trace")

    def identity(self) -> dict[str, Any]:
        """JSON that is the same for two extractors only if they extract the same."""
        return {
            "family": config_lib.LOOKUP,
            "triples": self._digest,
            "min_score": self._min_score,
            "relations": sorted(self._wanted),
        }
