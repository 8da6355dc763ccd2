"""CopyRE as a family: relations and last words of names, one choice after the other.

A name is one word here, so its F1 means something under the protocol `partial_last` alone.
Source: Zeng et al. (2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import ml_collections
import numpy as np

from grel.data.columns import Example, Padded
from grel.decoding.pointers import Found
from grel.families import words as family
from grel.families.words import Placed
from grel.fields import Fields
from grel.models import copyre
from grel.models.choices import STOP
from grel.text.words import Encoding, Words


class System(family.System):
    """A word-level system with the network `models.copyre`."""

    NETWORK: ClassVar[Any] = copyre
    CONFIG: ClassVar[type[copyre.Config]] = copyre.Config
    VECTORS = ("encoder", "words", "embedding")
    FIELDS: ClassVar[Fields] = (
        family.FIELDS
        | family.POINTER_FIELDS
        | Fields(
            {
                "eval.protocol": "partial_last",
                "model.word_features": 100,
                "model.features": 1000,
                "model.num_triples": 5,  # that are chosen for a sentence
                "model.decoder": "multi",  # one for each triple; or "one" for all
                "model.teacher_forcing": "off",  # "on" feeds the gold choices in training
                # Or "authors", for which the only bucket should be 100; see models/copyre.py.
                "model.quirks": "paper",
            },
            {f"model.{name}": choices for name, choices in copyre.CHOICES.items()},
            {
                "model.word_features": (1, math.inf),
                "model.features": (1, math.inf),
                "model.num_triples": (1, math.inf),
            },
        )
    )

    @classmethod
    def shape(cls, config: ml_collections.ConfigDict, words: Words) -> copyre.Config:
        """The fields of `config.model`, and the vocabularies."""
        fields = config.model.to_dict()
        del fields["family"]
        return cls.CONFIG(
            num_words=len(words.vocabulary), num_relations=len(words.relations), **fields
        )

    def examples(
        self, text: str, encoding: Encoding, triples: Sequence[Placed]
    ) -> Iterator[Example]:
        """The first triples; a name is where the text has its last word first."""
        if any(t.head is None or t.tail is None for t in triples):
            return
        words = [text[start:end] for start, end in encoding.offsets]
        gold_N3 = np.full((self.model.num_triples, 3), STOP, np.int32)
        for number, triple in enumerate(triples[: self.model.num_triples]):
            head, tail = (words.index(words[span[1] - 1]) for span in (triple.head, triple.tail))
            gold_N3[number] = triple.relation, head, tail
        yield {"gold": gold_N3, **self._more(encoding, triples)}

    def _more(self, encoding: Encoding, triples: Sequence[Placed]) -> Example:
        """Columns that are not CopyRE's."""
        del encoding, triples
        return {}

    def batch(self, padded: Padded) -> copyre.Batch:
        """Sentences and what is to be chosen; an empty row chooses nothing."""
        return copyre.Batch(
            words_BS=padded.columns["words"],
            length_B=padded.lengths["words"],
            gold_BN3=padded.columns["gold"],
            row_B=padded.row_B,
        )

    def writer(self) -> family.PointerWriter:
        """Greedy; a triple that was stopped in part is told as malformed."""

        def extract(params: Any, words_BS: Any, chars_BSK: Any, length_B: Any) -> Any:
            del chars_BSK
            return self.NETWORK.extract(self.model, params, words_BS, length_B)

        def read(row: Any, words: Sequence[str]) -> list[Found]:
            return self.NETWORK.read(self.model, row, len(words))

        return family.pointer_writer(self, extract, read)
