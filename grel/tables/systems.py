"""The systems that the tables compare: evaluations, judged once under one protocol."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grel.records import Document, read_jsonl
from grel.runs.evaluations import Evaluation, WorkdirError, by_seen, read_evaluations
from grel.scoring import bootstrap, breakdown
from grel.scoring.contrast import check_same_gold
from grel.scoring.judged import Judged, judge, total
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError
from grel.scoring.seen import SeenTriples


@dataclasses.dataclass(frozen=True)
class System:
    """An evaluation under the protocol of the tables.

    Attributes:
        judged: its documents; counts_E3: (correct, predicted, gold) of each.
        train: the documents it was trained on, None where they were not given.
        by_seen: counts of triples that training did not have and had; None where it is not known.
    """

    evaluation: Evaluation
    judged: list[Judged]
    counts_E3: np.ndarray
    train: list[Document] | None
    by_seen: dict[str, Counts] | None

    @property
    def name(self) -> str:
        return self.evaluation.name

    @property
    def corpus(self) -> str:
        return self.evaluation.corpus

    @property
    def total(self) -> Counts:
        """The counts of all documents."""
        return total(self.judged)

    @property
    def unseen_f1(self) -> float | None:
        """F1 of the triples that training did not have, None where it is not known."""
        return self.by_seen["unseen"].f1 if self.by_seen else None


def read_systems(
    paths: Sequence[Path], split: str, protocol: str, train_files: dict[str, Path]
) -> list[System]:
    """Reads every evaluation of `split` in the folders; see `evaluations.read_evaluations`.

    Args:
        paths: run folders, or folders of single evaluations.
        split: as in `config.eval.split`.
        protocol: a name in `PROTOCOLS`.
        train_files: training records by data set; under "" those of the only one.

    Raises:
        WorkdirError, RecordError: something is missing or faulty.
        ScoringError: two systems of one corpus were evaluated on different gold triples, or the
            protocol needs spans that gold lacks.
    """
    evaluations = read_evaluations(list(paths), split)
    train = _read_train(train_files, {evaluation.dataset for evaluation in evaluations})
    systems = []
    for evaluation in evaluations:
        judged = judge(evaluation.gold, evaluation.predictions, PROTOCOLS[protocol])
        documents = train.get(evaluation.dataset)
        # The evaluation knows best what its checkpoint was trained on.
        classes = by_seen(evaluation.metrics, protocol)
        if classes is None and documents is not None:
            classes = breakdown.by_seen(judged, SeenTriples.of(documents))
        systems.append(System(evaluation, judged, bootstrap.counts(judged), documents, classes))
    for first, second in same_corpus(systems):
        try:
            check_same_gold(first.judged, second.judged)
        except ScoringError as error:
            raise ScoringError(f"{first.name} and {second.name}: {error}") from None
    return systems


def same_corpus(systems: Sequence[System]) -> Iterator[tuple[System, System]]:
    """All pairs of systems that were evaluated on the same corpus."""
    for first, second in itertools.combinations(systems, 2):
        if first.corpus == second.corpus:
            yield first, second


def by_seed(systems: Sequence[System]) -> list[list[System]]:
    """Systems that differ in the seed of their training alone, together; those with one left out.

    Where files lie and how often they are written makes no difference.
    """
    groups: dict[str, list[System]] = {}
    for system in systems:
        metrics = system.evaluation.metrics
        config = json.loads(json.dumps(metrics.get("config", {})))
        for section, field in _IRRELEVANT:
            config.get(section, {}).pop(field, None)
        if config.pop("seed", None) is not None:
            key = json.dumps([system.corpus, system.evaluation.folder.name, config], sort_keys=True)
            groups.setdefault(key, []).append(system)
    return [group for group in groups.values() if len(group) > 1]


_IRRELEVANT = (
    *(("data", name) for name in ("manual_dir", "data_dir", "cache_dir")),
    *(("train", name) for name in ("log_every", "eval_every", "checkpoint_every", "keep")),
)


def without_copy(system: System, systems: Sequence[System]) -> System | None:
    """The evaluation of the same run that differs from this one in not copying, if there is one."""
    if system.evaluation.copy in (None, "off"):
        return None
    for other in systems:
        if other.evaluation.copy == "off" and _but_for_copy(other) == _but_for_copy(system):
            return other
    return None


def _but_for_copy(system: System) -> tuple[Any, ...]:
    """What must agree for two evaluations to differ in copying alone, and in structure with it.

    Structure copies, so that there is none without copying.
    """
    evaluation = system.evaluation
    decoding = {
        **evaluation.metrics["config"]["decoding"],
        "copy": None,
        "structure": None,
    }
    return evaluation.workdir, evaluation.corpus, evaluation.metrics.get("step"), decoding


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
