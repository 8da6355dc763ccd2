"""The report from runs: which tables and plots it has, and what is left out for want of data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from grel.report import content, figures
from grel.report.figures import Groups, Plot
from grel.report.page import page, table
from grel.report.runs import Run
from grel.runs.evaluations import Evaluation
from grel.scoring import bootstrap, breakdown
from grel.scoring.calibration import Threshold, threshold_curve
from grel.scoring.contrast import contrast
from grel.scoring.errors import count_errors
from grel.scoring.protocols import Counts

_MOST_BARS = 24
_METRICS = ("precision", "recall", "f1", "correct", "predicted", "gold")
_HEADER = ("precision", "recall", "F1", "correct", "predicted", "gold")
_LENGTHS = {
    "2": "with an entity of two or more words",
    "3": "of exactly three words",
    "3+": "of more than three words",
}


@dataclasses.dataclass(frozen=True)
class _Division:
    """F1 by the classes of one division, for each system."""

    name: str
    title: str
    caption: str
    groups: Mapping[str, Groups]


def build(runs: Sequence[Run], split: str) -> tuple[str, list[Plot]]:
    """The page and its plots, for one run or for two, on the same documents under one protocol.

    Raises:
        ScoringError: the documents or gold triples of two runs differ, or gold lacks spans that
            the protocol needs.
    """
    systems = [run.evaluation for run in runs]
    first = systems[0]
    # First of all, as everything else about two systems takes the same documents for granted.
    comparison = _comparison(systems) if len(systems) > 1 else []
    notes = _notes(runs)
    plots: list[tuple[Plot, str]] = []
    if curves := {run.evaluation.name: run.curves for run in runs if run.curves}:
        plots.append((figures.training(curves), ""))
    thresholds = {s.name: curve for s in systems if (curve := threshold_curve(s.judged))}
    if thresholds:
        plots.append((figures.thresholds(thresholds), _threshold_tables(thresholds)))
    else:
        notes.append("No predicted triple has a score: no curves over the score threshold.")
    plots += [(_bars(division), _group_tables(division)) for division in _divisions(systems)]
    facts = [f"split {split}", f"protocol {first.protocol}", f"{len(first.pairs):,} sentences"]
    if (step := first.metrics.get("step")) is not None:
        facts.append(f"step {step}")
    html = page(
        title="Report on " + " against ".join(system.name for system in systems),
        facts=" · ".join(facts),
        tables=[*_scores(systems), *comparison],
        notes=notes,
        plots=plots,
        data=content.data_block(systems, runs[0].traces),
    )
    return html, [plot for plot, _ in plots]


def _notes(runs: Sequence[Run]) -> list[str]:
    return [
        f"{run.evaluation.name}: {note}" if len(runs) > 1 else note
        for run in runs
        for note in run.notes
    ]


def _scores(systems: Sequence[Evaluation]) -> Iterator[str]:
    rows: list[tuple[object, ...]] = []
    for system in systems:
        intervals = bootstrap.confidence_intervals(bootstrap.counts(system.judged))
        f1 = f"{intervals['f1'].low:.3f} to {intervals['f1'].high:.3f}"
        unseen_f1 = "–" if system.unseen_f1 is None else system.unseen_f1
        rows.append((system.name, *_cells(system.total), f1, unseen_f1))
    header = ["", *_HEADER, "F1, 95 % interval", "F1 of triples not seen in training"]
    yield table("Triples, micro average", header, rows)
    rows = [(s.name, *dataclasses.astuple(count_errors(s.gold, s.predictions))) for s in systems]
    header = ["", "incompletion", "disorder", "other errors", "predicted entities"]
    yield table("Entities", header, rows)
    tallies = {s.name: s.metrics["decoding"] for s in systems if "decoding" in s.metrics}
    if tallies:
        names = list(next(iter(tallies.values())))
        header = ["", *(name.replace("_", " ") for name in names)]
        rows = [(name, *(t.get(n, "–") for n in names)) for name, t in tallies.items()]
        yield table("What went wrong while writing", header, rows)


def _comparison(systems: Sequence[Evaluation]) -> list[str]:
    first, second = systems
    parts = contrast(first.judged, second.judged)
    found = bootstrap.compare(*(bootstrap.counts(system.judged) for system in systems))
    sides = {
        f"only {first.name}": ("found_by_first", "wrong_in_first"),
        f"only {second.name}": ("found_by_second", "wrong_in_second"),
        "both": ("found_by_both", "wrong_in_both"),
    }
    rows = [
        (side, *(sum(len(getattr(part, name)) for part in parts) for name in names))
        for side, names in sides.items()
    ]
    rows.append(("neither", sum(len(part.missed_by_both) for part in parts), "–"))
    difference = (
        f"F1 of {first.name} less that of {second.name}",
        found.difference,
        f"{found.interval.low:.3f} to {found.interval.high:.3f}",
        f"{found.p_value:.4f}",
    )
    return [
        table("Who finds what", ("", "gold triples found", "wrong triples"), rows),
        table("Difference", ("", "difference", "95 % interval", "p (two-sided)"), [difference]),
    ]


def _divisions(systems: Sequence[Evaluation]) -> Iterator[_Division]:
    yield _Division(
        "f1_by_length",
        "F1 by length of entities",
        "Of triples; in brackets the gold ones. Words are whitespace tokens; classes overlap.",
        {
            system.name: {_LENGTHS[name]: counts for name, counts in system.by_length.items()}
            for system in systems
        },
    )
    yield _Division(
        "f1_by_overlap",
        "F1 by overlap",
        "Of sentences whose gold triples overlap in this way; a sentence may be in two classes.",
        {system.name: breakdown.by_overlap(system.judged) for system in systems},
    )
    yield _Division(
        "f1_by_num_triples",
        "F1 by number of triples",
        "Of sentences with so many gold triples; in brackets the triples.",
        {system.name: breakdown.by_num_triples(system.judged) for system in systems},
    )
    yield _Division(
        "f1_by_relation",
        "F1 by relation",
        "Of the most frequent relations; in brackets their gold triples.",
        {system.name: breakdown.by_relation(system.judged) for system in systems},
    )


def _bars(division: _Division) -> Plot:
    shown = {system: dict(list(g.items())[:_MOST_BARS]) for system, g in division.groups.items()}
    num_hidden = len(next(iter(division.groups.values()))) - _MOST_BARS
    more = f" {num_hidden} more are among the numbers." if num_hidden > 0 else ""
    return figures.bars(division.name, division.title, division.caption + more, shown)


def _group_tables(division: _Division) -> str:
    return "".join(
        table(system, ("", *_HEADER), [(name, *_cells(c)) for name, c in groups.items()])
        for system, groups in division.groups.items()
    )


def _threshold_tables(curves: Mapping[str, Sequence[Threshold]]) -> str:
    """Eleven thresholds of each curve, evenly spaced in rank."""
    return "".join(
        table(
            system,
            ("least score", *_HEADER),
            [
                (f"{curve[place].score:.3g}", *_cells(curve[place].counts))
                for place in sorted({tenth * (len(curve) - 1) // 10 for tenth in range(11)})
            ],
        )
        for system, curve in curves.items()
    )


def _cells(counts: Counts) -> list[float | int]:
    return [getattr(counts, metric) for metric in _METRICS]
