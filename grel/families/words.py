"""What word-level families share: tokenizer, examples in columns, and the writer that points.

The systems before pretrained encoders read whole words, with a vocabulary and vectors of their own.
Source: Nayak and Ng (2020), Zeng et al. (2018, 2020), Chen et al. (2019).
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
import logging
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import ml_collections
import numpy as np

from grel import parallel, records
from grel.data import features
from grel.data.columns import ColumnBatches, Example, Padded
from grel.decoding import batching
from grel.decoding.pointers import Found
from grel.errors import ConfigError, expand_home
from grel.families import base
from grel.families.base import Prepared, Splits
from grel.families.writer import Tally
from grel.fields import Fields
from grel.pretrained.report import Report
from grel.records import Document, Span, Triple
from grel.text.vectors import read_vectors
from grel.text.words import Encoding, Words, word_span

_LOG = logging.getLogger(__name__)

# Beside those of `data.features`: in an order drawn once for each document, as the authors do.
ORDERS = ("shuffled", *features.ORDERS)

FIELDS = Fields(
    {
        "data.buckets": (16, 24, 32, 48, 64, 100),  # numbers of words to pad to
        # Of triples: drawn once, or as in the "file", or by "position", or "relation" first.
        "data.order": "shuffled",
        "tokenizer.min_count": 2,  # words seen less often in training are unknown
        "tokenizer.vectors": "",  # of words: a file of word2vec, GloVe or fastText; "" is random
    },
    {"data.order": ORDERS},
    {"tokenizer.min_count": (1, math.inf)},
)
# Of those that point at words, which write all triples at once.
POINTER_FIELDS = Fields({"decoding.batch_size": 64}, {}, {"decoding.batch_size": (1, math.inf)})


class Placed(NamedTuple):
    """A triple of a document.

    Attributes:
        relation: its number in the schema.
        head, tail: where the text has the names, `[start, end)` in words.
    """

    relation: int
    head: Span
    tail: Span


@dataclasses.dataclass(frozen=True)
class System(base.Trained):
    """A word-level system.

    Attributes:
        config: the whole configuration.
        words: tokenizer and relation schema.
        model: the network's shape and behavior.
    """

    # Where among the parameters the word vectors are.
    VECTORS: ClassVar[tuple[str, ...]] = ("encoder", "words", "embedding")

    config: ml_collections.ConfigDict
    words: Words
    model: Any

    @abc.abstractmethod
    def examples(
        self, text: str, encoding: Encoding, triples: Sequence[Triple]
    ) -> Iterator[Example]:
        """What is learned from a document; nothing where the family can't learn from it."""

    def num_untaught(self, triples: Sequence[Triple]) -> int:
        """How many of a document's triples its examples have no room for."""
        del triples
        return 0

    @abc.abstractmethod
    def batch(self, padded: Padded) -> Any:
        """The network's batch of padded examples."""

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> None:
        """Refuses buckets that do not ascend, and a shape that the network can't have."""
        buckets = fields["data.buckets"]
        if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 1:
            raise ConfigError(f"config.data.buckets is {buckets}; it must ascend from 1 or more")
        shape = cls.NETWORK.Config
        given = {name.removeprefix("model."): value for name, value in fields.items()}
        try:
            # What is no field is a size that the data will have; any will do here.
            shape(**{field.name: given.get(field.name, 1) for field in dataclasses.fields(shape)})
        except ValueError as error:
            raise ConfigError(f"config.model: {error}") from None

    @classmethod
    def learn(
        cls,
        config: ml_collections.ConfigDict,
        splits: Splits,
        earlier: Mapping[str, Any] | None = None,
    ) -> System:
        """With the words of "train", and the relations of all splits."""
        if earlier is not None:
            return cls.from_about(config, earlier)
        words = Words.train(
            (document.text for document in splits["train"]),
            records.relations(itertools.chain.from_iterable(splits.values())),
            min_count=config.tokenizer.min_count,
            # Systems that copy by position need none to be told apart.
            num_unknown=config.tokenizer.get("num_unknown", 0),
        )
        return cls.build(config, words)

    @classmethod
    def build(cls, config: ml_collections.ConfigDict, words: Words) -> System:
        """A system for a checked configuration, with these words.

        Of the fields of the network's `Config`, those that are not in `config.model` are sizes that
        words and buckets have.
        """
        known = {
            **config.model.to_dict(),
            "num_words": len(words.vocabulary),
            "num_chars": words.num_chars,
            "num_relations": len(words.relations),
            "sos_id": words.sos_id,
            "max_words": config.data.buckets[-1],
        }
        shape = cls.NETWORK.Config
        model = shape(**{field.name: known[field.name] for field in dataclasses.fields(shape)})
        return cls(config, words, model)

    @classmethod
    def from_about(cls, config: ml_collections.ConfigDict, about: Mapping[str, Any]) -> System:
        """With the words that `about` holds."""
        return cls.build(config, Words.from_json(about["words"]))

    def about(self) -> dict[str, Any]:
        """Configuration and words."""
        return {"config": self.config.to_json(), "words": self.words.to_json()}

    @property
    def tokenizer(self) -> Words:
        """The words."""
        return self.words

    def prepare(self, splits: Splits) -> dict[str, Prepared]:
        """Examples of each split in batches by number of words; tells what is left out."""
        c = self.config
        how = c.model.family, c.data.order, c.seed, c.data.buckets[-1], repr(self.model)
        prepared = {}
        for split, documents in splits.items():
            found = [list(self._examples_of(n, document)) for n, document in enumerate(documents)]
            batches = ColumnBatches(
                [example for of_one in found for example in of_one],
                self.batch,
                c.train.batch_size,
                c.data.buckets,
                seed=c.seed if split == "train" else None,
                shard=parallel.process(),
            )
            if left_out := sum(not of_one for of_one in found):
                _LOG.warning(
                    "%s: %d of %d documents are left out: longer than %d words, or with triples "
                    "that this family can't be taught",
                    *(split, left_out, len(documents), c.data.buckets[-1]),
                )
            taught = (d for d, of_one in zip(documents, found, strict=True) if of_one)
            if untaught := sum(
                self.num_untaught(document.without_duplicates().triples) for document in taught
            ):
                _LOG.warning(
                    "%s: %d triples are left out: their documents have more than this family can "
                    "be taught",
                    *(split, untaught),
                )
            prepared[split] = Prepared(
                batches,
                records.fingerprint(documents, f"{self.words.fingerprint} {how}\n"),
                functools.partial(_repeated, documents, [len(of_one) for of_one in found]),
            )
        return prepared

    def _examples_of(self, number: int, document: Document) -> Iterator[Example]:
        order = self.config.data.order
        encoding = self.words.encode(document.text)
        if not 0 < len(encoding.ids) <= self.config.data.buckets[-1]:
            return
        document = features.ordered(document, "file" if order == "shuffled" else order)
        triples = list(document.triples)
        if order == "shuffled":
            np.random.default_rng((self.config.seed, number)).shuffle(triples)
        for example in self.examples(document.text, encoding, triples):
            yield {"words": np.array(encoding.ids, np.int32), **example}

    def pretrained(self, key: jax.Array) -> tuple[Any, VectorReport] | None:
        """Fresh parameters with the word vectors of `config.tokenizer.vectors`."""
        if not self.config.tokenizer.vectors:
            return None
        path = expand_home(self.config.tokenizer.vectors)
        params = jax.tree.map(np.array, self.init(key))
        table = functools.reduce(operator.getitem, self.VECTORS, params)
        vectors_VX, found_V = read_vectors(path, self.words.vocabulary, table.shape[1])
        # Reserved tokens may look like words of the file.
        found_V[: self.words.first_word_id] = False
        table[found_V] = vectors_VX[found_V]
        return params, VectorReport(path, int(found_V.sum()), len(self.words.words))


@dataclasses.dataclass(frozen=True)
class PointerSystem(System):
    """A word-level system that learns where in the text names stand."""

    def examples(
        self, text: str, encoding: Encoding, triples: Sequence[Triple]
    ) -> Iterator[Example]:
        """Nothing is learned of a document with a name that is no run of words of its text."""
        placed = []
        for triple in triples:
            head = word_span(triple.head, text, encoding.offsets, triple.head_span)
            tail = word_span(triple.tail, text, encoding.offsets, triple.tail_span)
            if head is None or tail is None:
                return
            placed.append(Placed(self.words.relations.index(triple.relation), head, tail))
        yield from self.placed_examples(text, encoding, placed)

    @abc.abstractmethod
    def placed_examples(
        self, text: str, encoding: Encoding, triples: Sequence[Placed]
    ) -> Iterator[Example]:
        """What is learned from a document; nothing where the family can't learn from it."""


def _repeated(documents: Sequence[Document], times: Sequence[int]) -> Iterator[Document]:
    for document, count in zip(documents, times, strict=True):
        yield from [document] * count


@dataclasses.dataclass(frozen=True)
class VectorReport(Report):
    """What became of a file of word vectors."""

    path: Path
    num_found: int
    num_words: int

    def summary(self) -> str:
        """The file, and how many of the words it has."""
        return f"{self.path}: vectors of {self.num_found} of {self.num_words} words; others random"

    def table(self) -> str:
        """The same."""
        return self.summary() + "\n"


class Output(NamedTuple):
    """What was written for a sentence: a row of the network's arrays, and words it did not see."""

    row: Any
    num_cut: int


class PointerWriter(base.NetworkWriter[Encoding, Output]):
    """Writes all triples of a sentence by a network that points at its words.

    Args:
        words: the tokenizer.
        extract: (params, words_BS, chars_BSK, length_B) -> a struct of arrays with the row first.
        read: (row of these, words of the sentence) -> its triples.
        buckets: numbers of words to pad to; of longer sentences the beginning is read.
        batch_size: over the devices of all processes.
    """

    def __init__(
        self,
        words: Words,
        extract: Callable[[Any, Any, Any, Any], Any],
        read: Callable[[Any, Sequence[str]], list[Found]],
        buckets: Sequence[int],
        batch_size: int,
    ):
        super().__init__(words)
        self._read, self._buckets, self._batch_size = read, tuple(buckets), batch_size
        self.max_source = buckets[-1]
        self._extract = parallel.on_rows(
            lambda params, rows: ((), extract(params, *rows)), devices=parallel.own_devices()
        )

    def __call__(self, params: Any, encodings: Sequence[Encoding]) -> list[Output]:
        """Sentences of like length together, in batches of few shapes."""
        lengths = [len(encoding.ids) for encoding in encodings]

        def start(places: list[int], num_rows: int, width: int) -> Any:
            chosen = [encodings[place] for place in places]
            length_B = np.zeros(num_rows, np.int32)
            length_B[: len(places)] = [min(lengths[place], width) for place in places]
            words_BS = batching.pad([e.ids for e in chosen], num_rows, width)
            chars_BSK = batching.pad([e.chars for e in chosen], num_rows, width)
            return self._extract(params, (words_BS, chars_BSK, length_B))[1]

        def finish(places: list[int], extracted: Any) -> list[Output]:
            extracted = parallel.merge_rows(extracted)
            return [
                Output(
                    jax.tree.map(operator.itemgetter(row), extracted),
                    max(0, lengths[place] - self._buckets[-1]),
                )
                for row, place in enumerate(places)
            ]

        return batching.in_batches(lengths, self._batch_size, self._buckets, start, finish)

    def read(self, text: str, encoding: Encoding, output: Output) -> tuple[list[Triple], Tally]:
        """Names are cut out of the text where they were pointed at."""
        names = [text[start:end] for start, end in encoding.offsets[: self.max_source]]
        triples: dict[tuple[str, str, str], Triple] = {}
        num_malformed = 0
        for found in self._read(output.row, names):
            if found.head is None or found.tail is None or found.relation is None:
                num_malformed += 1
                continue
            head, tail = (
                (encoding.offsets[start][0], encoding.offsets[end - 1][1])
                for start, end in (found.head, found.tail)
            )
            triple = Triple(
                text[slice(*head)],
                self.tokenizer.relations[found.relation],
                text[slice(*tail)],
                head,
                tail,
                score=min(found.probability, 1.0),
            )
            triples.setdefault(triple.key, triple)
        tally = Tally(malformed=num_malformed, cut=int(output.num_cut > 0))
        return list(triples.values()), tally


def pointer_writer(system: PointerSystem, extract: Callable, read: Callable) -> PointerWriter:
    """The writer of a system whose network points."""
    c = system.config
    return PointerWriter(system.words, extract, read, c.data.buckets, c.decoding.batch_size)
