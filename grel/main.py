"""Command line: train, tune, evaluate, predict.

    python -m grel.main --mode=train --config=configs/demo.py --workdir=runs/demo

Flags and dispatch, nothing else. Any field of the configuration can be set on the command line:
`--config.train.batch_size=32`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import absl.logging
import jax
import ml_collections
from absl import flags

from grel import config as config_lib
from grel import parallel, recipes, records
from grel.errors import EMPTY_PATH, UsageError
from grel.extraction import evaluate, opening, predict, sharing, texts, tuning
from grel.extraction.chunks import Summary
from grel.extraction.extractor import Extractor
from grel.extraction.shards import Shard
from grel.families.base import Fitted
from grel.families.registry import FAMILIES
from grel.fields import DATA_PLACES, leaves
from grel.files.reading import INPUT_FORMATS
from grel.runs import layout
from grel.runs.checkpoint import Checkpoints

_MODE = flags.DEFINE_enum(
    "mode", None, ["train", "tune", "eval", "predict"], "What to do.", required=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_INPUT = flags.DEFINE_string(
    "input", "-", "predict: JSON records or lines of text, also compressed; - is stdin."
)
_INPUT_FORMAT = flags.DEFINE_enum(
    "input_format",
    "auto",
    INPUT_FORMATS,
    "predict: what the input is; auto goes by its beginning.",
)
_OUTPUT = flags.DEFINE_string("output", "-", "predict: JSONL with triples; - is stdout.")
_TRACE = flags.DEFINE_string(
    "trace", None, "predict: also write how each output came about, one JSON object a line."
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", 0.0, "predict: leave out triples whose score, a probability, is lower; count them."
)
_TUNED = flags.DEFINE_bool(
    "tuned", False, "predict: with the balance of precision and recall that --mode=tune found."
)
_RELATIONS = flags.DEFINE_list(
    "relations", None, "predict: write these only; needs --config.decoding.structure=on."
)
_WINDOWS = flags.DEFINE_bool(
    "windows",
    True,
    "predict: read texts that are too long for the model in overlapping windows of sentences; "
    "--nowindows cuts and counts them.",
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "predict: at a faulty record stop, or skip and list it."
)
_SHARD = flags.DEFINE_string(
    "shard",
    "0/1",
    "predict: do part INDEX/COUNT of the input file, from 0; the parts are OUT-00000-of-00004 and "
    "so on, and cat joins them. auto takes both from the environment (arrays and steps of Slurm, "
    "MPI), auto/COUNT the index alone (indexed jobs of Kubernetes; some tasks of an array again).",
)
_PROFILE = flags.DEFINE_integer(
    "profile", 0, "train: leave a trace of so many steps, for TensorBoard.", lower_bound=0
)
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join the other processes of a pod.")
_HEARTBEAT_TIMEOUT = flags.DEFINE_integer(
    "heartbeat_timeout",
    60,
    "--distributed: seconds after which a process that is lost or hangs ends the others.",
    lower_bound=1,
)
_OF_ONE_MODE: dict[str, tuple[flags.FlagHolder, ...]] = {
    "train": (_PROFILE,),
    "predict": (
        *(_INPUT, _INPUT_FORMAT, _OUTPUT, _TRACE, _MIN_SCORE, _TUNED, _RELATIONS, _WINDOWS),
        *(_ON_ERROR, _SHARD),
    ),
}
for _name in ("workdir", "input", "output", "trace"):
    flags.register_validator(_name, lambda given: given != "", EMPTY_PATH)

_CONFIG_HELP = (
    "Recipe of a training run, such as configs/demo.py; the other modes take that of the run. "
    "--config.FIELD=VALUE sets a field."
)

# What tune, eval and predict may set; the rest is part of the trained model, or of its training.
_AFTER_TRAINING = (
    *("data.name", "data.variant", *DATA_PLACES),
    *("data.buckets", "decoding.", "eval."),
)


# Where things lie may differ from host to host; what lies there is compared once it is read.
_OF_A_HOST = (*DATA_PLACES, "tokenizer.vocab", "tokenizer.vectors", "model.init_from")


def _asked(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """What the command line asks for, which all processes of a pod have to do alike."""
    fields = {f"config.{n}": value for n, value in leaves(config).items() if n not in _OF_A_HOST}
    holders = _OF_ONE_MODE.get(_MODE.value, ())
    return {"--mode": _MODE.value, **{f"--{h.name}": h.value for h in holders}, **fields}


def _check(config: ml_collections.ConfigDict) -> None:
    _, num_processes = parallel.process()
    config_lib.check(
        config,
        num_devices=jax.local_device_count(),
        num_processes=num_processes,
        trains=_MODE.value == "train",
    )


def _train(config: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    # Not at the top of the file: TensorBoard's writer and optax take long to import, and the other
    # modes have no use for them.
    from grel.training import fit, trainer

    del fields  # set already
    _check(config)
    family = FAMILIES[config.model.family]
    if issubclass(family, Fitted):
        if _PROFILE.value:
            raise UsageError(f"--profile: {config.model.family} trains in no steps; leave it out")
        fit.train(family, config, _WORKDIR.value)
    else:
        trainer.Trainer(config, _WORKDIR.value).run(profile=_PROFILE.value)


def _open_run(
    flagged: ml_collections.ConfigDict, fields: Mapping[str, Any], **options: Any
) -> tuple[Extractor, dict[str, Any]]:
    """The trained system, with the fields set that the command line gives, and its `about`."""
    for name in fields:
        if not name.startswith(_AFTER_TRAINING):
            raise UsageError(
                f"config.{name} is part of the trained model, or of its training; what can be set "
                f"for --mode={_MODE.value} is {', '.join(_AFTER_TRAINING)}"
            )
    if "eval.checkpoint" in fields:
        _check(flagged)
    system, params, about = opening.load(_WORKDIR.value, flagged.eval.checkpoint)
    with system.config.unlocked():
        # A run folder may be a stranger's: it does not say where things are written.
        for name in ("data_dir", "cache_dir"):
            if name in system.config.data:
                system.config.data[name] = flagged.data.get(name, "")
        system.config.update_from_flattened_dict(dict(fields))
        # What was opened, whatever training was told.
        system.config.eval.checkpoint = flagged.eval.checkpoint
    _check(system.config)
    extractor = Extractor(system, params, **options)
    parallel.refuse_other_facts(
        lambda: {"checkpoint": extractor.identity(), "what tune chose": about["tuned"]}
    )
    return extractor, about


def _gold(config: ml_collections.ConfigDict, split: str) -> list[records.Document]:
    """A split as the run names it; tells first where that is, for the run may be a stranger's."""
    # Likewise tensorflow-datasets, for predict.
    from grel.corpora import sources

    place = f" in {config.data.manual_dir}" if config.data.manual_dir else ""
    print(f"reading {config.data.name}{place}", file=sys.stderr)
    gold = sources.load_split(config.data, split)
    parallel.refuse_other_facts(lambda: {f"{split} data": records.fingerprint(gold)})
    return gold


def _shared(extractor: texts.TextExtractor) -> texts.TextExtractor:
    """The extractor, or in a pod its part of one that all processes share."""
    return sharing.SharedExtractor(extractor) if parallel.in_pod() else extractor


def _is_first() -> bool:
    """Whether this process is the one that writes."""
    return parallel.process()[0] == 0


def _tune(flagged: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    extractor, about = _open_run(flagged, fields, windows=False)
    config = extractor.system.config
    gold = _gold(config, "validation")
    # Families that write no end have a least score alone.
    end_biases = config.eval.get("end_biases", (0.0,))
    tuned = tuning.tune(_shared(extractor), gold, config.eval.protocol, end_biases)
    if not _is_first():
        return
    folder = Path(_WORKDIR.value) / layout.CHECKPOINTS[config.eval.checkpoint]
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        checkpoints.write_tuned(tuned, about["step"])
    shown = (*tuning.Balance._fields, "precision", "recall", "f1")
    print(json.dumps({"split": "validation", **{name: tuned[name] for name in shown}}))


def _eval(flagged: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    folder = layout.inside(Path(_WORKDIR.value), layout.EVALUATIONS)
    # Of a text that is too long the model sees the beginning.
    extractor, about = _open_run(flagged, fields, windows=False)
    config = extractor.system.config
    gold = _gold(config, config.eval.split)
    found = evaluate.evaluate_checkpoint(_shared(extractor), about, gold, config)
    if not _is_first():
        return
    evaluate.write(folder / (config.eval.name or config.eval.split), gold, *found)
    for line in evaluate.shown(found[1]):
        print(json.dumps(line))


def _predict(flagged: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    try:
        shard = Shard.parse(_SHARD.value)
    except ValueError as error:
        raise UsageError(f"--shard: {error}") from None
    if _SHARD.value.startswith("auto"):
        print(f"--shard={_SHARD.value} is {shard.index}/{shard.count} here", file=sys.stderr)
    tuning.refuse_min_score(_TUNED.value, _MIN_SCORE.value)
    extractor, about = _open_run(
        flagged, fields, windows=_WINDOWS.value, min_score=_MIN_SCORE.value
    )
    if _TUNED.value:
        extractor = extractor.balanced(*tuning.read(about["tuned"], extractor))
    if _RELATIONS.value is not None:
        extractor = extractor.restricted(_RELATIONS.value)
    predict_fn: Callable[..., Summary] = functools.partial(predict.predict, shard=shard)
    if parallel.in_pod():
        if shard.count > 1:
            raise UsageError("--shard: the processes of --distributed share the whole file")
        predict_fn = sharing.predict_together
    summary = predict_fn(
        extractor,
        _INPUT.value,
        _OUTPUT.value,
        trace=_TRACE.value,
        input_format=_INPUT_FORMAT.value,
        on_error=_skip if _ON_ERROR.value == "skip" else None,
    )
    if _is_first():
        print(f"done: {summary.to_json()}", file=sys.stderr)


def _skip(error: records.RecordError) -> None:
    print(f"skipped: {error}", file=sys.stderr)


def _run(config: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    """Dispatches to the mode."""
    for mode, holders in _OF_ONE_MODE.items():
        if mode != _MODE.value and (given := [one.name for one in holders if one.present]):
            raise UsageError(f"--{given[0]} is a flag of --mode={mode}; leave it out")
    absl.logging.set_verbosity(absl.logging.WARNING)  # Orbax tells every step of every save
    logging.getLogger("grel").setLevel(logging.INFO)
    if _DISTRIBUTED.value:
        parallel.initialize(_HEARTBEAT_TIMEOUT.value)
        parallel.refuse_other_facts(lambda: _asked(config))
    modes = {"train": _train, "tune": _tune, "eval": _eval, "predict": _predict}
    opening.cache_compilations()
    modes[_MODE.value](config, fields)


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return parallel.run_joined(lambda: recipes.run(_run, default=recipes.of_run, help=_CONFIG_HELP))


if __name__ == "__main__":
    sys.exit(main())
