"""Tables 1 to 5 of the paper: measured rows first, then the rows that it published."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from grel.records import Document
from grel.runs.evaluations import Evaluation
from grel.scoring.corpus import LENGTH_CLASSES, corpus_statistics
from grel.scoring.errors import count_errors
from grel.scoring.protocols import Counts
from grel.tables import published
from grel.tables.render import Cell, Table
from grel.tables.systems import without_copy

MEASURED, PAPER = "measured", "paper"

_WHAT_PAPER_MEANS = (
    "Rows of source paper are published numbers, not measured here: official test splits, models "
    "trained on the official training splits."
)
_UNSEEN = "Unseen F1 is that of triples that training did not have; by_seen_triples has the rest."
_SCORES = ("precision", "recall", "F1")
_CLASSES = tuple(LENGTH_CLASSES)
_LENGTHS = (
    "Classes go by words between white space and overlap: 2 is an entity of two or more words, 3 "
    "of exactly three, 3+ of more than three."
)


def tables(systems: Sequence[Evaluation], protocol: str) -> Iterator[Table]:
    """The five tables, for the systems under the protocol of that name."""
    yield main_results(systems, protocol)
    yield ablation(systems, protocol)
    yield entity_errors(systems)
    yield by_length(systems, protocol)
    yield corpora(systems)


def prf(counts: Counts) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    return counts.precision, counts.recall, counts.f1


def _measured(protocol: str) -> str:
    return f"Rows of source measured are scored by protocol {protocol}."


def main_results(systems: Sequence[Evaluation], protocol: str) -> Table:
    """Table 1: precision, recall and F1 by system and corpus."""
    rows: list[tuple[Cell, ...]] = [
        (MEASURED, s.name, s.corpus, *prf(s.total), s.unseen_f1) for s in systems
    ]
    rows += [
        (PAPER, system, corpus, *values, None)
        for system, by_corpus in published.MAIN.items()
        for corpus, values in by_corpus.items()
    ]
    return Table(
        "table1_main",
        "Table 1. Precision, recall and F1 by system and corpus",
        ("source", "system", "corpus", *_SCORES, "unseen F1"),
        rows,
        (_measured(protocol), _WHAT_PAPER_MEANS, _UNSEEN),
    )


def ablation(systems: Sequence[Evaluation], protocol: str) -> Table:
    """Table 2: with and without the copy mechanism.

    The gain of a measured row is over the evaluation without copying of the same run, which
    decodes the same parameters; that of a published row is over another trained model.
    """
    rows: list[tuple[Cell, ...]] = []
    lonely = []
    for system in systems:
        other = without_copy(system, systems)
        gain = None if other is None else system.total.f1 - other.total.f1
        if other is None and system.copy not in (None, "off"):
            lonely.append(system)
        label = MEASURED, system.name, system.copy, system.corpus
        rows.append((*label, *prf(system.total), system.unseen_f1, gain))
    for (name, copy), by_corpus in published.ABLATION.items():
        for corpus, values in by_corpus.items():
            base = published.ABLATION[name, "off"][corpus][2]
            gain = None if copy == "off" else round(values[2] - base, 3)
            rows.append((PAPER, name, copy, corpus, *values, None, gain))
    notes = tuple(
        f"{system.name} was not evaluated without copying: add the folder that python -m grel.main "
        f"--mode=eval --workdir={system.workdir} --config.decoding.copy=off "
        "--config.decoding.structure=off "
        f"--config.eval.name={system.split}_copy_off makes."
        for system in lonely
    )
    return Table(
        "table2_ablation",
        "Table 2. With and without the copy mechanism",
        ("source", "system", "copy", "corpus", *_SCORES, "unseen F1", "gain in F1"),
        rows,
        (_measured(protocol), _WHAT_PAPER_MEANS, _UNSEEN, *notes),
    )


def entity_errors(systems: Sequence[Evaluation]) -> Table:
    """Table 3: predicted entities that are wrong, by error class; see `scoring.errors`."""
    rows: list[tuple[Cell, ...]] = []
    for system in systems:
        found = count_errors(system.gold, system.predictions)
        rows.append(
            (MEASURED, system.name, system.copy, system.corpus, *dataclasses.astuple(found))
        )
    rows += [
        (PAPER, "GenerativeRE", copy, corpus, *counts, None, None)
        for (corpus, copy), counts in published.ERRORS.items()
    ]
    columns = ("incompletion", "disorder", "other errors", "predicted entities")
    return Table(
        "table3_entity_errors",
        "Table 3. Wrong entities by class of error",
        ("source", "system", "copy", "corpus", *columns),
        rows,
        (
            _WHAT_PAPER_MEANS,
            "Incompletion is part of the words of a gold entity; disorder is all its words, in "
            "another order or not side by side in the text. Entities count once a sentence.",
        ),
    )


def by_length(systems: Sequence[Evaluation], protocol: str) -> Table:
    """Table 4: F1 of triples with entities of several words."""
    rows: list[tuple[Cell, ...]] = []
    for system in systems:
        found = system.by_length
        values = (found[name].f1 for name in _CLASSES)
        golds = (found[name].gold for name in _CLASSES)
        rows.append((MEASURED, system.name, system.corpus, *values, *golds))
    rows += [
        (PAPER, system, "NYT24", *values, None, None, None)
        for system, values in published.BY_LENGTH.items()
    ]
    columns = *(f"F1 {name}" for name in _CLASSES), *(f"gold {name}" for name in _CLASSES)
    return Table(
        "table4_by_length",
        "Table 4. F1 of triples by words of their entities",
        ("source", "system", "corpus", *columns),
        rows,
        (_measured(protocol), _WHAT_PAPER_MEANS, _LENGTHS),
    )


def corpora(systems: Sequence[Evaluation]) -> Table:
    """Table 5: what each corpus holds, of the split evaluated and, where given, of training."""
    parts: dict[str, Sequence[Document]] = {}
    for system in systems:
        parts[system.corpus] = system.gold
        if system.train is not None:
            parts[f"{system.dataset} (--data)"] = system.train
    rows: list[tuple[Cell, ...]] = []
    for name, documents in parts.items():
        found = corpus_statistics(documents)
        classes = (found.multi_token[c] for c in _CLASSES)
        rows.append((MEASURED, name, found.examples, found.triples, found.relations, *classes))
    rows += [
        (PAPER, f"{corpus} {split}", examples, triples, None, *classes)
        for (corpus, split), (examples, triples, *classes) in published.CORPORA.items()
    ]
    columns = *("examples", "triples", "relations"), *(f"examples {name}" for name in _CLASSES)
    return Table(
        "table5_corpora",
        "Table 5. The corpora",
        ("source", "corpus", *columns),
        rows,
        (
            _WHAT_PAPER_MEANS,
            "Triples count once an example. Relations are those that occur. " + _LENGTHS,
        ),
    )
