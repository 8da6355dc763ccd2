"""Opens trained runs: a checkpoint becomes a system and its parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_collections

from grel import config as config_lib
from grel.errors import ConfigError, expand_home, refuse_remote
from grel.families.base import System
from grel.families.registry import FAMILIES
from grel.runs import layout
from grel.runs.checkpoint import CheckpointError, Checkpoints

COMPILE_CACHE = "~/.cache/grel/xla"


def cache_compilations(folder: str | Path = COMPILE_CACHE) -> None:
    """Keeps compiled programs in a folder, so that the next process starts without compiling them.

    Does nothing where JAX has a cache already, as by JAX_COMPILATION_CACHE_DIR. What is in the
    folder is run, so nobody else may write to it.
    """
    field = "jax_compilation_cache_dir"
    if getattr(jax.config, field) is None:
        jax.config.update(field, str(expand_home(folder)))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def read_config(about: Mapping[str, Any], where: str | Path) -> ml_collections.ConfigDict:
    """The configuration in `about` of a checkpoint; fields that came later have their defaults.

    Raises CheckpointError where it is damaged, ConfigError where it has fields that this version
    does not know; both tell `where` it is.
    """
    try:
        return config_lib.from_json(about["config"])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{where}: its config is damaged ({error!r})") from None


def from_about(about: Mapping[str, Any], where: str | Path = "the checkpoint") -> System:
    """The system that `about` of a checkpoint describes.

    Raises CheckpointError where it is damaged, ConfigError where it has fields or values that this
    version does not know.
    """
    config = read_config(about, where)
    config_lib.check(config, num_devices=1, num_processes=1, trains=False)
    try:
        return FAMILIES[config.model.family].from_about(config, about)
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: about is damaged ({error!r})") from None


def load(workdir: str | Path, checkpoint: str) -> tuple[System, Any, dict[str, Any]]:
    """System, host parameters and `about` of a run's "best" or "latest" checkpoint.

    Under "tuned" `about` has what `Checkpoints.tuned` says.
    """
    if checkpoint not in layout.CHECKPOINTS:
        raise CheckpointError(
            f"checkpoint is {checkpoint!r}; one of {', '.join(layout.CHECKPOINTS)}"
        )
    refuse_remote(str(workdir), CheckpointError)
    folder = Path(workdir) / layout.CHECKPOINTS[checkpoint]
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; train first, or check --workdir")
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        about = checkpoints.about() | {"tuned": checkpoints.tuned()}
        system = from_about(about, folder)
        return system, checkpoints.params(system.params_like()), about
