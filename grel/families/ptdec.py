"""PtDec as a family: one triple a step, its names by pointers (Nayak and Ng 2020)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import ClassVar

import numpy as np

from grel.data.columns import Example, Padded
from grel.families import words as family
from grel.families.words import Placed
from grel.fields import Fields
from grel.models import ptdec
from grel.text.words import Encoding


class System(family.PointerSystem):
    """A word-level system with the network `models.ptdec`."""

    NETWORK: ClassVar[ModuleType] = ptdec
    FIELDS: ClassVar[Fields] = (
        family.FIELDS
        | family.POINTER_FIELDS
        | Fields.of(
            ptdec.Config, choices={"quirks": ptdec.QUIRKS}, ranges={"features": (2, math.inf)}
        )
    )

    def placed_examples(
        self, text: str, encoding: Encoding, triples: Sequence[Placed]
    ) -> Iterator[Example]:
        """All triples at once, then none; at most `num_steps` are taught."""
        if len(triples) > self.model.num_steps:
            return
        classes = [t.relation + ptdec.FIRST for t in triples]
        ends = [(t.head[0], t.head[1] - 1, t.tail[0], t.tail[1] - 1) for t in triples]
        yield {
            "chars": encoding.chars,
            "relations": np.array([*classes, ptdec.NONE], np.int32),
            "pointers": np.array(ends, np.int32).reshape(-1, 4),
        }

    def batch(self, padded: Padded) -> ptdec.Batch:
        """With the weight of pointers that the global batch has."""
        columns, num_rows = padded.columns, len(padded.row_B)
        num_steps = columns["relations"].shape[1]
        pointers_BT4 = np.zeros((num_rows, num_steps, 4), np.int32)
        pointers_BT4[:, : columns["pointers"].shape[1]] = columns["pointers"]
        ratio = padded.totals["relations"] / max(padded.totals["pointers"], 1)
        # An empty row has no class, PAD alone.
        return ptdec.Batch(
            words_BS=columns["words"],
            chars_BSK=columns["chars"],
            length_B=padded.lengths["words"],
            relation_BT=columns["relations"],
            pointers_BT4=pointers_BT4,
            steps_per_triple_B=np.full(num_rows, ratio, np.float32),
            row_B=padded.row_B,
        )

    def writer(self) -> family.PointerWriter:
        """Greedy, one triple a step."""
        return family.pointer_writer(self, functools.partial(ptdec.extract, self.model), ptdec.read)
