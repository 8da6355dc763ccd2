"""MrMep as a family: which relations hold, then the pairs of each (Chen et al. 2019)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from grel.data.columns import Example, Padded
from grel.families import words as family
from grel.families.words import Placed
from grel.fields import Fields
from grel.models import mrmep
from grel.records import Triple
from grel.text.words import Encoding


class System(family.PointerSystem):
    """A word-level system with the network `models.mrmep`.

    An example is a sentence and one of its relations; a sentence without triples has one of no
    relation, from which the classifiers learn.
    """

    NETWORK: ClassVar[ModuleType] = mrmep
    VECTORS = ("words", "embedding")
    FIELDS: ClassVar[Fields] = (
        family.FIELDS
        | family.POINTER_FIELDS
        | Fields.of(
            mrmep.Config,
            without={"max_words"},
            choices={"decoder": mrmep.DECODERS, "quirks": mrmep.QUIRKS},
            ranges={"pointer_weight": (0.0, math.inf)},
        )
        | Fields({"data.order": "file"}, {}, {})
    )

    def placed_examples(
        self, text: str, encoding: Encoding, triples: Sequence[Placed]
    ) -> Iterator[Example]:
        """One for each relation, with its first pairs."""
        holds = sorted({t.relation for t in triples})
        for relation in holds or [mrmep.NONE - mrmep.FIRST]:
            pairs = [
                (t.head[0], t.head[1] - 1, t.tail[0], t.tail[1] - 1)
                for t in triples
                if t.relation == relation
            ]
            pointers_T4 = np.full((self.model.num_pairs, 4), -1, np.int32)
            for number, pair in enumerate(pairs[: self.model.num_pairs]):
                pointers_T4[number] = pair
            yield {
                "relation": np.array([relation + mrmep.FIRST], np.int32),
                "holds": np.array([h + mrmep.FIRST for h in holds], np.int32),
                "pointers": pointers_T4,
            }

    def num_untaught(self, triples: Sequence[Triple]) -> int:
        """Those behind the first pairs of their relation."""
        num_of = Counter(triple.relation for triple in triples)
        return sum(max(0, count - self.model.num_pairs) for count in num_of.values())

    def batch(self, padded: Padded) -> mrmep.Batch:
        """One row for each relation of each sentence."""
        columns = padded.columns
        num_rows = len(padded.row_B)
        holds_BR = np.zeros((num_rows, len(self.words.relations) + mrmep.FIRST), bool)
        for row, length in enumerate(padded.lengths["holds"]):
            holds_BR[row, columns["holds"][row, :length]] = True
        return mrmep.Batch(
            words_BS=columns["words"],
            length_B=padded.lengths["words"],
            relation_B=columns["relation"][:, 0],
            holds_BR=holds_BR,
            pointers_BT4=columns["pointers"],
            row_B=padded.row_B,
        )

    def writer(self) -> family.PointerWriter:
        """The classifiers, then greedy pointers for each relation that holds."""

        def extract(params: Any, words_BS: Any, chars_BSK: Any, length_B: Any) -> mrmep.Extracted:
            del chars_BSK
            return mrmep.extract(self.model, params, words_BS, length_B)

        def read(row: Any, words: Sequence[str]) -> list:
            del words
            return mrmep.read(row)

        return family.pointer_writer(self, extract, read)
