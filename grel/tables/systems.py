"""The systems that the tables compare: what they are called, and which of them belong together."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grel.records import Document, read_jsonl
from grel.runs import record
from grel.runs.evaluations import (
    Evaluation,
    WorkdirError,
    read_evaluations,
    setting,
    told_apart,
)
from grel.scoring.contrast import check_same_gold
from grel.scoring.protocols import ScoringError

# Systems by name, each with its runs: evaluations that differ in the seed of training alone.
Systems = dict[str, list[Evaluation]]

# By which systems are always shown: most are made for the first, CopyRE for the second.
_COMMON_PROTOCOLS = ("exact", "partial_last")


def read_systems(
    paths: Sequence[Path], split: str, protocol: str, train_files: dict[str, Path]
) -> Systems:
    """`evaluations.read_evaluations`, each with the documents it was trained on.

    A system is called by `paper_name`, or else after what the folders of its runs have in common;
    of names that two would have, each tells its folders. Where a system has several runs, they are
    called after it and their seeds.

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
    found = [dataclasses.replace(e, train=train.get(e.dataset)) for e in found]
    for first, second in same_corpus(found):
        both = first.judged, second.judged
        try:
            check_same_gold(*both)
        except ScoringError as error:
            raise ScoringError(f"{first.name} and {second.name}: {error}") from None
    groups = _by_seed(found)
    return {
        name: _called_by_seed(name, group)
        for name, group in zip(_names(groups), groups, strict=True)
    }


def protocols_with(protocol: str) -> list[str]:
    """The protocols that scores are shown by where one is asked for."""
    return list(dict.fromkeys((*_COMMON_PROTOCOLS, protocol)))


def all_runs(systems: Systems) -> list[Evaluation]:
    """The runs of all systems."""
    return [run for runs in systems.values() for run in runs]


def same_corpus(systems: Sequence[Evaluation]) -> Iterator[tuple[Evaluation, Evaluation]]:
    """All pairs of systems that were evaluated on the same corpus."""
    for first, second in itertools.combinations(systems, 2):
        if first.corpus == second.corpus:
            yield first, second


def _by_seed(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Those that differ in the seed alone together; a second run of a seed is another system's.

    It may be a copy, or the same configuration after the code was changed.
    """
    groups: dict[tuple[str, int], list[Evaluation]] = {}
    times: Counter[tuple[str, str]] = Counter()
    for one in evaluations:
        config = json.loads(json.dumps(one.metrics.get("config", {})))
        for section, field in _IRRELEVANT:
            config.get(section, {}).pop(field, None)
        seed = config.pop("seed", None)
        if seed is None:
            key = str(one.folder)  # on its own
        else:
            facts = one.corpus, one.folder.name, config, _trained_on(one)
            key = json.dumps(facts, sort_keys=True)
        groups.setdefault((key, times[key, str(seed)]), []).append(one)
        times[key, str(seed)] += 1
    return list(groups.values())


def _trained_on(run: Evaluation) -> object:
    """Numbers of a run's data, or where run.json lacks the folder of a corpus of one's own.

    The fingerprint will not do: that of a word-level family is another for every seed.
    """
    facts = record.read(run.workdir)
    if not facts and setting(run.metrics, "data.name") == "jsonl":
        return setting(run.metrics, "data.manual_dir")
    return facts.get("corpora")


def _names(groups: Sequence[Sequence[Evaluation]]) -> list[str]:
    """A name for each group that no other has."""
    folders = [_in_common(group) for group in groups]
    heads = [
        group[0].called(paper_name(group[0]) or folder)
        for group, folder in zip(groups, folders, strict=True)
    ]
    all_folders = [", ".join(run.name for run in group) for group in groups]
    for places in (folders, all_folders):
        longer = (f"{head.name} ({place})" for head, place in zip(heads, places, strict=True))
        heads = told_apart(heads, longer)
    return [head.name for head in heads]


def _in_common(runs: Sequence[Evaluation]) -> str:
    """The name of a run; of several, what it is without the seed, or all of them.

    Example: `ptdec` of `ptdec-0/test` and `ptdec-1/test`, evaluated on test.
    """
    names = [run.name for run in runs]
    seeds = [re.escape(str(_seed(run))) for run in runs]
    stems = {
        re.sub(rf"[-_.]?(seed)?[-_.]?{seed}(?=/|$)", "", name, count=1)
        for name, seed in zip(names, seeds, strict=True)
    }
    if len(runs) == 1 or len(stems) > 1 or "" in stems:
        return ", ".join(names)
    return stems.pop().removesuffix(f"/{runs[0].split}")


def _called_by_seed(name: str, runs: Sequence[Evaluation]) -> list[Evaluation]:
    if len(runs) == 1:
        return [runs[0].called(name)]
    return [run.called(f"{name}, seed {_seed(run)}") for run in runs]


def _seed(run: Evaluation) -> object:
    return setting(run.metrics, "seed")


_IRRELEVANT = (
    *(("data", name) for name in ("manual_dir", "data_dir", "cache_dir")),
    *(("train", name) for name in ("log_every", "eval_every", "checkpoint_every", "keep")),
)


def paper_name(system: Evaluation) -> str | None:
    """What the paper calls a system of this family with these fields, None where it has no name.

    CopyRE and CopyMTL, of which it shows one each, are told apart by their decoders.
    """
    if setting(system.metrics, "model.family") == "bert" and not setting(
        system.metrics, "model.init_from"
    ):
        return None
    for name, fields in _PAPER_NAMES.items():
        if all(setting(system.metrics, field) == value for field, value in fields.items()):
            return name
    return None


_PAPER_NAMES: dict[str, dict[str, Any]] = {
    "look-up": {"model.family": "lookup"},
    "CopyRE-one": {"model.family": "copyre", "model.decoder": "one"},
    "CopyRE-multi": {"model.family": "copyre", "model.decoder": "multi"},
    "CopyMTL-one": {"model.family": "copymtl", "model.decoder": "one"},
    "CopyMTL-multi": {"model.family": "copymtl", "model.decoder": "multi"},
    "MrMep": {"model.family": "mrmep"},
    "PtDec": {"model.family": "ptdec"},
    **{
        name: {"model.family": "worddec", "decoding.copy": copy, "model.label_head": labels}
        for name, copy, labels in (
            ("WordDec", "words", False),
            ("LSTM", "off", False),
            ("LSTM + copy", "on", True),
        )
    },
    "Pretrained": {"model.family": "bert", "decoding.copy": "off"},
    "Pretrained + copy": {"model.family": "bert", "decoding.copy": "on"},
}


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
