"""What a run left beside its evaluation, as the report needs it: read from JSON(L) alone, strictly.

Gold and predicted records are required. Everything else (the training log, the metrics, a decoding
trace) may be missing, and then the report says so instead of failing, with the command that makes
it.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from grel.errors import UserError
from grel.files.faults import Fault
from grel.files.parsing import member, parse_object
from grel.files.reading import json_lines
from grel.report.trace import Trace, read_traces
from grel.runs import layout
from grel.runs.evaluations import Evaluation

# split -> metric -> (step, value), by step
Curves = dict[str, dict[str, list[tuple[int, float]]]]


class ReportError(UserError):
    """A report that cannot be made: says what is missing and how to make it."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What the report shows of one run.

    Attributes:
        evaluation: of one split.
        curves: the training log.
        traces: decoding traces by document id; several for a text that was read in windows.
        notes: what is missing or was left out, a sentence each.
    """

    evaluation: Evaluation
    curves: Curves
    traces: dict[str, list[Trace]]
    notes: list[str]


def read_run(evaluation: Evaluation) -> Run:
    """Reads what training and prediction left beside an evaluation.

    Raises:
        ReportError: the evaluation has no documents.
        RecordError: a file is faulty.
        ScoringError: gold and predictions don't belong together.
    """
    folder, notes = evaluation.folder, []
    if not evaluation.pairs:
        raise ReportError(f"{folder / layout.GOLD}: no records; evaluate a split that has some")
    if not evaluation.metrics:
        notes.append(
            f"No {layout.METRICS} of the evaluation: triples are compared by protocol exact."
        )
    return Run(
        evaluation=evaluation,
        curves=_read_curves(layout.inside(evaluation.workdir, layout.TRAINING_LOG), notes),
        traces=_read_traces(folder, {document.id for document in evaluation.gold}, notes),
        notes=notes,
    )


def _read_curves(path: Path, notes: list[str]) -> Curves:
    if not path.is_file():
        notes.append(f"No training log ({path.name} of the work folder): no training curves.")
        return {}
    # A run that was resumed tells some steps twice; the later line is about what was kept.
    values: dict[str, dict[str, dict[int, float]]] = {}
    num_faulty = 0
    for item in json_lines(path):
        try:
            record = parse_object(item.data)
            split, step = member(record, "split", str), member(record, "step", int)
            rest = {k: v for k, v in record.items() if k not in ("split", "step")}
            if not all(type(v) in (int, float) and math.isfinite(v) for v in rest.values()):
                raise Fault("a metric is no finite number")
        except Fault:
            # A run that is killed leaves half a line, which says nothing against the rest.
            num_faulty += 1
            continue
        for name, value in rest.items():
            values.setdefault(split, {}).setdefault(name, {})[step] = value
    if num_faulty:
        notes.append(f"{num_faulty} lines of the training log are cut or not finite; left out.")
    return {
        split: {name: sorted(points.items()) for name, points in metrics.items()}
        for split, metrics in values.items()
    }


def _read_traces(folder: Path, ids: set[str], notes: list[str]) -> dict[str, list[Trace]]:
    path = layout.inside(folder, layout.TRACE)
    if not path.is_file():
        notes.append(
            "No decoding traces: make them with python -m grel.main --mode=predict "
            f"--workdir=WORKDIR --input=WORKDIR/eval/{folder.name}/gold.jsonl "
            f"--output=predictions.jsonl --trace=WORKDIR/eval/{folder.name}/{path.name}"
        )
        return {}
    traces: dict[str, list[Trace]] = {}
    num_foreign = 0
    for trace in read_traces(path):
        # The second window of a text has its id with "#2" behind it.
        base, _, window = trace.id.rpartition("#")
        id = base if trace.id not in ids and window.isdecimal() else trace.id
        if id in ids:
            traces.setdefault(id, []).append(trace)
        else:
            num_foreign += 1
    if num_foreign:
        notes.append(f"{num_foreign} traces are of sentences that are not in this split; left out.")
    if traces.keys() != ids:
        notes.append(f"{len(ids) - len(traces)} sentences have no decoding trace.")
    return traces
