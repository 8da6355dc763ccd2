"""Checkpoints: what a run needs to go on, and an evaluation to start, from one folder.

A checkpoint is written beside and renamed at the end, and one that is removed is renamed first, so
a run killed meanwhile leaves whole ones only. What Orbax does not notice is a flipped bit, so the
digests of every array and of everything else are stored and compared, and numbers that are not
finite are neither written nor read. State is saved as numpy arrays of one replica by the first
process alone: a checkpoint from eight devices opens on one.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from grel import parallel
from grel.errors import UserError
from grel.files.faults import Fault
from grel.files.parsing import parse_object
from grel.files.writing import replacing
from grel.runs import digests, layout

_LOG = logging.getLogger(__name__)

# 2 has the digest of `about`; 1 is still read.
_FORMAT = 2


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of another shape: says which and what to do."""


class DamageError(CheckpointError):
    """A checkpoint that is not as it was written, or should never have been."""


class Checkpoints:
    """A folder of checkpoints by step.

    Each holds two trees, `params` and `training` (the rest of the state), so that an evaluation
    reads only the first, and `about`: a JSON object with whatever is needed to use them.

    Args:
        folder: made where it is missing, unless `read_only`.
        keep: how many of the newest to keep.
        read_only: leave the folder as it is, for a run may be writing to it.

    Raises CheckpointError where it cannot be written to; LinkError, here and in the methods, where
    it or something in it is a link.

    Attributes:
        latest_step: of the newest, be it still under way; None where there is none.
    """

    def __init__(self, folder: str | Path, keep: int = 1, read_only: bool = False):
        folder = Path(folder).absolute()
        self.folder = layout.inside(folder.parent, folder.name)
        self._keep = keep
        self._writes = not read_only and parallel.process()[0] == 0
        if self._writes:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                for left_by_a_killed_run in self.folder.glob(f"*{ocp.utils.TMP_DIR_SUFFIX}*"):
                    shutil.rmtree(layout.inside(self.folder, left_by_a_killed_run.name))
            except OSError as error:
                raise CheckpointError(f"{self.folder}: cannot write: {error.strerror}") from None
        self._saver = ThreadPoolExecutor(1, "checkpoints")
        self._saving: Future[None] | None = None
        self.latest_step = max(self.steps(), default=None)

    def steps(self) -> list[int]:
        """Of all checkpoints that are complete, ascending."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir()]
        steps = [int(name) for name in names if name.isdecimal() and name == str(int(name))]
        return sorted(s for s in steps if layout.inside(self.folder, str(s)).is_dir())

    def recover(self) -> None:
        """Sets damaged checkpoints aside, from the newest down to the first that is whole.

        All processes of a pod must call it. Raises CheckpointError where one can't be set aside.
        """
        if self._writes:
            for step in reversed(self.steps()):
                try:
                    self.verify(step)
                    break
                except DamageError as error:
                    aside = self._set_aside(step)
                    _LOG.error("set aside as %s: %s", aside, error)
        parallel.wait_for_all(f"recovered {self.folder.name}")
        self.latest_step = max(self.steps(), default=None)

    def _set_aside(self, step: int) -> str:
        damaged = self.folder / str(step)
        taken = {path.name for path in self.folder.glob(f"{step}.damaged*")}
        names = (f"{step}.damaged{f'-{n}' if n else ''}" for n in range(len(taken) + 1))
        aside = damaged.with_name(next(name for name in names if name not in taken))
        try:
            return damaged.rename(aside).name
        except OSError as error:
            raise CheckpointError(f"{damaged}: cannot rename: {error.strerror}") from None

    def verify(self, step: int) -> None:
        """Reads all of a checkpoint; raises CheckpointError where it is damaged."""
        self._read(step, dict.fromkeys(self.about(step)["digests"]))
        self._tuned(step)

    def save(self, step: int, params: Any, training: Any | None, about: dict[str, Any]) -> None:
        """Starts saving trees of host arrays, which are copied; `wait` says whether it worked.

        Without `training` there is nothing to go on from, only parameters to start from. Later
        steps, from which a run did not go on, are removed. Raises CheckpointError where the save
        before failed.
        """
        self.wait()
        self.latest_step = step
        if self._writes:
            trees = {"params": params} | ({} if training is None else {"training": training})
            # The caller's may be the buffers of a device, which the next step overwrites.
            trees = jax.tree.map(np.array, trees)
            self._saving = self._saver.submit(self._write, step, trees, about)

    def _write(self, step: int, trees: dict[str, Any], about: dict[str, Any]) -> None:
        for name, tree in trees.items():
            if (array := digests.not_finite(tree)) is not None:
                raise CheckpointError(
                    f"{self.folder}: array {name}/{array} holds NaN or infinity at step {step}, "
                    "which is not saved; the checkpoint before it is intact"
                )
        found = {name: digests.of_arrays(tree) for name, tree in trees.items()}
        about = {"format": _FORMAT, "digests": found, **about}
        about["digest"] = digests.of_json(about)
        try:
            args = ocp.args.Composite(
                about=ocp.args.JsonSave(about),
                **{name: ocp.args.StandardSave(tree) for name, tree in trees.items()},
            )
            with _ONE_SAVE:
                self._checkpointer().save(self.folder / str(step), args=args)
            later = [other for other in self.steps() if other > step]
            earlier = [other for other in self.steps() if other < step]
            for other in later + earlier[: max(0, len(earlier) - self._keep + 1)]:
                self._remove(other)
        except Exception as error:
            raise CheckpointError(
                f"{self.folder}: saving step {step} failed ({_reason(error)}); the checkpoint "
                "before it is intact"
            ) from error

    def _remove(self, step: int) -> None:
        """Where the process is killed meanwhile, what is left is swept up at the next start."""
        removed = self.folder / f"{step}{ocp.utils.TMP_DIR_SUFFIX}-removed"
        shutil.rmtree((self.folder / str(step)).rename(removed))

    def check(self) -> None:
        """Raises CheckpointError where a save has failed; does not wait for one under way."""
        if self._saving is not None and self._saving.done():
            self.wait()

    def wait(self) -> None:
        """Blocks until what was saved is on disk; raises CheckpointError where it is not."""
        if self._saving is None:
            return
        saving, self._saving = self._saving, None
        try:
            saving.result()
        except CheckpointError:
            self.latest_step = max(self.steps(), default=None)
            raise

    def about(self, step: int | None = None) -> dict[str, Any]:
        """What a checkpoint says of itself, the newest unless told otherwise."""
        return self._read(step, {})["about"]

    def digest(self) -> str | None:
        """Of all that the newest holds, arrays included; None where there is none."""
        return None if self.latest_step is None else digests.of_json(self.about())

    def params(self, like: Any) -> Any:
        """Parameters of the newest checkpoint, in the shapes of `like`."""
        return self._read(None, {"params": like})["params"]

    def state(self, params_like: Any, training_like: Any) -> tuple[Any, Any]:
        """(params, training) of the newest checkpoint, in the shapes of the two templates."""
        trees = self._read(None, {"params": params_like, "training": training_like})
        return trees["params"], trees["training"]

    def tuned(self) -> dict[str, Any] | None:
        """What `write_tuned` added to the newest checkpoint, None where nothing was."""
        return self._tuned(self.latest_step)

    def _tuned(self, step: int | None) -> dict[str, Any] | None:
        path = self._tuned_path(step)
        if not path.exists():
            return None
        try:
            record = parse_object(path.read_bytes())
            # Earlier versions gave it no digest.
            digest = record.pop("digest", None)
            if digest not in (None, digests.of_json(record)):
                raise Fault("is damaged (its digest differs)")
        except (OSError, Fault) as error:
            raise CheckpointError(f"{path}: {error}; delete it and tune again") from None
        return record

    def write_tuned(self, record: dict[str, Any], step: int) -> None:
        """Adds JSON to the checkpoint of a step, in place of what was added before.

        Raises CheckpointError where it is no longer there, as when training went on meanwhile.
        """
        if step not in self.steps():
            raise CheckpointError(
                f"{self.folder}: the checkpoint of step {step} was replaced meanwhile; tune again"
            )
        record = {**record, "digest": digests.of_json(record)}
        with replacing(self._tuned_path(step), through_links=False) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())

    def _tuned_path(self, step: int | None) -> Path:
        return layout.inside(self.folder, str(step), layout.TUNED)

    def close(self) -> None:
        """Waits for saves under way and lets go of the folder."""
        try:
            self.wait()
        finally:
            self._saver.shutdown()

    def _read(self, step: int | None, likes: dict[str, Any]) -> dict[str, Any]:
        """`about` and the trees that `likes` has templates for; None takes a tree as it is."""
        self.wait()  # what is still being written counts as the newest
        step = self.latest_step if step is None else step
        if step is None:
            raise CheckpointError(
                f"{self.folder}: no checkpoint here; train first with --mode=train, or check "
                "--workdir"
            )
        folder = layout.inside(self.folder, str(step))
        layout.refuse_links(folder)
        trees = {
            name: ocp.args.StandardRestore(None if like is None else jax.tree.map(_unread, like))
            for name, like in likes.items()
        }
        try:
            args = ocp.args.Composite(about=ocp.args.JsonRestore(), **trees)
            restored = self._checkpointer().restore(folder, args=args)
        except Exception as error:
            if step not in self.steps():
                raise CheckpointError(
                    f"{self.folder}: the checkpoint of step {step} was replaced meanwhile; run it "
                    "again"
                ) from None
            raise DamageError(f"{folder}: cannot be read ({_reason(error)}); {_REMEDY}") from error
        about = restored["about"]
        _check_about(folder, about)
        for name, like in likes.items():
            _check_tree(folder, name, restored[name], like, about["digests"].get(name))
        return {"about": about} | {name: restored[name] for name in likes}

    def _checkpointer(self) -> ocp.Checkpointer:
        # Each process reads and writes by itself: no barrier may fall between the steps of a pod.
        index, _ = parallel.process()
        alone = ocp.options.MultiprocessingOptions(index, {index}, self.folder.name)
        return ocp.Checkpointer(
            ocp.CompositeCheckpointHandler(
                composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
                params=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
                training=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
                about=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
            ),
            multiprocessing_options=alone,
        )


# Orbax numbers what a process saves; of two saves at once, one would wait for a signal that the
# other one got.
_ONE_SAVE = threading.Lock()
_REMEDY = "--mode=train sets it aside and uses the one before it"


def _unread(leaf: Any) -> np.ndarray:
    """Shape and type of an array as Orbax takes them, without its memory."""
    return np.broadcast_to(np.zeros((), leaf.dtype), np.shape(leaf))


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_about(folder: Path, about: Any) -> None:
    """Raises CheckpointError where it is damaged, or of a format that is not known."""
    known = isinstance(about, dict) and isinstance(about.get("digests"), dict)
    if not known or not all(isinstance(found, dict) for found in about["digests"].values()):
        raise DamageError(f"{folder}: about is damaged (it lacks the digests); {_REMEDY}")
    if about.get("format") not in range(1, _FORMAT + 1):
        raise CheckpointError(
            f"{folder}: written in format {about.get('format')}, this version of grel reads up to "
            f"{_FORMAT}"
        )
    others = {name: value for name, value in about.items() if name != "digest"}
    if (about["format"] > 1 or "digest" in about) and about.get("digest") != digests.of_json(
        others
    ):
        raise DamageError(f"{folder}: about is damaged (its digest differs); {_REMEDY}")


def _check_tree(
    folder: Path, name: str, tree: Any, like: Any | None, expected: dict[str, str] | None
) -> None:
    """Raises CheckpointError where it has other shapes, other bits or numbers that are none."""
    if like is not None and jax.tree.map(_shape, like) != jax.tree.map(_shape, tree):
        raise CheckpointError(f"{folder}: the shapes of {name} are not those of the config")
    found = digests.of_arrays(tree)
    if found != expected:
        wrong = sorted(set(found.items()) ^ set((expected or {}).items()))[0][0]
        raise DamageError(
            f"{folder}: array {name}/{wrong} is damaged (its digest differs); {_REMEDY}"
        )
    if (array := digests.not_finite(tree)) is not None:
        raise DamageError(f"{folder}: array {name}/{array} holds NaN or infinity; {_REMEDY}")


def _shape(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    return tuple(np.shape(leaf)), np.dtype(leaf.dtype)


def faults(workdir: Path) -> Iterator[str]:
    """What is wrong with the checkpoints of a run, a line each."""
    folders = [workdir / name for name in layout.CHECKPOINTS.values() if (workdir / name).is_dir()]
    if not folders:
        yield f"{workdir}: no checkpoints here; check --verify"
    for folder in folders:
        checkpoints = Checkpoints(folder, read_only=True)
        for step in checkpoints.steps():
            try:
                checkpoints.verify(step)
            except CheckpointError as error:
                yield str(error)
