"""The systems that the tables compare: evaluations, and which of them belong together."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grel.records import Document, read_jsonl
from grel.runs.evaluations import Evaluation, WorkdirError, read_evaluations
from grel.scoring.contrast import check_same_gold
from grel.scoring.protocols import ScoringError


def read_systems(
    paths: Sequence[Path], split: str, protocol: str, train_files: dict[str, Path]
) -> list[Evaluation]:
    """`evaluations.read_evaluations`, each with the documents it was trained on.

    Args:
        paths, split, protocol: see `read_evaluations`.
        train_files: training records by data set; under "" those of the only one.

    Raises:
        WorkdirError, RecordError: something is missing or faulty.
        ScoringError: two systems of one corpus were evaluated on different gold triples, or the
            protocol needs spans that gold lacks.
    """
    found = read_evaluations(paths, split, protocol)
    train = _read_train(train_files, {evaluation.dataset for evaluation in found})
    systems = [dataclasses.replace(e, train=train.get(e.dataset)) for e in found]
    for first, second in same_corpus(systems):
        both = first.judged, second.judged
        try:
            check_same_gold(*both)
        except ScoringError as error:
            raise ScoringError(f"{first.name} and {second.name}: {error}") from None
    return systems


def same_corpus(systems: Sequence[Evaluation]) -> Iterator[tuple[Evaluation, Evaluation]]:
    """All pairs of systems that were evaluated on the same corpus."""
    for first, second in itertools.combinations(systems, 2):
        if first.corpus == second.corpus:
            yield first, second


def by_seed(systems: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Systems that differ in the seed of their training alone, together; those with one left out.

    Where files lie and how often they are written makes no difference.
    """
    groups: dict[str, list[Evaluation]] = {}
    for system in systems:
        config = json.loads(json.dumps(system.metrics.get("config", {})))
        for section, field in _IRRELEVANT:
            config.get(section, {}).pop(field, None)
        if config.pop("seed", None) is not None:
            key = json.dumps([system.corpus, system.folder.name, config], sort_keys=True)
            groups.setdefault(key, []).append(system)
    return [group for group in groups.values() if len(group) > 1]


_IRRELEVANT = (
    *(("data", name) for name in ("manual_dir", "data_dir", "cache_dir")),
    *(("train", name) for name in ("log_every", "eval_every", "checkpoint_every", "keep")),
)


def without_copy(system: Evaluation, systems: Sequence[Evaluation]) -> Evaluation | None:
    """The evaluation of the same run that differs from this one in not copying, if there is one."""
    if system.copy in (None, "off"):
        return None
    for other in systems:
        if other.copy == "off" and _but_for_copy(other) == _but_for_copy(system):
            return other
    return None


def _but_for_copy(system: Evaluation) -> tuple[Any, ...]:
    """What must agree for two evaluations to differ in copying alone, and in structure with it.

    Structure copies, so that there is none without copying.
    """
    decoding = {**system.metrics["config"]["decoding"], "copy": None, "structure": None}
    return system.workdir, system.corpus, system.metrics.get("step"), decoding


def _read_train(files: dict[str, Path], datasets: set[str]) -> dict[str, list[Document]]:
    if "" in files:
        if len(datasets) > 1 or len(files) > 1:
            names = ",".join(f"{name}=FILE" for name in sorted(datasets))
            raise WorkdirError(f"--data: say which corpus each file belongs to, as in {names}")
        files = dict.fromkeys(datasets, files[""])
    if unknown := files.keys() - datasets:
        raise WorkdirError(
            f"--data: no system was evaluated on {min(unknown)}; there is "
            f"{', '.join(sorted(datasets))}"
        )
    return {name: list(read_jsonl(path)) for name, path in files.items()}
