"""Evaluation from a checkpoint: documents in, `predictions.jsonl` and `metrics.json` out.

The files are all that scoring, tables and reports ever read, so those need neither the model nor an
accelerator.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from grel import records
from grel.errors import ConfigError
from grel.extraction import tuning
from grel.extraction.texts import TextExtractor
from grel.families.writer import Tally
from grel.files.folders import replacing_folder
from grel.files.writing import replacing
from grel.records import Document
from grel.runs import layout
from grel.runs.checkpoint import CheckpointError
from grel.runs.evaluations import setting
from grel.scoring import errors, protocols
from grel.scoring.breakdown import by_seen
from grel.scoring.judged import judge
from grel.scoring.seen import SeenTriples

_LOG = logging.getLogger(__name__)


def seen_triples(about: Mapping[str, Any]) -> SeenTriples | None:
    """The triples that a checkpoint was trained on, by its `about`; None where it does not know.

    Raises CheckpointError where they are damaged.
    """
    if "seen_triples" not in about:
        _LOG.warning(
            "the checkpoint does not know its training triples, being of an earlier version: F1 on "
            "unseen triples is unknown; python -m grel.score --train=FILE.jsonl computes it"
        )
        return None
    try:
        return SeenTriples.from_text(about["seen_triples"])
    except ValueError as error:
        raise CheckpointError(
            f"step {about['step']}: its training triples are damaged ({error}); delete this step "
            "to use the one before it"
        ) from None


def metrics(
    gold: Sequence[Document],
    predictions: Sequence[Document],
    tally: Tally,
    protocol: str,
    relations: Collection[str],
    seen: SeenTriples | None,
) -> dict[str, Any]:
    """Precision, recall and F1 (also by entity length), error classes and what went wrong.

    Where `seen`, the triples of training, is known, under "unseen" and "seen" also the score of the
    triples that are not and that are among them.
    """
    rules = protocols.PROTOCOLS[protocol]
    score = protocols.score(gold, predictions, rules, relations=relations)
    classes = {}
    if seen is not None:
        classes = by_seen(judge(gold, predictions, rules, relations=relations), seen)
    return {
        **score.metrics(),
        **{name: counts.metrics() for name, counts in classes.items()},
        "protocol": protocol,
        "entity_errors": dataclasses.asdict(errors.count_errors(gold, predictions)),
        "decoding": dataclasses.asdict(tally),
    }


def evaluate(
    extractor: TextExtractor,
    gold: Sequence[Document],
    protocol: str,
    seen: SeenTriples | None = None,
) -> tuple[list[Document], dict[str, Any]]:
    """Predictions for the texts of `gold`, and their `metrics`."""
    predictions, tally = extractor.documents(gold)
    return predictions, metrics(gold, predictions, tally, protocol, extractor.relations, seen)


def evaluate_checkpoint(
    extractor: TextExtractor,
    about: Mapping[str, Any],
    gold: Sequence[Document],
    config: ml_collections.ConfigDict,
) -> tuple[list[Document], dict[str, Any]]:
    """Predictions for the texts of `gold`, and all that `metrics.json` says.

    Where the checkpoint has a balance for this extractor, "tuned" has it, and the metrics with it.

    Args:
        extractor, about: of the checkpoint; see `opening.load`.
        gold: documents of `config.eval.split`.
        config: the configuration in use.
    """
    seen = seen_triples(about)
    predictions, found = evaluate(extractor, gold, config.eval.protocol, seen)
    found |= {"step": about["step"], "split": config.eval.split, "config": config.to_dict()}
    # Who reads the records has to know them, to count as was counted here.
    found["relations"] = list(extractor.relations)
    if about["tuned"] is not None:
        try:
            balance = tuning.read(about["tuned"], extractor)
        except ConfigError as error:
            _LOG.warning("without tuned scores: %s", error)
        else:
            balanced = extractor.balanced(*balance)
            _, tuned = evaluate(balanced, gold, config.eval.protocol, seen)
            found["tuned"] = {**balance._asdict(), **tuned}
    return predictions, found


def shown(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What there is to show of `metrics.json`: the scores, and those of a tuned balance."""
    facts = {"split": found["split"], "copy": setting(found, "decoding.copy")}
    balances: list[dict[str, Any]] = [{}]
    if "tuned" in found:
        names = tuning.Balance._fields
        balances.append({"tuned": True, **{name: found["tuned"][name] for name in names}})
    for balance, scores in zip(balances, (found, found.get("tuned", {})), strict=False):
        unseen = scores.get("unseen", {}).get("f1")
        prf = {name: scores[name] for name in ("precision", "recall", "f1")}
        yield {**facts, **balance, **prf, "unseen_f1": unseen}


def write(
    folder: Path, gold: Sequence[Document], predictions: Sequence[Document], found: dict[str, Any]
) -> None:
    """Writes `gold.jsonl`, `predictions.jsonl` and `metrics.json` into the folder, all at once.

    Raises RecordError where they can't be written.
    """
    with replacing_folder(folder) as new:
        records.write_jsonl(new / layout.GOLD, gold)
        records.write_jsonl(new / layout.PREDICTIONS, predictions)
        with replacing(new / layout.METRICS) as file:
            file.write(json.dumps(found, indent=2).encode() + b"\n")
