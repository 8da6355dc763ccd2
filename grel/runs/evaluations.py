"""What evaluations left in the folder of a run: found, read and named, from JSON(L) alone.

Tables, comparisons and cards all start here, so that they agree on which folder is meant by a path
and on what a system and its corpus are called.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grel.errors import UserError
from grel.files.textio import Fault, RecordError, member, parse_object
from grel.records import Document, read_jsonl
from grel.runs import layout
from grel.scoring.breakdown import SEEN_CLASSES
from grel.scoring.protocols import Counts, ScoringError, pair

_COUNTS = tuple(field.name for field in dataclasses.fields(Counts))
_RECORDS = (layout.GOLD, layout.PREDICTIONS)


class WorkdirError(UserError):
    """A folder without what is needed: says what is missing and how to make it."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run: a folder below `WORKDIR/eval`.

    Attributes:
        workdir, folder: of the run, and of this evaluation.
        name: of the system, unique among those read together.
        metrics: `metrics.json`; "split" is a string, everything else as it was found.
        gold, predictions: the documents, in the order of the gold file.
    """

    workdir: Path
    folder: Path
    name: str
    metrics: dict[str, Any]
    gold: list[Document]
    predictions: list[Document]

    @property
    def split(self) -> str:
        """The split that was evaluated."""
        return self.metrics["split"]

    @property
    def dataset(self) -> str:
        """Name of the data set: `config.data.name`, or for "jsonl" the folder of the files."""
        name = setting(self.metrics, "data.name")
        if name == "jsonl":
            return Path(str(setting(self.metrics, "data.manual_dir"))).name or name
        return name if isinstance(name, str) else "unnamed"

    @property
    def corpus(self) -> str:
        """Data set, variant where there is one, and split: what scores can be compared on."""
        variant = setting(self.metrics, "data.variant")
        return f"{self.dataset}{f':{variant}' if variant else ''} {self.split}"

    @property
    def copy(self) -> str | None:
        """`config.decoding.copy`, None where it is not recorded."""
        value = setting(self.metrics, "decoding.copy")
        return value if isinstance(value, str) else None


def setting(facts: Mapping[str, Any], name: str) -> Any:
    """The field of `facts["config"]` with a dotted name, None where it is not there."""
    value: Any = facts.get("config")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def by_seen(metrics: dict[str, Any], protocol: str | None = None) -> dict[str, Counts] | None:
    """The counts of `breakdown.by_seen` in `metrics.json` of an evaluation.

    None where it does not know what was in training, or counted by another than the given protocol.
    Raises Fault where it is faulty.
    """
    if not metrics.keys() & set(SEEN_CLASSES):
        return None
    if protocol is not None and metrics.get("protocol") != protocol:
        return None
    return {
        name: Counts(*(member(member(metrics, name, dict), number, int) for number in _COUNTS))
        for name in SEEN_CLASSES
    }


def read_evaluations(paths: list[Path], split: str) -> list[Evaluation]:
    """Every evaluation of `split` in these folders; a path may also be one evaluation's folder.

    Names are those of the run folders, with that of the evaluation where a run has several, and
    whole paths where two would be the same.

    Raises:
        WorkdirError: a folder or its evaluation is missing.
        RecordError, ScoringError: the files are faulty, or don't belong together.
    """
    found = [(path, folder) for path in paths for folder in _folders(path, split)]
    names = []
    for path, folder in found:
        several = path == folder or sum(other == path for other, _ in found) > 1
        run = _workdir(folder).name
        names.append(f"{run}/{folder.name}" if several else run)
    names = [
        str(folder) if names.count(name) > 1 else name
        for name, (_, folder) in zip(names, found, strict=True)
    ]
    return [_read(folder, name) for name, (_, folder) in zip(names, found, strict=True)]


def read_evaluation(path: Path, split: str) -> Evaluation:
    """The evaluation in a folder of its own, or that in `path/eval/split`; errors as above."""
    return _read(*locate(path, split))


def locate(path: Path, split: str) -> tuple[Path, str]:
    """Folder of that evaluation, and a name for its system; raises WorkdirError."""
    folder = path if _is_evaluation(path) else layout.inside(path, layout.EVALUATIONS, split)
    if not _is_evaluation(folder):
        raise _missing(path, split)
    run = _workdir(folder).name
    return folder, f"{run}/{folder.name}" if path == folder else run


def _folders(path: Path, split: str) -> list[Path]:
    if _is_evaluation(path):
        if (found := read_metrics(path)["split"]) != split:
            raise WorkdirError(f"{path}: is an evaluation of {found}; say --split={found}")
        return [path]
    folders = folders_with(path, layout.PREDICTIONS)
    folders = [f for f in folders if _is_evaluation(f) and read_metrics(f)["split"] == split]
    if not folders:
        raise _missing(path, split)
    return folders


def folders_with(workdir: Path, name: str) -> list[Path]:
    """The evaluations of a run that have a file of that name, but those being written; sorted."""
    folders = layout.inside(workdir, layout.EVALUATIONS).glob("[!.]*")
    return sorted(
        folder for folder in folders if layout.inside(folder.parent, folder.name, name).is_file()
    )


def _missing(path: Path, split: str) -> WorkdirError:
    if not path.is_dir():
        return WorkdirError(f"{path}: no such folder; give the --workdir of a run")
    found = [folder.name for folder in folders_with(path, layout.PREDICTIONS)]
    others = f" (there is {', '.join(found)})" if found else ""
    return WorkdirError(
        f"{path}: no evaluation of {split}{others}; make it with python -m grel.main --mode=eval "
        f"--workdir={path} --config.eval.split={split}"
    )


def _is_evaluation(folder: Path) -> bool:
    return all(layout.inside(folder, name).is_file() for name in _RECORDS)


def _workdir(folder: Path) -> Path:
    return folder.resolve().parent.parent


def read_metrics(folder: Path) -> dict[str, Any]:
    """`metrics.json` of an evaluation; raises RecordError where it is missing or faulty."""
    path = layout.inside(folder, layout.METRICS)
    try:
        metrics = parse_object(path.read_bytes())
        member(metrics, "split", str)
        by_seen(metrics)
    except OSError as error:
        reason = f"cannot read: {error.strerror}; evaluate again with --mode=eval"
        raise RecordError(path, None, reason) from None
    except Fault as fault:
        raise RecordError(path, None, str(fault)) from None
    return metrics


def _read(folder: Path, name: str) -> Evaluation:
    gold, predictions = (list(read_jsonl(folder / file)) for file in _RECORDS)
    try:
        pairs = pair(gold, predictions)
    except ScoringError as error:
        raise ScoringError(f"{folder}: {error}") from None
    return Evaluation(
        workdir=_workdir(folder),
        folder=folder,
        name=name,
        metrics=read_metrics(folder),
        gold=[document for document, _ in pairs],
        predictions=[prediction for _, prediction in pairs],
    )
