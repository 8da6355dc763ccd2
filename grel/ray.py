"""Extraction on a Ray cluster: folders of files in, a folder of documents out.

    python -m grel.ray --workdir=runs/demo --input=s3://bucket/texts --output=s3://bucket/triples

Connects to the cluster that RAY_ADDRESS names or that this machine is part of, or else starts one
on this machine alone. Triples are those that `grel.main --mode=predict` writes. The run folder must
be at a path that all machines see.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import absl.logging
import jax
import ml_collections
from absl import flags

from grel import recipes
from grel.errors import EMPTY_PATH, MissingLibraryError, UsageError, UserError
from grel.extraction.extractor import Extractor
from grel.files.reading import INPUT_FORMATS

if TYPE_CHECKING:
    from grel.extraction import pool

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, at a path that all machines see.", required=True
)
_INPUT = flags.DEFINE_multi_string(
    "input",
    None,
    "File, or folder with all that is below it; local or s3://, gs://, hdfs://, abfss://. May be "
    "given several times.",
    required=True,
)
_INPUT_FORMAT = flags.DEFINE_enum(
    "input_format",
    "auto",
    [*INPUT_FORMATS, "parquet"],
    "What each file is; auto goes by its name and its beginning.",
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder for documents-*, faults-*.jsonl and, in the end, summary.json; empty or not there.",
    required=True,
)
_OUTPUT_FORMAT = flags.DEFINE_enum(
    "output_format", "jsonl", ["jsonl", "parquet"], "What documents are written as."
)
_NUM_ACTORS = flags.DEFINE_integer(
    "num_actors",
    0,
    "Extractors; 0 is one a GPU or TPU chip of the cluster, or one a machine where there are none.",
    lower_bound=0,
)
_CPUS_PER_ACTOR = flags.DEFINE_float(
    "cpus_per_actor", 1.0, "CPUs that Ray sets aside for each.", lower_bound=0.1
)
_MIN_SCORE = flags.DEFINE_float("min_score", 0.0, "Leave out triples whose score is lower.")
_TUNED = flags.DEFINE_bool("tuned", False, "Use the balance that --mode=tune found.")
_RELATIONS = flags.DEFINE_list(
    "relations", None, "Write these only; needs --config.decoding.structure=on."
)
_WINDOWS = flags.DEFINE_bool(
    "windows", True, "Read texts that are too long for the model in overlapping windows."
)
for _name in ("workdir", "output"):
    flags.register_validator(_name, lambda given: given != "", EMPTY_PATH)
flags.register_validator("cpus_per_actor", math.isfinite, "it must be a finite number")

_CONFIG_HELP = (
    "Not needed: the fields are those of the run. --config.decoding.FIELD=VALUE sets one, and "
    "--config.eval.checkpoint=latest takes the newest checkpoint."
)


def open_extractor(
    workdir: str, checkpoint: str, relations: Sequence[str] | None, **options: Any
) -> Extractor:
    """What each actor extracts with."""
    extractor = Extractor.from_checkpoint(workdir, checkpoint, **options)
    return extractor if relations is None else extractor.restricted(relations)


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the extractors."""
    return {
        "workdir": _WORKDIR.value,
        "checkpoint": fields.get("eval.checkpoint", "best"),
        "relations": _RELATIONS.value,
        "tuned": _TUNED.value,
        "windows": _WINDOWS.value,
        "min_score": _MIN_SCORE.value,
        **recipes.decoding_fields(fields),
    }


def _run(config: ml_collections.ConfigDict | None, fields: Mapping[str, Any]) -> None:
    del config  # that of the run stands in its checkpoints
    try:
        # Not at the top of the file: Ray is an extra.
        import ray

        from grel.extraction import pool
    except ImportError as error:
        reason = f"grel.ray needs Ray ({error}): pip install 'ray[data]'"
        raise MissingLibraryError(reason) from None
    absl.logging.set_verbosity(absl.logging.WARNING)  # Orbax tells every step of what it reads
    options = _options(fields)
    # What can't be opened is told here, in one line, and not by every actor. The accelerator of
    # this machine is left to them.
    jax.config.update("jax_platforms", "cpu")
    open_extractor(**options)
    try:
        ray.init(log_to_driver=False)
    except ConnectionError as error:
        raise UserError(f"cannot join the Ray cluster; see RAY_ADDRESS: {error}") from None
    num_alive = sum(node["Alive"] for node in ray.nodes())  # it lists those that left, too
    devices, num_actors = _shared_out(ray.cluster_resources(), num_alive)
    print(f"{num_actors} actors, {devices.accelerator or 'CPU'}", file=sys.stderr)
    done = pool.run(
        functools.partial(open_extractor, **options),
        _INPUT.value,
        _OUTPUT.value,
        num_actors=num_actors,
        devices=devices,
        input_format=_INPUT_FORMAT.value,
        output_format=_OUTPUT_FORMAT.value,
    )
    print(f"done: {done.summary.to_json()}", file=sys.stderr)
    if done.num_unread:
        raise UserError(
            f"{_OUTPUT.value}: {done.num_unread} files could not be read to their end; "
            "faults-*.jsonl say which"
        )


def _shared_out(resources: Mapping[str, float], num_nodes: int) -> tuple[pool.Devices, int]:
    """What each actor has, and how many there are; raises UsageError where they do not fit."""
    from grel.extraction.pool import Devices

    accelerator = next((name for name in ("GPU", "TPU") if resources.get(name)), "")
    there_are = int(resources[accelerator]) if accelerator else num_nodes
    num_actors = _NUM_ACTORS.value or there_are
    if accelerator and num_actors > there_are:
        raise UsageError(f"--num_actors={num_actors}: the cluster has {there_are} {accelerator}s")
    num_cpus = resources.get("CPU", 0)
    if num_actors * _CPUS_PER_ACTOR.value > num_cpus - 1:
        raise UsageError(
            f"{num_actors} actors with {_CPUS_PER_ACTOR.value:g} CPUs each leave none of "
            f"{num_cpus:g} for reading and writing; see --num_actors and --cpus_per_actor"
        )
    return Devices(_CPUS_PER_ACTOR.value, accelerator), num_actors


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    remote = ("input", "output")
    return recipes.run(_run, default=recipes.of_run, help=_CONFIG_HELP, remote=remote)


if __name__ == "__main__":
    sys.exit(main())
