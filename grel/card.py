"""Command line: the card of a trained model, in Markdown.

    python -m grel.card --workdir=DIR [--output=CARD.md]

What it is, what it was trained on, with which versions, how long, and how well it does: all that
somebody needs to know who is handed a checkpoint. Read from JSON alone; see `runs.record`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grel.errors import path_argument, program, run_command
from grel.files.writing import refuse_overwriting, replacing
from grel.runs import layout
from grel.runs import record as run_record
from grel.runs.evaluations import Evaluation, WorkdirError, all_evaluations, setting
from grel.scoring.corpus import LENGTH_CLASSES
from grel.tables.render import markdown_rows, plain

_SCORES = ("precision", "recall", "f1", "correct", "predicted", "gold")

_USE = """\
The model reads a sentence and writes (head, relation, tail) triples, relations from the closed set
of its training data. It is made for text like that of its corpus; scores elsewhere are unknown. A
triple that it writes is a claim about the sentence, not about the world.
"""

_UNSEEN = """
The last column is the F1 of triples that training did not have.
"""

_DATASET_CARD = """
The card of the data set itself, with the rule of its splits and the digests of its raw files, is
the README.md beside the prepared data.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("card"),
        description="Write the model and dataset card of a run.",
        epilog="It reads run.json of the folder and metrics.json of every evaluation in it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workdir", required=True, type=path_argument, metavar="DIR", help="folder of the run"
    )
    parser.add_argument("--output", default="-", metavar="FILE.md", help="where to write (stdout)")
    return parser


def markdown(name: str, run: Mapping[str, Any], evaluations: Sequence[Evaluation]) -> str:
    """The card.

    Args:
        name: of the model.
        run: `run.json`, empty where there is none; then what it would say is told to be unknown.
        evaluations: of the run; their records are not read.
    """
    sources = run, *(evaluation.metrics for evaluation in evaluations)
    known = next((facts for facts in sources if facts.get("config")), {})
    sections = {
        "Model": _list(_model(run, known)),
        "Use": _USE,
        "Data": _list(_data(run, known)) + _corpora(run) + _DATASET_CARD,
        "Training": _list(_training(run, known)),
        "Scores": _scores(evaluations),
        "Versions": _list(run.get("versions", {"grel": None}).items()),
        "Configuration": _config(known),
    }
    text = "".join(f"\n## {title}\n\n{body}" for title, body in sections.items())
    return f"# {plain(name)}\n{text}"


def _model(run: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from _settings(
        known,
        ("Family", "model.family"),
        ("Size", "model.size"),
        ("Objective", "model.objective"),
        ("Copy mechanism", "decoding.copy"),
    )
    yield "Parameters", run.get("num_parameters")
    for label, start in _settings(known, ("Started from", "model.init_from")):
        yield label, "fresh parameters" if start == "" else start


def _data(run: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "Data set", setting(known, "data.name")
    yield "Variant", setting(known, "data.variant") or "none"
    for name, value in run.get("fingerprints", {run_record.TRAINING_DATA: None}).items():
        yield f"Fingerprint of the {name}", value


def _corpora(run: Mapping[str, Any]) -> str:
    """The splits as Table 5 of the paper counts them."""
    corpora = run.get("corpora", {})
    rows = [
        (
            split,
            *(facts[name] for name in ("examples", "triples", "relations")),
            *(facts["multi_token"].get(name) for name in LENGTH_CLASSES),
        )
        for split, facts in corpora.items()
    ]
    if not rows:
        return ""
    classes = (f"examples {name}" for name in LENGTH_CLASSES)
    columns = ("split", "examples", "triples", "relations", *classes)
    return (
        f"\n{markdown_rows(columns, rows)}\nTriples count once an example; the last columns count "
        "examples with an entity of two or more words, of three, and of more than three.\n"
    )


def _training(run: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "Steps", run.get("num_steps")
    yield from _settings(
        known,
        ("Batch size", "train.batch_size"),
        ("Learning rate", "train.learning_rate"),
        ("Precision", "model.dtype"),
        ("Seed", "seed"),
    )
    yield "Devices", run.get("devices")
    yield "Time", _time(run.get("sessions"))


def _settings(known: Mapping[str, Any], *fields: tuple[str, str]) -> Iterator[tuple[str, Any]]:
    """Fields of the configuration under their labels, without those that it does not have.

    It has all that a run depends on, so only where there is none at all is something unknown.
    """
    for label, name in fields:
        if (value := setting(known, name)) is not None or not known:
            yield label, value


def _time(sessions: Mapping[str, Any] | None) -> str | None:
    if sessions is None:
        return None
    minutes = round(sessions["seconds"] / 60)
    cut = sessions["started"] - sessions["ended"]
    missing = f"; {cut} of {sessions['started']} sessions did not end and are not in it"
    return f"{minutes // 60} h {minutes % 60} min{missing if cut else ''}"


def _scores(evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return "Not evaluated: python -m grel.main --mode=eval --workdir=DIR\n"
    rows = []
    for one in evaluations:
        values = [one.metrics.get(n) for n in ("split", "protocol", "step")]
        values += [one.copy, *(one.metrics.get(n) for n in _SCORES), one.unseen_f1]
        cells = (v if isinstance(v, str | int | float) else None for v in values)
        rows.append((one.folder.name, *cells))
    columns = ("evaluation", "split", "protocol", "step", "copy", *_SCORES, "unseen f1")
    return markdown_rows(columns, rows) + _UNSEEN


def _config(known: Mapping[str, Any]) -> str:
    # Indented, not fenced: no value can end the block.
    lines = json.dumps(known.get("config"), indent=2).splitlines()
    return "".join(f"    {line}\n" for line in lines)


def _list(facts: Iterable[tuple[str, Any]]) -> str:
    lines = []
    for label, value in facts:
        shown = "unknown" if value is None else f"{value:,}" if type(value) is int else str(value)
        lines.append(f"- {plain(label)}: {plain(shown)}\n")
    return "".join(lines)


def _run(args: argparse.Namespace) -> None:
    workdir = Path(args.workdir)
    run, evaluations = run_record.read(workdir), all_evaluations(workdir)
    if not run and not evaluations:
        raise WorkdirError(
            f"{workdir}: neither {layout.RECORD} nor an evaluation; train with python -m "
            "grel.main --mode=train, or check --workdir"
        )
    sources = [workdir / layout.RECORD, *(file for one in evaluations for file in one.files)]
    refuse_overwriting(sources, [args.output])
    with replacing(args.output) as file:
        file.write(markdown(workdir.resolve().name, run, evaluations).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
