"""Checkpoints: what a run needs to go on, and an evaluation to start, from one folder.

Orbax writes asynchronously and renames at the end, so a run killed while saving leaves the previous
checkpoint whole. What it does not notice is a flipped bit in an array, so every array's digest is
stored and compared. State is saved as numpy arrays of one replica: a checkpoint from eight devices
opens on one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from grel.errors import UserError
from grel.textio import Fault, parse_object, replacing

# The checkpoints of a run: of the best validation F1, and the newest.
FOLDERS = {"best": "best", "latest": "checkpoints"}

_FORMAT = 1


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of another shape: says which and what to do."""


class Checkpoints:
    """A folder of checkpoints by step.

    Each holds two trees, `params` and `training` (the rest of the state), so that an evaluation
    reads only the first, and `about`: a JSON object with whatever is needed to use them.

    Args:
        folder: made where it is missing, unless `read_only`.
        keep: how many of the newest to keep.
        read_only: leave the folder as it is, for a run may be writing to it.
    """

    def __init__(self, folder: str | Path, keep: int = 1, read_only: bool = False):
        self.folder = Path(folder).absolute()
        if not read_only and jax.process_index() == 0:
            # Orbax would do so in a thread that outlives `close`.
            for left_by_a_killed_run in self.folder.glob(f"*{ocp.utils.TMP_DIR_SUFFIX}*"):
                shutil.rmtree(left_by_a_killed_run)
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.LatestN(keep),
                create=not read_only,
                # Two managers may save the same step at once; without names of their own the
                # barriers that the processes wait at would be taken for one another.
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    barrier_sync_key_prefix=self.folder.name
                ),
            ),
            item_handlers={
                "params": ocp.StandardCheckpointHandler(),
                "training": ocp.StandardCheckpointHandler(),
                "about": ocp.JsonCheckpointHandler(),
            },
        )

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, params: Any, training: Any | None, about: dict[str, Any]) -> None:
        """Starts saving trees of host arrays; `wait` says whether it worked.

        Without `training` there is nothing to go on from, only parameters to start from.
        """
        trees = {"params": params} | ({} if training is None else {"training": training})
        digests = {name: _digests(tree) for name, tree in trees.items()}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                about=ocp.args.JsonSave({"format": _FORMAT, "digests": digests, **about}),
                **{name: ocp.args.StandardSave(tree) for name, tree in trees.items()},
            ),
        )

    def wait(self) -> None:
        """Blocks until what was saved is on disk; raises CheckpointError where it is not."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise CheckpointError(
                f"{self.folder}: saving failed ({error}); the checkpoint before it is intact"
            ) from error

    def reached_preemption(self, step: int) -> bool:
        """Whether the processes of a pod agreed to stop at this step; see jax.distributed."""
        return self._manager.reached_preemption(step)

    def about(self) -> dict[str, Any]:
        """What the newest checkpoint says of itself."""
        return self._restore(about=ocp.args.JsonRestore())["about"]

    def params(self, like: Any) -> Any:
        """Parameters of the newest checkpoint, in the shapes of `like`."""
        return self._trees(params=like)["params"]

    def state(self, params_like: Any, training_like: Any) -> tuple[Any, Any]:
        """(params, training) of the newest checkpoint, in the shapes of the two templates."""
        trees = self._trees(params=params_like, training=training_like)
        return trees["params"], trees["training"]

    def tuned(self) -> dict[str, Any] | None:
        """What `write_tuned` added to the newest checkpoint, None where nothing was."""
        path = self._tuned_path()
        try:
            return parse_object(path.read_bytes()) if path.exists() else None
        except (OSError, Fault) as error:
            raise CheckpointError(f"{path}: {error}; delete it and tune again") from None

    def write_tuned(self, record: dict[str, Any]) -> None:
        """Adds JSON to the newest checkpoint, in place of what was added before."""
        with replacing(self._tuned_path()) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())

    def _tuned_path(self) -> Path:
        return self.folder / str(self.latest_step) / "tuned.json"

    def close(self) -> None:
        """Waits for saves under way and lets go of the folder."""
        self.wait()
        self._manager.close()

    def _trees(self, **like: Any) -> dict[str, Any]:
        abstract = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
        restored = self._restore(
            about=ocp.args.JsonRestore(),
            **{name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()},
        )
        for name, tree in like.items():
            _compare(self.folder, name, restored[name], tree, restored["about"]["digests"][name])
        return {name: restored[name] for name in like}

    def _restore(self, **args: Any) -> Any:
        self.wait()  # what is still being written counts as the newest
        step = self.latest_step
        if step is None:
            raise CheckpointError(
                f"{self.folder}: no checkpoint here; train first with --mode=train, or check "
                "--workdir"
            )
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error)
            raise CheckpointError(
                f"{self.folder}/{step}: cannot be read ({reason}); delete this step to use the one "
                "before it"
            ) from error
        if restored["about"].get("format") != _FORMAT:
            raise CheckpointError(
                f"{self.folder}/{step}: written in format {restored['about'].get('format')}, this "
                f"version of grel reads {_FORMAT}"
            )
        return restored


def _digests(tree: Any) -> dict[str, str]:
    """Of each leaf, by its path: shape, type and bytes."""
    digests = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        digest = hashlib.blake2b(f"{np.shape(leaf)} {array.dtype}".encode(), digest_size=16)
        digest.update(array.data)
        digests[jax.tree_util.keystr(path, simple=True, separator="/")] = digest.hexdigest()
    return digests


def _compare(folder: Path, name: str, tree: Any, like: Any, expected: dict[str, str]) -> None:
    shapes = jax.tree.map(lambda x: (tuple(np.shape(x)), np.dtype(x.dtype)), like)
    found = jax.tree.map(lambda x: (tuple(np.shape(x)), np.dtype(x.dtype)), tree)
    if shapes != found:
        raise CheckpointError(f"{folder}: the shapes of {name} are not those of the config")
    digests = _digests(tree)
    if digests != expected:
        wrong = sorted(set(digests.items()) ^ set(expected.items()))[0][0]
        raise CheckpointError(
            f"{folder}: array {name}/{wrong} is damaged (its digest differs); delete this step to "
            "use the one before it"
        )
