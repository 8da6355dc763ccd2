"""Evaluation from a checkpoint: documents in, `predictions.jsonl` and `metrics.json` out.

The files are all that scoring, tables and reports ever read, so those need neither the model nor an
accelerator.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from grel import records
from grel.extract import Extractor, Tally
from grel.records import Document
from grel.scoring import errors, protocols


def metrics(
    gold: Sequence[Document],
    predictions: Sequence[Document],
    tally: Tally,
    protocol: str,
    relations: Collection[str],
) -> dict[str, Any]:
    """Precision, recall and F1 (also by entity length), error classes and what went wrong."""
    score = protocols.score(gold, predictions, protocols.PROTOCOLS[protocol], relations=relations)
    return {
        **score.metrics(),
        "protocol": protocol,
        "entity_errors": dataclasses.asdict(errors.count_errors(gold, predictions)),
        "decoding": dataclasses.asdict(tally),
    }


def evaluate(
    extractor: Extractor, gold: Sequence[Document], protocol: str
) -> tuple[list[Document], dict[str, Any]]:
    """Predictions for the texts of `gold`, and their metrics."""
    predictions, tally = extractor.documents(gold)
    relations = extractor.system.wordpiece.relations
    return predictions, metrics(gold, predictions, tally, protocol, relations)


def write(
    folder: Path, gold: Sequence[Document], predictions: Sequence[Document], found: dict[str, Any]
) -> None:
    """Writes `gold.jsonl`, `predictions.jsonl` and `metrics.json` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    records.write_jsonl(folder / "gold.jsonl", gold)
    records.write_jsonl(folder / "predictions.jsonl", predictions)
    (folder / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
