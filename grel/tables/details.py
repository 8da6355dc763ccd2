"""What the paper leaves out: finer divisions, uncertainty, significance, protocols, calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from grel.runs.evaluations import Evaluation
from grel.scoring import bootstrap, breakdown
from grel.scoring.calibration import reliability
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError
from grel.tables.paper import prf
from grel.tables.render import Cell, Table
from grel.tables.systems import protocols_with, same_corpus

Groups = dict[str, Counts]

_METRICS = ("precision", "recall", "F1", "correct", "predicted", "gold")


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How often to draw for intervals and tests, and from which seed."""

    num_resamples: int
    seed: int


def tables(systems: Sequence[Evaluation], resampling: Resampling) -> Iterator[Table]:
    """Every table that has something to tell."""
    yield intervals(systems, resampling)
    if any(same_corpus(systems)):
        yield significance(systems, resampling)
    yield by_protocol(systems)
    yield _division(
        systems,
        "by_overlap",
        "By overlap of the gold triples of a sentence",
        lambda system: breakdown.by_overlap(system.judged),
        "Same entity pair: two triples have head and tail in common. Single entity: they share "
        "one. A sentence may be in both.",
    )
    yield _division(
        systems,
        "by_num_triples",
        "By number of gold triples in a sentence",
        lambda system: breakdown.by_num_triples(system.judged),
    )
    yield _division(
        systems,
        "by_relation",
        "By relation",
        lambda system: breakdown.by_relation(system.judged),
    )
    if any(system.by_seen for system in systems):
        yield by_seen(systems)
    if any(system.train is not None for system in systems):
        yield by_novelty(systems)
    if any(
        t.score is not None for s in systems for one in s.judged for t in one.predicted.values()
    ):
        yield calibration(systems)


def intervals(systems: Sequence[Evaluation], resampling: Resampling) -> Table:
    """95 % bootstrap intervals of precision, recall and F1."""
    rows: list[tuple[Cell, ...]] = []
    for system in systems:
        for protocol in protocols_with(system.protocol):
            scored = system.under(protocol)
            found = bootstrap.confidence_intervals(
                bootstrap.counts(scored.judged), **dataclasses.asdict(resampling)
            ).values()
            for metric, value, interval in zip(_METRICS, prf(scored.total), found, strict=False):
                label = system.name, system.corpus, protocol, metric
                rows.append((*label, value, interval.low, interval.high))
    return Table(
        "confidence_intervals",
        "95 % confidence intervals",
        ("system", "corpus", "protocol", "metric", "value", "low", "high"),
        rows,
        (f"Percentile bootstrap over documents, {_drawn(resampling)}.",),
    )


def significance(systems: Sequence[Evaluation], resampling: Resampling) -> Table:
    """Every two systems of one corpus: difference in F1, its interval, and the p-value."""
    rows: list[tuple[Cell, ...]] = []
    counts = {system.name: bootstrap.counts(system.judged) for system in systems}
    for first, second in same_corpus(systems):
        both = counts[first.name], counts[second.name]
        found = bootstrap.compare(*both, **dataclasses.asdict(resampling))
        ends = found.interval.low, found.interval.high
        row = first.name, second.name, first.corpus, found.difference, *ends, found.p_value
        rows.append(row)
    return Table(
        "significance",
        "Differences in F1 between systems",
        ("first", "second", "corpus", "first - second", "low", "high", "p"),
        rows,
        (
            f"Low and high: 95 %, paired bootstrap; p: two-sided approximate randomization; both "
            f"over documents, {_drawn(resampling)}. The p-values are not corrected for the number "
            "of comparisons. They say nothing about other seeds of training.",
        ),
    )


def by_protocol(systems: Sequence[Evaluation]) -> Table:
    """The same predictions under each protocol."""
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for system in systems:
        for name in PROTOCOLS:
            try:
                counts = system.under(name).total
            except ScoringError as error:
                # Only `span` asks more of the files than they were read with.
                notes.append(f"{system.name}, {name}: {error}.")
                continue
            rows.append((system.name, system.corpus, name, *prf(counts), *_numbers(counts)))
    return Table(
        "by_protocol",
        "The same predictions under each protocol",
        ("system", "corpus", "protocol", *_METRICS),
        rows,
        (
            "Under nayak, known relations are those that the evaluation recorded, or else those of "
            "the gold triples.",
            *notes,
        ),
    )


def by_seen(systems: Sequence[Evaluation]) -> Table:
    """Triples by whether training had them; systems of which it is not known are left out."""
    return _division(
        [system for system in systems if system.by_seen],
        "by_seen_triples",
        "By triples seen in training",
        lambda system: system.by_seen or {},
        "A triple is seen if training has its full names and relation in any sentence; recall is "
        "over the gold triples of a class, precision over the predicted ones.",
    )


def by_novelty(systems: Sequence[Evaluation]) -> Table:
    """Triples by whether training data has their entities; systems without it are left out."""
    return _division(
        [system for system in systems if system.train is not None],
        "by_unseen_entities",
        "By entities seen in training",
        lambda system: breakdown.by_novelty(system.judged, breakdown.entities(system.train or ())),
    )


def calibration(systems: Sequence[Evaluation]) -> Table:
    """Scores of triples against how often they are correct, in ten bins."""
    rows: list[tuple[Cell, ...]] = []
    notes = ["Gap is |accuracy - mean score|; that of all triples is the expected error."]
    for system in systems:
        try:
            found = reliability(system.judged)
        except ScoringError as error:
            notes.append(f"{system.name}: {error}.")
            continue
        label = system.name, system.corpus
        for one in found.bins:
            values = one.count, one.mean_score, one.accuracy, one.gap
            rows.append((*label, f"{one.low:.1f} to {one.high:.1f}", *values))
        scored = sum(one.count for one in found.bins)
        rows.append((*label, "all", scored, None, None, found.expected_calibration_error))
        if found.num_unscored:
            notes.append(f"{system.name}: {found.num_unscored} predicted triples have no score.")
    return Table(
        "calibration",
        "Reliability of the scores of triples",
        ("system", "corpus", "score", "triples", "mean score", "accuracy", "gap"),
        rows,
        tuple(notes),
    )


def _division(
    systems: Sequence[Evaluation],
    name: str,
    title: str,
    groups_fn: Callable[[Evaluation], Groups],
    *notes: str,
) -> Table:
    """A table of the classes of one division that anything falls in."""
    rows: list[tuple[Cell, ...]] = [
        (system.name, system.corpus, group, *prf(counts), *_numbers(counts))
        for system in systems
        for group, counts in groups_fn(system).items()
        if counts != Counts()
    ]
    return Table(name, title, ("system", "corpus", "class", *_METRICS), rows, notes)


def _numbers(counts: Counts) -> tuple[int, int, int]:
    return counts.correct, counts.predicted, counts.gold


def _drawn(resampling: Resampling) -> str:
    return f"{resampling.num_resamples:,} resamples from seed {resampling.seed}"
