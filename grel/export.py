"""Command line: a trained model for programs that do without grel.

    python -m grel.export --to=hf --workdir=runs/demo --output=exported
    python -m grel.export --to=stablehlo --workdir=runs/demo --output=exported \\
        --config.decoding.structure=on

The first writes encoder and heads as a Transformers folder, the second all of decoding as programs
that JAX runs on CPUs, CUDA and TPUs. docs/EXPORT.md says what is in them and how to use it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import absl.logging
import jax
import ml_collections
from absl import flags

from grel import recipes
from grel.errors import EMPTY_PATH, MissingLibraryError, UsageError
from grel.exports import hf, schema, stablehlo
from grel.exports.schema import ExportError
from grel.extraction import opening, tuning
from grel.extraction.extractor import Extractor
from grel.files.folders import replacing_folder

_TO = flags.DEFINE_enum("to", None, ["hf", "stablehlo"], "What to write.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write, a new one.", required=True)
_BUCKETS = flags.DEFINE_list(
    "buckets",
    None,
    "stablehlo: lengths of sources in wordpieces, [CLS] and [SEP] counted, such as 64,128, a "
    "program each; longer texts are cut to the last. Those of the run if not given.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "stablehlo: texts of a batch; that of the run if not given.", lower_bound=1
)
_TUNED = flags.DEFINE_bool(
    "tuned", False, "stablehlo: with the end bias and least score that --mode=tune found."
)
for _name in ("workdir", "output"):
    flags.register_validator(_name, lambda given: given != "", EMPTY_PATH)

_CONFIG_HELP = "--config.decoding.FIELD=VALUE sets how to decode, as for predict; stablehlo only."


def _buckets() -> list[int] | None:
    given = _BUCKETS.value
    if given is not None and not all(bucket.isdecimal() for bucket in given):
        raise UsageError(f"--buckets={','.join(given)}: they are lengths, such as 64,128")
    return None if given is None else [int(bucket) for bucket in given]


def _export(checkpoint: str, decoding: Mapping[str, Any], buckets: list[int] | None) -> None:
    output = Path(_OUTPUT.value)
    if output.exists() or output.is_symlink():
        raise ExportError(f"{output}: is there already; name another --output")
    system, params, about = opening.load(_WORKDIR.value, checkpoint)
    exported, min_score = schema.exportable(system), 0.0
    if _TO.value == "stablehlo":
        extractor = Extractor(system, params, **decoding)
        if _TUNED.value:
            balance = tuning.read(about["tuned"], extractor)
            extractor, min_score = extractor.balanced(*balance), balance.min_score
        exported = schema.exportable(extractor.system)
    with replacing_folder(output, through_links=True) as folder:
        if _TO.value == "hf":
            hf.write(folder, exported, params)
        else:
            stablehlo.write(
                folder,
                exported,
                params,
                buckets=buckets,
                batch_size=_BATCH_SIZE.value,
                min_score=min_score,
                tell=lambda line: print(line, file=sys.stderr),
            )
    print(f"{output}: written; docs/EXPORT.md says how it is used")


def _run(config: ml_collections.ConfigDict | None, fields: Mapping[str, Any]) -> None:
    assert config is not None  # `recipes.of_run` always names one
    absl.logging.set_verbosity(absl.logging.WARNING)  # Orbax tells every step of a restore
    decoding, buckets = recipes.decoding_fields(fields), _buckets()
    of_programs = buckets, _BATCH_SIZE.value, _TUNED.value or None, decoding or None
    if _TO.value == "hf" and any(given is not None for given in of_programs):
        raise UsageError(
            "--buckets, --batch_size, --tuned and config.decoding are for --to=stablehlo"
        )
    if _TO.value == "stablehlo" and importlib.util.find_spec("flatbuffers") is None:
        raise MissingLibraryError(
            "flatbuffers is not installed, which --to=stablehlo needs: pip install flatbuffers"
        )
    # An accelerator has no part in it, and its own kernels would be of no use elsewhere.
    jax.config.update("jax_platforms", "cpu")
    _export(config.eval.checkpoint, decoding, buckets)


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return recipes.run(_run, default=recipes.of_run, help=_CONFIG_HELP)


if __name__ == "__main__":
    sys.exit(main())
