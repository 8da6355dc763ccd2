"""`run.json` in the folder of a run: what was trained, on what, with what, and for how long.

Checkpoints know this too, but only to those who can open them. A card must be readable years later
without JAX, so training writes the facts down as plain JSON when it starts, and adds its time when
it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grel import __version__
from grel.files.faults import Fault, RecordError
from grel.files.parsing import expect, member, parse_object
from grel.files.writing import replacing
from grel.runs import layout
from grel.scoring.corpus import CorpusStatistics

# What `fingerprints` of a run may have.
TRAINING_DATA, VALIDATION_DATA, TOKENIZER = "training data", "validation data", "tokenizer"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "ml-collections", "numpy")


def versions() -> dict[str, str]:
    """Versions of grel, of Python and of the packages that decide what training does."""
    found = {"grel": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@dataclasses.dataclass(frozen=True)
class Facts:
    """What training knows of a run when it starts.

    Attributes:
        config: all fields, nested as in `grel.config`.
        run: the number of the run; see `ownership.run_id`.
        fingerprints: of what must not change while it lasts: the data as it is trained and
            validated on, and the tokenizer.
        num_parameters, num_steps: of the model, and of the whole run.
        devices: how many of what kind, in words.
        corpora: by split, what it was trained and validated on.
    """

    config: dict[str, Any]
    run: str
    fingerprints: dict[str, str]
    num_parameters: int
    num_steps: int
    devices: str
    corpora: dict[str, CorpusStatistics]


@contextlib.contextmanager
def recorded(
    workdir: Path,
    facts: Facts,
    *,
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Writes `run.json` on entry, and adds the seconds spent in the block when it ends.

    A run that is continued keeps the time of its earlier sessions. A session that was killed has
    started and not ended, so its time is known to be missing.

    Args:
        workdir: folder of the run.
        facts: what to tell; versions and sessions are added.
        quiet: write nothing, for all but the first process of a pod.
        clock: seconds since some moment.
    """
    if quiet:
        yield
        return
    record = {**dataclasses.asdict(facts), "versions": versions()}
    sessions = {"started": 0, "ended": 0, "seconds": 0.0}
    with contextlib.suppress(RecordError):
        # A damaged file must not keep a run from going on; then its earlier times are lost.
        sessions = read(workdir).get("sessions", sessions)
    sessions["started"] += 1
    _write(workdir, {**record, "sessions": sessions})
    begin = clock()

    def end() -> None:
        sessions["ended"] += 1
        sessions["seconds"] += clock() - begin
        _write(workdir, {**record, "sessions": sessions})

    try:
        yield
    except BaseException:
        # What ended the run may keep this from being written too, and is what is to be told.
        with contextlib.suppress(RecordError):
            end()
        raise
    end()


def read(workdir: Path) -> dict[str, Any]:
    """`run.json`: the fields of `Facts`, "versions" and "sessions"; empty where there is no file.

    "run" may lack, in those of an earlier version.

    Raises RecordError where it is faulty, and LinkError where it is a link.
    """
    path = layout.inside(workdir, layout.RECORD)
    if not path.is_file():
        return {}
    try:
        record = parse_object(path.read_bytes())
        if "data_fingerprint" in record:  # of an earlier version, which told of no more
            record["fingerprints"] = {TRAINING_DATA: record.pop("data_fingerprint")}
        for name, kind in _KINDS.items():
            member(record, name, kind)
        for name in ("started", "ended"):
            member(record["sessions"], name, int)
        if not isinstance(record["sessions"].get("seconds"), float | int):
            raise Fault("field 'seconds' must be a number")
        for statistics in record["corpora"].values():
            for name in ("examples", "triples", "relations"):
                member(expect(statistics, dict, "a corpus"), name, int)
            for number in member(statistics, "multi_token", dict).values():
                expect(number, int, "a number of multi_token")
    except (OSError, Fault) as error:
        raise RecordError(path, None, str(error)) from None
    return record


_KINDS = {
    "config": dict,
    "fingerprints": dict,
    "num_parameters": int,
    "num_steps": int,
    "devices": str,
    "corpora": dict,
    "versions": dict,
    "sessions": dict,
}


def _write(workdir: Path, record: Mapping[str, Any]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    with replacing(workdir / layout.RECORD, through_links=False) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
