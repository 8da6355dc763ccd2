"""What evaluations left in the folder of a run: found, read and named, from JSON(L) alone.

Tables, reports, comparisons and cards all start here, so that they agree on which folder is meant
by a path, on what a system and its corpus are called, and on which of its triples are correct.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grel.errors import UserError
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import expect, member, parse_members, parse_object
from grel.records import Document, read_jsonl
from grel.runs import layout
from grel.scoring import breakdown
from grel.scoring.judged import Judged, judge, total
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError, pair, score
from grel.scoring.seen import SeenTriples

_COUNTS = tuple(field.name for field in dataclasses.fields(Counts))
_RECORDS = (layout.GOLD, layout.PREDICTIONS)
# Of the configuration, those that are read here or in tables.
_SECTIONS = ("data", "decoding", "model", "train")


class WorkdirError(UserError):
    """A folder without what is needed: says what is missing and how to make it."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run, a folder below `WORKDIR/eval`, under one protocol.

    Its records are read, and judged, when they are first asked for, and then kept: a card needs
    none of them, and nobody judges them twice, whatever it is `called` and by which protocols it is
    looked at. `dataclasses.replace` makes one that starts afresh.

    Attributes:
        folder: of this evaluation.
        name: of the system, unique among those read together.
        metrics: `metrics.json`, its fields that are read here checked; empty where there is none.
        protocol: what counts as correct, a name in `PROTOCOLS`.
        train: the documents that the system was trained on, None where they were not given.
    """

    folder: Path
    name: str
    metrics: dict[str, Any]
    protocol: str
    train: Sequence[Document] | None = None

    @property
    def workdir(self) -> Path:
        """The folder of the run."""
        return self.folder.resolve().parents[1]

    @property
    def files(self) -> list[Path]:
        """What it is read from."""
        return [self.folder / name for name in (*_RECORDS, layout.METRICS)]

    @property
    def split(self) -> str:
        """The split that was evaluated; that which folders are called after by default."""
        return self.metrics.get("split", self.folder.name)

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

    @functools.cached_property
    def pairs(self) -> list[tuple[Document, Document]]:
        """Gold and predicted documents, in the order of the gold file.

        Raises RecordError, ScoringError where they are faulty, or don't belong together.
        """
        gold, predictions = (read_jsonl(layout.inside(self.folder, file)) for file in _RECORDS)
        try:
            return pair(gold, predictions)
        except ScoringError as error:
            raise ScoringError(f"{self.folder}: {error}") from None

    @property
    def gold(self) -> list[Document]:
        """The documents with true triples."""
        return [document for document, _ in self.pairs]

    @property
    def predictions(self) -> list[Document]:
        """The same documents with predicted triples."""
        return [prediction for _, prediction in self.pairs]

    @property
    def relations(self) -> list[str] | None:
        """Those that the checkpoint knew; None where that is not recorded, and gold's count."""
        return _recorded_relations(self.metrics)

    @functools.cached_property
    def judged(self) -> list[Judged]:
        """The documents under `protocol`; raises ScoringError where it needs spans gold lacks."""
        rules = PROTOCOLS[self.protocol]
        return judge(self.gold, self.predictions, rules, relations=self.relations)

    @functools.cached_property
    def total(self) -> Counts:
        """The counts of all documents."""
        return total(self.judged)

    def called(self, name: str) -> Evaluation:
        """The same evaluation by another name."""
        return self._changed(vars(self).keys() - {"_by_protocol"}, name=name)

    def under(self, protocol: str) -> Evaluation:
        """The same evaluation by another protocol, the same one whenever it is asked for."""
        if protocol not in self._by_protocol:
            other = self._changed(("pairs", "_by_protocol"), protocol=protocol)
            self._by_protocol[protocol] = other
        return self._by_protocol[protocol]

    @functools.cached_property
    def _by_protocol(self) -> dict[str, Evaluation]:
        return {self.protocol: self}

    def _changed(self, kept: Collection[str], **fields: Any) -> Evaluation:
        """With other values of some fields, and of what is known already that which is kept."""
        other = dataclasses.replace(self, **fields)
        known = {name: value for name, value in vars(self).items() if name in kept}
        vars(other).update(known | fields)
        return other

    @property
    def by_length(self) -> dict[str, Counts]:
        """Counts of the triples of each of `corpus.LENGTH_CLASSES`."""
        rules = PROTOCOLS[self.protocol]
        return score(self.gold, self.predictions, rules, relations=self.relations).by_length

    @functools.cached_property
    def by_seen(self) -> dict[str, Counts] | None:
        """Counts of the triples that training did not have and had, by `breakdown.SEEN_CLASSES`.

        The evaluation knows best what its checkpoint was trained on; where it does not tell, or
        counted by another protocol, `train` does. None where neither is there.
        """
        recorded = _recorded_by_seen(self.metrics)
        if recorded is not None and self.protocol == _own_protocol(self.metrics):
            return recorded
        if self.train is None:
            return None
        return breakdown.by_seen(self.judged, SeenTriples.of(self.train))

    @property
    def unseen_f1(self) -> float | None:
        """F1 of the triples that training did not have, None where it is not known."""
        return self.by_seen["unseen"].f1 if self.by_seen else None


def setting(facts: Mapping[str, Any], name: str) -> Any:
    """The field of `facts["config"]` with a dotted name, None where it is not there."""
    value: Any = facts.get("config")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def read_evaluations(
    paths: Sequence[Path], split: str, protocol: str | None = None
) -> list[Evaluation]:
    """Every evaluation of `split` in these folders; a path may also be one evaluation's folder.

    Names are those of the run folders, with that of the evaluation where a run has several, and
    whole paths where two would be the same.

    Args:
        paths: run folders, or folders of single evaluations.
        split: as in `config.eval.split`.
        protocol: a name in `PROTOCOLS`; None for that by which each was evaluated.

    Raises:
        WorkdirError: a folder or its evaluation is missing.
        RecordError: its metrics are missing or faulty.
    """
    found = [evaluation for path in paths for evaluation in _of_split(path, split, protocol)]
    return told_apart(found, [evaluation.folder for evaluation in found])


def read_evaluation(path: Path, split: str, protocol: str | None = None) -> Evaluation:
    """The evaluation in a folder of its own, or that in `path/eval/split`.

    Its metrics may be missing. Arguments and errors are otherwise those of `read_evaluations`.
    """
    is_evaluation = _is_evaluation(path)
    folder = path if is_evaluation else layout.inside(path, layout.EVALUATIONS, split)
    if not _is_evaluation(folder):
        raise _missing(path, split)
    found = _read(folder, protocol, needs_metrics=False)
    return found if is_evaluation else _called_after_run(found)


def all_evaluations(workdir: Path) -> list[Evaluation]:
    """Everything in the folder of a run that has metrics, of any split; records may be missing.

    Raises RecordError where metrics are faulty.
    """
    return [_read(folder, None) for folder in _folders_with(workdir, layout.METRICS)]


def told_apart(evaluations: Sequence[Evaluation], places: Iterable[object]) -> list[Evaluation]:
    """The evaluations, those whose name another has as well called by their places instead."""
    names = [evaluation.name for evaluation in evaluations]
    return [
        evaluation.called(str(place)) if names.count(name) > 1 else evaluation
        for evaluation, name, place in zip(evaluations, names, places, strict=True)
    ]


def _own_protocol(metrics: Mapping[str, Any]) -> str:
    """The protocol that the evaluation was scored by."""
    return metrics.get("protocol", "exact")


def _recorded_by_seen(metrics: dict[str, Any]) -> dict[str, Counts] | None:
    """The counts of `breakdown.by_seen`, None where they are not there; raises Fault."""
    if not metrics.keys() & set(breakdown.SEEN_CLASSES):
        return None
    return {name: _counts(name, member(metrics, name, dict)) for name in breakdown.SEEN_CLASSES}


def _counts(name: str, recorded: Mapping[str, Any]) -> Counts:
    found = Counts(*(member(recorded, number, int) for number in _COUNTS))
    if not 0 <= found.correct <= min(found.predicted, found.gold):
        raise Fault(
            f"field {name!r}: {found.correct} correct of {found.predicted} predicted and "
            f"{found.gold} gold triples cannot be"
        )
    return found


def _recorded_relations(metrics: dict[str, Any]) -> list[str] | None:
    """The relations that were known, None where they are not there; raises Fault."""
    return parse_members(metrics, "relations", str, str) if "relations" in metrics else None


def _of_split(path: Path, split: str, protocol: str | None) -> list[Evaluation]:
    if _is_evaluation(path):
        found = _read(path, protocol)
        if found.split != split:
            raise WorkdirError(
                f"{path}: is an evaluation of {found.split}; say --split={found.split}"
            )
        return [found]
    folders = filter(_is_evaluation, _folders_with(path, layout.PREDICTIONS))
    several = [e for e in (_read(folder, protocol) for folder in folders) if e.split == split]
    if not several:
        raise _missing(path, split)
    return several if several[1:] else [_called_after_run(several[0])]


def _read(folder: Path, protocol: str | None, *, needs_metrics: bool = True) -> Evaluation:
    """It is called after its run and its folder."""
    has_metrics = layout.inside(folder, layout.METRICS).is_file()
    metrics = _read_metrics(folder) if has_metrics or needs_metrics else {}
    name = f"{folder.resolve().parents[1].name}/{folder.name}"
    return Evaluation(folder, name, metrics, protocol or _own_protocol(metrics))


def _read_metrics(folder: Path) -> dict[str, Any]:
    """`metrics.json` of an evaluation; raises RecordError where it is missing or faulty."""
    path = layout.inside(folder, layout.METRICS)
    try:
        metrics = parse_object(path.read_bytes())
        member(metrics, "split", str)
        if expect(_own_protocol(metrics), str, "field 'protocol'") not in PROTOCOLS:
            raise Fault(f"unknown protocol {quote(metrics['protocol'])}")
        expect(metrics.get("decoding", {}), dict, "field 'decoding'")
        config = expect(metrics.get("config", {}), dict, "field 'config'")
        for section in _SECTIONS:
            expect(config.get(section, {}), dict, f"field 'config.{section}'")
        _recorded_relations(metrics)
        _recorded_by_seen(metrics)
    except OSError as error:
        reason = f"cannot read: {error.strerror}; evaluate again with --mode=eval"
        raise RecordError(path, None, reason) from None
    except Fault as fault:
        raise RecordError(path, None, str(fault)) from None
    return metrics


def _called_after_run(evaluation: Evaluation) -> Evaluation:
    return evaluation.called(evaluation.workdir.name)


def _folders_with(workdir: Path, name: str) -> list[Path]:
    """The evaluations of a run that have a file of that name, but those being written; sorted."""
    folders = layout.inside(workdir, layout.EVALUATIONS).glob("[!.]*")
    return sorted(
        folder for folder in folders if layout.inside(folder.parent, folder.name, name).is_file()
    )


def _missing(path: Path, split: str) -> WorkdirError:
    if not path.is_dir():
        return WorkdirError(f"{path}: no such folder; give the --workdir of a run")
    found = [folder.name for folder in _folders_with(path, layout.PREDICTIONS)]
    others = f" (there is {', '.join(found)})" if found else ""
    return WorkdirError(
        f"{path}: no evaluation of {split}{others}; make it with python -m grel.main --mode=eval "
        f"--workdir={path} --config.eval.split={split}"
    )


def _is_evaluation(folder: Path) -> bool:
    return all(layout.inside(folder, name).is_file() for name in _RECORDS)
