"""Command line: compiles the programs of a run for accelerators that this machine lacks.

    python -m grel.aot --target=v5e:4x4 --config=configs/unilm.py:large-nyt24 --length=512 \\
        --config.train.batch_size=256 --config.train.accumulation=4 --config.model.remat=True

Whether a configuration fits, and what its devices exchange, is known before any is rented.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import absl.logging
import ml_collections
from absl import flags

from grel import config as config_lib
from grel import recipes
from grel.devices import topologies
from grel.devices.kinds import GIB, peak_flops
from grel.errors import UsageError
from grel.training import ahead

_TARGET = flags.DEFINE_string(
    "target", None, "KIND:TOPOLOGY of TPUs, such as v5e:4x4, or h100x8.", required=True
)
_LENGTH = flags.DEFINE_integer(
    "length", 0, "Tokens of a row; 0 is the last of config.data.buckets.", lower_bound=0
)
_RELATIONS = flags.DEFINE_integer(
    "num_relations", 24, "How many relations the data have.", lower_bound=1
)
_PROGRAMS = flags.DEFINE_list("programs", ["train", "decode"], "Which: train, decode.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object a program.")

_MAKE = {"train": ahead.train_step, "decode": ahead.decoder}
_CONFIG_HELP = "Recipe of a training run, such as configs/unilm.py:large-nyt24."


def shown(program: ahead.Program, target: topologies.Target) -> str:
    """A program in a few lines."""
    num_devices = len(target.devices)
    room = "" if target.memory is None else f" of {target.memory / GIB:.0f}"
    flops = f"{program.flops / num_devices:.3g} FLOPs a device by formula"
    peak = peak_flops(target.devices[0].device_kind)
    if peak is not None:
        flops += f", {1e3 * program.flops / num_devices / peak:.1f} ms at the bfloat16 peak"
    if program.collectives:
        num_bytes = sum(c.num_bytes for c in program.collectives)
        arrays = sum(c.num_arrays for c in program.collectives)
        exchanged = (
            f"one group of all-reduces a step: {len(program.collectives)} of {arrays} arrays, "
            f"{num_bytes / 1e6:,.1f} MB"
        )
    else:
        exchanged = "no collectives"
    return "\n".join(
        (
            f"{program.name} on {num_devices} x {target.devices[0].device_kind}",
            f"  {program.memory / GIB:.2f}{room} GiB a device: arguments "
            f"{program.arguments / GIB:.2f}, temporary {program.temporaries / GIB:.2f}",
            f"  {flops}",
            f"  {exchanged}",
            f"  compiled in {program.seconds:.0f} s",
        )
    )


def _run(config: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    del fields  # set already
    absl.logging.set_verbosity(absl.logging.WARNING)
    for name in _PROGRAMS.value:
        if name not in _MAKE:
            raise UsageError(f"--programs: there is no {name!r}; there are {', '.join(_MAKE)}")
    target = topologies.target(_TARGET.value)
    config_lib.check(config, num_devices=len(target.devices), num_processes=1)
    system = ahead.stand_in(config, _RELATIONS.value)
    length = _LENGTH.value or config.data.buckets[-1]
    if length > system.model.max_positions:
        raise UsageError(
            f"--length={length}: config.model.max_positions is {system.model.max_positions}"
        )
    for name in _PROGRAMS.value:
        program = _MAKE[name](system, target, length)
        if _JSON.value:
            facts = vars(program) | {"target": target.name, "memory": program.memory}
            facts["collectives"] = [c._asdict() for c in program.collectives]
            print(json.dumps(facts), flush=True)
        else:
            print(shown(program, target), flush=True)


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return recipes.run(_run, default=lambda _: config_lib.__file__, help=_CONFIG_HELP)


if __name__ == "__main__":
    sys.exit(main())
