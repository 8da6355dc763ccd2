"""One folder, one run: the lock that a training holds, and what tells one run from another.

A run is one configuration, one training and one validation set, one tokenizer. Its checkpoints, the
best one included, and its `run.json` say which, and bear a number of the run's own; what belongs to
another is refused before anything is compiled. Else a folder's best model could be of a run that
the rest of the folder knows nothing of.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ml_collections

from grel.extraction.opening import read_config
from grel.fields import DATA_PLACES, leaves
from grel.files import locks
from grel.files.faults import RecordError
from grel.runs import layout
from grel.runs import record as run_record
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.runs.record import TRAINING_DATA


@contextlib.contextmanager
def only_training_in(workdir: Path, *, quiet: bool = False) -> Iterator[None]:
    """Holds the folder's lock; with `quiet`, for all but the first process of a pod, does nothing.

    Raises RecordError where another training holds it, or the folder can't be written to, and
    LinkError where something in it that a training reads or writes is a link.
    """
    path = workdir / layout.LOCK
    with contextlib.ExitStack() as stack:
        if not quiet:
            for name in (
                *(layout.RECORD, layout.TRAINING_LOG, layout.TENSORBOARD),
                *layout.CHECKPOINTS.values(),
            ):
                layout.inside(workdir, name)
            try:
                workdir.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locks.locked_file(path, wait=False))
            except locks.LockedError:
                problem = "another training is at work here: wait for it, or use another --workdir"
                raise RecordError(workdir, None, problem) from None
            except OSError as error:
                raise RecordError(path, None, f"cannot write: {error.strerror}") from None
        yield


class Trace(NamedTuple):
    """What a run left behind: where, and the facts `config`, `fingerprints` and `run` of it."""

    where: Path
    config: ml_collections.ConfigDict
    fingerprints: Mapping[str, str]
    run: str | None


def traces(workdir: Path, folders: Sequence[Checkpoints]) -> list[Trace]:
    """What runs left in a work folder: their newest checkpoints in `folders`, and `run.json`.

    Weights that `python -m grel.pretrained` put there, as of step 0, are of no run. A damaged
    `run.json` is as none. Raises CheckpointError where a checkpoint is damaged.
    """
    found = []
    for checkpoints in folders:
        if checkpoints.latest_step is None:
            continue
        about = checkpoints.about()
        if about.get("step") == 0:
            continue
        fingerprints = about.get("fingerprints", {})
        if "data_fingerprint" in about:  # of an earlier version
            fingerprints = {TRAINING_DATA: about["data_fingerprint"]}
        config = read_config(about, checkpoints.folder)
        found.append(Trace(checkpoints.folder, config, fingerprints, about.get("run")))
    with contextlib.suppress(RecordError):
        if facts := run_record.read(workdir):
            path = workdir / layout.RECORD
            config = read_config({"config": json.dumps(facts["config"])}, path)
            found.append(Trace(path, config, facts["fingerprints"], facts.get("run")))
    return found


def refuse_another_config(found: Sequence[Trace], config: ml_collections.ConfigDict) -> None:
    """Raises CheckpointError where a trace is of a run with another configuration."""
    for trace in found:
        _refuse_changes(trace.config, config, trace.where)


def _refuse_changes(
    then: ml_collections.ConfigDict, now: ml_collections.ConfigDict, folder: Path
) -> None:
    """A run goes on only as it began, but for where things lie and how often they are written.

    Raises CheckpointError where a field of the configuration that `folder` began with changed.
    """
    old, new = leaves(then), leaves(now)
    changed = [
        f"config.{name}"
        for name in new
        if not name.startswith(_MAY_CHANGE) and old.get(name) != new[name]
    ]
    if changed:
        raise CheckpointError(
            f"{folder}: the run began with another {', '.join(changed)}; use the old value or "
            "another --workdir"
        )


# What is left decides what is trained, or what its F1 on validation data means.
_MAY_CHANGE = (
    *DATA_PLACES,
    *("decoding.batch_size", "eval.split", "eval.name", "eval.checkpoint", "eval.end_biases"),
    *("train.log_every", "train.eval_every", "train.checkpoint_every"),
    *("train.keep", "train.patience", "train.max_skipped"),
)


def facts(
    fingerprints: Mapping[str, str], latest: Checkpoints, best: Checkpoints
) -> dict[str, str | None]:
    """What the processes of a pod must have in common before the first step."""
    return {
        **fingerprints,
        "newest checkpoint": latest.digest(),
        "best checkpoint": best.digest(),
    }


def run_id(found: Sequence[Trace], fingerprints: Mapping[str, str]) -> str:
    """The number of the run that left the traces; a new one where there are none.

    Raises CheckpointError where one is of other data or another tokenizer than `fingerprints` say,
    or they are of different runs.
    """
    for trace in found:
        then = trace.fingerprints
        changed = [name for name, value in fingerprints.items() if then.get(name, value) != value]
        if changed:
            raise CheckpointError(
                f"{trace.where}: the {' and the '.join(changed)} changed since the run began; use "
                "what was there, or another --workdir"
            )
    known = {trace.run: trace.where for trace in found if trace.run is not None}
    if len(known) > 1:
        one, other, *_ = known.values()
        raise CheckpointError(
            f"{one} and {other} are of different runs; use another --workdir, or remove what does "
            "not belong here"
        )
    return next(iter(known), None) or secrets.token_hex(8)
