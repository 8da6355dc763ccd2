"""The look-up: a system without a model, which writes the triples that it knows from training.

It keeps the gold triples of the training split. Of a sentence it takes every known name that stands
there and is not inside of a longer known name that stands there, and writes each known triple
between the names it took. Where labels come from aligning a knowledge base, as with NYT, most facts
of a test split are facts of training, and this is the floor that a trained model has to beat.

A name stands where its words do, and words are what white space parts, as corpora come tokenized. A
triple of a name with itself needs two places. Its `score` is the share of triples like it that were
right in training: see `known.fit`.

Its checkpoint has one array, the known triples as UTF-8 bytes of JSON, so that the digest of arrays
covers them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import ml_collections
import numpy as np

from grel.errors import ConfigError
from grel.families import base, writer
from grel.families.writer import Tally
from grel.fields import Fields
from grel.records import Document, Span, Triple
from grel.text.known import BETWEEN_BLANKS, Index, Known, fit


def to_params(known: Known) -> dict[str, np.ndarray]:
    """The triples as a checkpoint holds them."""
    rows = [[*key, *counts] for key, counts in known.items()]
    data = json.dumps(rows, ensure_ascii=False).encode()
    return {"triples": np.frombuffer(data, np.uint8)}


def from_params(params: Mapping[str, np.ndarray]) -> Known:
    """What `to_params` was given."""
    rows = json.loads(params["triples"].tobytes())
    return {(head, relation, tail): (right, times) for head, relation, tail, right, times in rows}


class Text(NamedTuple):
    """A text, whole; its tokens are its words."""

    text: str
    offsets: list[Span]

    def part(self, tokens: slice) -> Text:
        """The words, and what stands between them."""
        offsets = self.offsets[tokens]
        start, end = offsets[0][0], offsets[-1][1]
        return Text(self.text[start:end], [(a - start, b - start) for a, b in offsets])


class Writer(writer.Writer[Text, list[Triple]]):
    """Writes known triples, of these relations only if there are any."""

    def __init__(self, relations: Sequence[str] = ()):
        self._wanted = frozenset(relations)

    def place(self, params: Mapping[str, np.ndarray]) -> Index:
        """The parameters of `to_params`, indexed."""
        known = from_params(params)
        return Index({key: right / times for key, (right, times) in known.items()})

    def relations(self, params: Index) -> tuple[str, ...]:
        """All relations of the known triples."""
        return params.relations

    def encode(self, texts: Sequence[str]) -> list[Text]:
        """The texts with their words."""
        return [
            Text(text, [match.span() for match in BETWEEN_BLANKS.finditer(text)]) for text in texts
        ]

    def __call__(self, params: Index, encodings: Sequence[Text]) -> list[list[Triple]]:
        """The known triples of each text."""
        found = (params.triples(encoding.text) for encoding in encodings)
        return [[t for t in ts if not self._wanted or t.relation in self._wanted] for ts in found]

    def read(self, text: str, encoding: Text, output: list[Triple]) -> tuple[list[Triple], Tally]:
        """The triples; nothing can go wrong."""
        del text, encoding
        return output, Tally()

    def restricted(self, relations: Sequence[str]) -> Writer:
        """Of the same triples."""
        return Writer(relations)


@dataclasses.dataclass(frozen=True)
class System(base.Fitted):
    """Everything of a look-up but the triples; `num_bytes` is the size of their array."""

    FIELDS: ClassVar[Fields] = Fields(
        # The only relations to write; () is all.
        {"decoding.relations": ()},
        {},
        {},
    )

    config: ml_collections.ConfigDict
    num_bytes: int

    @classmethod
    def fit(
        cls, config: ml_collections.ConfigDict, documents: Sequence[Document]
    ) -> tuple[System, dict[str, np.ndarray]]:
        """Keeps the triples of the documents; refuses to write relations that these lack."""
        known = fit(documents)
        relations = sorted({relation for _, relation, _ in known})
        if unknown := sorted(set(config.decoding.relations) - set(relations)):
            raise ConfigError(
                f"config.decoding.relations: unknown relation {unknown[0]!r}; "
                f"one of {', '.join(relations)}"
            )
        params = to_params(known)
        return cls(config, len(params["triples"])), params

    @classmethod
    def from_about(cls, config: ml_collections.ConfigDict, about: Mapping[str, Any]) -> System:
        """With the size that `about` holds."""
        if type(size := about["num_bytes"]) is not int or size < 0:
            raise ValueError("num_bytes is no size")
        return cls(config, size)

    def about(self) -> dict[str, Any]:
        """Configuration and size."""
        return {"config": self.config.to_json(), "num_bytes": self.num_bytes}

    def params_like(self) -> dict[str, np.ndarray]:
        """Shape and type of the array of triples."""
        return {"triples": np.zeros(self.num_bytes, np.uint8)}

    def writer(self) -> Writer:
        """That of the relations in `config.decoding`."""
        return Writer(self.config.decoding.relations)

    def identity(self) -> dict[str, Any]:
        """All look-ups differ in their triples alone."""
        return {"model": "look-up"}
