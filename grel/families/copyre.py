"""CopyRE as a family: relations and last words of names, one choice after the other.

A name is one word here, so its F1 means something under the protocol `partial_last` alone.
Source: Zeng et al. (2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from grel.data.columns import Example, Padded
from grel.decoding.pointers import Found
from grel.families import words as family
from grel.families.words import Placed
from grel.fields import Fields
from grel.models import copyre
from grel.models.choices import STOP
from grel.records import Triple
from grel.text.words import Encoding


class System(family.PointerSystem):
    """A word-level system with the network `models.copyre`."""

    NETWORK: ClassVar[ModuleType] = copyre
    # With the quirks of the authors, the only bucket should be 100; see models/copyre.py.
    FIELDS: ClassVar[Fields] = (
        family.FIELDS
        | family.POINTER_FIELDS
        | Fields.of(copyre.Config, choices=copyre.CHOICES)
        | Fields({"eval.protocol": "partial_last"}, {}, {})
    )

    def placed_examples(
        self, text: str, encoding: Encoding, triples: Sequence[Placed]
    ) -> Iterator[Example]:
        """The first triples; a name is where the text has its last word first."""
        words = [text[start:end] for start, end in encoding.offsets]
        gold_N3 = np.full((self.model.num_triples, 3), STOP, np.int32)
        for number, triple in enumerate(triples[: self.model.num_triples]):
            head, tail = (words.index(words[span[1] - 1]) for span in (triple.head, triple.tail))
            gold_N3[number] = triple.relation, head, tail
        yield {"gold": gold_N3, **self._more(encoding, triples)}

    def num_untaught(self, triples: Sequence[Triple]) -> int:
        """Those behind the first."""
        return max(0, len(triples) - self.model.num_triples)

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
        )

    def writer(self) -> family.PointerWriter:
        """Greedy; a triple that was stopped in part is told as malformed."""

        def extract(params: Any, words_BS: Any, chars_BSK: Any, length_B: Any) -> Any:
            del chars_BSK
            return self.NETWORK.extract(self.model, params, words_BS, length_B)

        def read(row: Any, words: Sequence[str]) -> list[Found]:
            return self.NETWORK.read(self.model, row, len(words))

        return family.pointer_writer(self, extract, read)
