"""CopyMTL as a family: CopyRE whose names go on to the left, by BIO tags (Zeng et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar

import numpy as np

from grel.data.columns import Example, Padded
from grel.families import copyre as family
from grel.families.words import Placed
from grel.fields import Fields
from grel.models import copymtl, copyre
from grel.text import bio
from grel.text.words import Encoding


class System(family.System):
    """A word-level system with the network `models.copymtl`."""

    NETWORK: ClassVar[ModuleType] = copymtl
    FIELDS: ClassVar[Fields] = (
        family.System.FIELDS
        | Fields.of(copymtl.Config, choices=copyre.CHOICES, ranges={"crf_weight": (0.0, math.inf)})
        | Fields({"eval.protocol": "exact", "data.order": "file", "tokenizer.min_count": 3}, {}, {})
    )

    def _more(self, encoding: Encoding, triples: Sequence[Placed]) -> Example:
        """Tags of the names where they stand; a later name has the last word."""
        tags = np.full(len(encoding.ids), bio.O, np.int32)
        for triple in triples:
            for start, end in (triple.head, triple.tail):
                tags[start] = bio.B
                tags[start + 1 : end] = bio.I
        return {"tags": tags}

    def batch(self, padded: Padded) -> copymtl.Batch:
        """CopyRE's, with tags."""
        return copymtl.Batch(
            **vars(super().batch(padded)),
            tags_BS=padded.columns["tags"],
        )
