"""Scores of a validation split, as training logs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from grel import parallel
from grel.extraction.extractor import extract_each
from grel.extraction.texts import summarize
from grel.families.writer import Writer
from grel.records import Document
from grel.scoring.breakdown import by_seen
from grel.scoring.judged import judge, total
from grel.scoring.protocols import PROTOCOLS, Counts
from grel.scoring.seen import SeenTriples


def validate(
    writer: Writer, params: Any, gold: Sequence[Document], protocol: str, seen: SeenTriples
) -> tuple[Counts, Counts]:
    """Counts over all triples, and over those that are not among the `seen`.

    Each process of a pod does its part of the documents, and all know the whole. `params` are as
    `writer.place` gives them.
    """
    index, count = parallel.process()
    own = gold[index::count]
    predictions, _ = summarize(extract_each(writer, params, own))
    judged = judge(own, predictions, PROTOCOLS[protocol], relations=writer.relations(params))
    parts = np.array(
        [dataclasses.astuple(c) for c in (total(judged), by_seen(judged, seen)["unseen"])]
    )
    found, unseen = parallel.gather_processes(parts).reshape(-1, 2, 3).sum(0).tolist()
    return Counts(*found), Counts(*unseen)
