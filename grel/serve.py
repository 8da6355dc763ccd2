"""Command line: a trained model behind HTTP, with a page to try it on.

    python -m grel.serve --workdir=runs/demo

Answers POST extract, and GET schema, health, metrics and openapi.json; docs/SERVING.md has
examples. Needs the extra "serve" (starlette, uvicorn and prometheus-client).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import absl.logging
import ml_collections
from absl import flags

from grel import config as config_lib
from grel import recipes
from grel.errors import EMPTY_PATH, MissingLibraryError, UsageError
from grel.extraction import opening, tuning
from grel.extraction.extractor import Extractor
from grel.serving.batcher import Batcher
from grel.serving.limits import Limits
from grel.serving.model import Model

_USUAL = Limits()
_USUAL_BATCH = 64  # of families that have no batches of their own

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen at; another one may let other machines in."
)
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen at; 0 takes a free one.", 0, 65535)
_ALLOW_HOSTS = flags.DEFINE_list(
    "allow_hosts", [], "Further names by which clients may call it, as a proxy passes them on."
)
_TUNED = flags.DEFINE_bool(
    "tuned", False, "Use the end bias and least score that --mode=tune found."
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", 0.0, "Least score of triples, where a request does not say its own."
)
_BATCH_WINDOW = flags.DEFINE_float(
    "batch_window",
    0.005,
    "Seconds that a text waits for others to share its batch while the device is idle.",
    lower_bound=0.0,
)
_MAX_BODY_BYTES = flags.DEFINE_integer("max_body_bytes", _USUAL.body_bytes, "Of a request.")
_MAX_TEXTS = flags.DEFINE_integer("max_texts", _USUAL.texts, "Of a request.")
_MAX_CHARACTERS = flags.DEFINE_integer("max_characters", _USUAL.characters, "Of a text.")
_MAX_SECONDS = flags.DEFINE_float("max_seconds", _USUAL.seconds, "For a request.")
_MAX_REQUESTS = flags.DEFINE_integer(
    "max_requests", _USUAL.requests, "Under way at once; others are told to try again."
)
_MAX_WAITING = flags.DEFINE_integer(
    "max_waiting", _USUAL.waiting, "Texts that wait for the device; others are told to try again."
)
for _name in ("workdir", "host"):
    flags.register_validator(_name, lambda given: given != "", EMPTY_PATH)

_CONFIG_HELP = "--config.decoding.FIELD=VALUE sets how to decode, as for predict."


def _limits() -> Limits:
    return Limits(
        body_bytes=_MAX_BODY_BYTES.value,
        texts=_MAX_TEXTS.value,
        characters=_MAX_CHARACTERS.value,
        seconds=_MAX_SECONDS.value,
        requests=_MAX_REQUESTS.value,
        waiting=_MAX_WAITING.value,
    )


def _window(limits: Limits) -> float:
    """For which a text waits for others; raises UsageError where its request could end before."""
    window = _BATCH_WINDOW.value
    # Also where it is no number: a batch would never begin.
    if not 0 <= window <= limits.seconds:
        raise UsageError(
            f"--batch_window is {window:g}; it must be from 0 to --max_seconds, {limits.seconds:g}"
        )
    return window


def _model(checkpoint: str, decoding: Mapping[str, Any]) -> tuple[Model, int]:
    """The model of the run, warmed up, and how many texts go well into one of its batches."""
    config_lib.check_min_score(_MIN_SCORE.value)
    tuning.refuse_min_score(_TUNED.value, _MIN_SCORE.value)
    system, params, about = opening.load(_WORKDIR.value, checkpoint)
    extractor, min_score = Extractor(system, params, **decoding), _MIN_SCORE.value
    if _TUNED.value:
        balance = tuning.read(about["tuned"], extractor)
        extractor = extractor.balanced(*balance._replace(min_score=0.0))
        min_score = balance.min_score
    name = Path(_WORKDIR.value).resolve().name
    model = Model(extractor, name, min_score)
    batch_size = extractor.system.config.get("decoding", {}).get("batch_size", _USUAL_BATCH)
    model.warm_up(batch_size)
    return model, batch_size


def _run(config: ml_collections.ConfigDict, fields: Mapping[str, Any]) -> None:
    absl.logging.set_verbosity(absl.logging.WARNING)  # Orbax tells every step of a restore
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise MissingLibraryError(
                f"{package} is not installed, which serving needs: pip install starlette uvicorn "
                "prometheus-client"
            )
    # Only now, as they need these packages.
    from grel.serving import app, listening
    from grel.serving.metrics import Metrics

    limits, decoding = _limits(), recipes.decoding_fields(fields)
    window = _window(limits)
    # Whether the port is free is known before the model is loaded, which takes longer.
    with listening.bind(_HOST.value, _PORT.value) as opened:
        opening.cache_compilations()
        print(f"opening {_WORKDIR.value} and compiling its programs", file=sys.stderr)
        model, batch_size = _model(config.eval.checkpoint, decoding)
        metrics = Metrics()
        batcher = Batcher(
            model.find,
            size=batch_size,
            window=window,
            max_waiting=limits.waiting,
            observe=metrics.observe_batch,
        )
        hosts = listening.allowed_hosts(opened, _ALLOW_HOSTS.value)
        service = app.Service(model, batcher, limits, metrics, hosts)
        with listening.signals_end_it_well(), batcher:
            opened.listen()
            print(f"serving {model.name} at {listening.url(opened)}", file=sys.stderr, flush=True)
            if not listening.is_loopback(opened):
                print(
                    "note: other machines may reach it, and it asks nobody for a password",
                    file=sys.stderr,
                )
            listening.server(service.app(), limits).run(sockets=[opened])
    print("stopped", file=sys.stderr)


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return recipes.run(_run, default=recipes.of_run, help=_CONFIG_HELP)


if __name__ == "__main__":
    sys.exit(main())
