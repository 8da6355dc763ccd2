"""Tables 1 to 5 of the paper: what was measured, and beside it what the paper published."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence

from grel.records import Document
from grel.runs.evaluations import Evaluation, setting
from grel.scoring.corpus import LENGTH_CLASSES, corpus_statistics
from grel.scoring.errors import count_errors
from grel.scoring.protocols import Counts
from grel.tables import published
from grel.tables.published import Figures
from grel.tables.render import Cell, Table
from grel.tables.systems import Systems, all_runs, paper_name, protocols_with, without_copy

_UNSEEN = "Unseen F1 is that of triples that training did not have; by_seen_triples has the rest."
_SCORES = ("precision", "recall", "F1")
_PUBLISHED_SCORES = tuple(f"published {name}" for name in _SCORES)
_CLASSES = tuple(LENGTH_CLASSES)
_LENGTHS = (
    "Classes go by words between white space and overlap: 2 is an entity of two or more words, 3 "
    "of exactly three, 3+ of more than three."
)


def tables(systems: Systems, protocol: str) -> Iterator[Table]:
    """The five tables, for the systems under the protocol of that name."""
    runs = all_runs(systems)
    yield main_results(systems, protocol)
    yield ablation(runs, protocol)
    yield entity_errors(runs)
    yield by_length(runs, protocol)
    yield corpora(runs)


def prf(counts: Counts) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    return counts.precision, counts.recall, counts.f1


def main_results(systems: Systems, protocol: str) -> Table:
    """Table 1: precision, recall and F1 by system, corpus and protocol, over seeds of training."""
    rows: list[tuple[Cell, ...]] = []
    for name, runs in systems.items():
        for shown in protocols_with(protocol):
            scored = [run.under(shown) for run in runs]
            scores = [(*prf(run.total), run.unseen_f1) for run in scored]
            cells = [cell for values in zip(*scores, strict=True) for cell in _over_seeds(values)]
            is_published = shown == published.PROTOCOLS.get(paper_name(runs[0]) or "")
            beside = _beside(runs[0], published.SCORES) if is_published else (None,) * 3
            rows.append((name, runs[0].corpus, shown, len(runs), *cells, *beside))
    for name, corpus, figures in _unmeasured(all_runs(systems), published.SCORES):
        rows.append((name, corpus, published.PROTOCOLS[name], None, *(None,) * 8, *figures))
    measured = (f"{name}{end}" for name in (*_SCORES, "unseen F1") for end in ("", " +-"))
    return Table(
        "table1_main",
        "Table 1. Precision, recall and F1 by system, corpus and protocol",
        ("system", "corpus", "protocol", "runs", *measured, *_PUBLISHED_SCORES),
        rows,
        (
            "Of several runs, which differ in the seed of training alone, means; +- is the "
            "standard deviation of one run. CopyRE writes last words, scored by partial_last.",
            *_about_published(all_runs(systems)),
            _UNSEEN,
        ),
    )


def ablation(runs: Sequence[Evaluation], protocol: str) -> Table:
    """Table 2: with and without the copy mechanism; systems without this choice are left out.

    The gain of a run is over its own evaluation without copying, which decodes the same parameters;
    the published one is over another trained model.
    """
    choosing = [run for run in runs if run.copy is not None]
    figures = {
        name: {
            dataset: (*scores, _gain(name, dataset))
            for dataset, scores in published.SCORES[name].items()
        }
        for pair in published.WITHOUT_COPY.items()
        for name in reversed(pair)
    }
    rows: list[tuple[Cell, ...]] = []
    lonely = []
    for run in choosing:
        other = without_copy(run, choosing)
        gain = None if other is None else run.total.f1 - other.total.f1
        if other is None and run.copy != "off":
            lonely.append(run)
        label = run.name, run.copy, run.corpus
        rows.append((*label, *prf(run.total), run.unseen_f1, gain, *_beside(run, figures)))
    for name, corpus, cells in _unmeasured(runs, figures):
        rows.append((name, _copy_of(name), corpus, *(None,) * 5, *cells))
    notes = tuple(
        f"{run.name} was not evaluated without copying: add the folder that python -m grel.main "
        f"--mode=eval --workdir={run.workdir} --config.decoding.copy=off "
        f"--config.decoding.structure=off --config.eval.name={run.split}_copy_off makes."
        for run in lonely
    )
    measured = *_SCORES, "unseen F1", "gain in F1"
    return Table(
        "table2_ablation",
        "Table 2. With and without the copy mechanism",
        ("system", "copy", "corpus", *measured, *_PUBLISHED_SCORES, "published gain"),
        rows,
        (_scored_by(protocol), *_about_published(runs), _UNSEEN, *notes),
    )


def entity_errors(runs: Sequence[Evaluation]) -> Table:
    """Table 3: predicted entities that are wrong, by error class; see `scoring.errors`."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        found = dataclasses.astuple(count_errors(run.gold, run.predictions))
        rows.append((run.name, run.copy, run.corpus, *found, *_beside(run, published.ERRORS)))
    for name, corpus, figures in _unmeasured(runs, published.ERRORS):
        rows.append((name, _copy_of(name), corpus, *(None,) * 4, *figures))
    measured = "incompletion", "disorder", "other errors", "predicted entities"
    return Table(
        "table3_entity_errors",
        "Table 3. Wrong entities by class of error",
        ("system", "copy", "corpus", *measured, "published incompletion", "published disorder"),
        rows,
        (
            *_about_published(runs),
            "Incompletion is part of the words of a gold entity; disorder is all its words, in "
            "another order or not side by side in the text. Entities count once a sentence.",
        ),
    )


def by_length(runs: Sequence[Evaluation], protocol: str) -> Table:
    """Table 4: F1 of triples with entities of several words."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        found = run.by_length
        values = (found[name].f1 for name in _CLASSES)
        golds = (found[name].gold for name in _CLASSES)
        rows.append((run.name, run.corpus, *values, *golds, *_beside(run, published.BY_LENGTH)))
    for name, corpus, figures in _unmeasured(runs, published.BY_LENGTH):
        rows.append((name, corpus, *(None,) * (2 * len(_CLASSES)), *figures))
    columns = (f"{kind} {name}" for kind in ("F1", "gold", "published F1") for name in _CLASSES)
    return Table(
        "table4_by_length",
        "Table 4. F1 of triples by words of their entities",
        ("system", "corpus", *columns),
        rows,
        (_scored_by(protocol), *_about_published(runs), _LENGTHS),
    )


def corpora(runs: Sequence[Evaluation]) -> Table:
    """Table 5: what each corpus holds, of the split evaluated and, where given, of training."""
    parts: dict[str, tuple[str, str, Sequence[Document]]] = {}
    for run in runs:
        parts[run.corpus] = run.dataset, run.split, run.gold
        if run.train is not None:
            name = f"{run.corpus.removesuffix(run.split)}train (--data)"
            parts[name] = run.dataset, "train", run.train
    rows: list[tuple[Cell, ...]] = []
    nothing = (None,) * (2 + len(_CLASSES))
    for name, (dataset, split, documents) in parts.items():
        found = corpus_statistics(documents)
        classes = (found.multi_token[c] for c in _CLASSES)
        beside = published.CORPORA.get(split, {}).get(dataset, nothing)
        rows.append((name, found.examples, found.triples, found.relations, *classes, *beside))
    here = {(dataset, split) for dataset, split, _ in parts.values()}
    for dataset in dict.fromkeys(run.dataset for run in runs):
        for split, figures in published.CORPORA.items():
            if dataset in figures and (dataset, split) not in here:
                rows.append((f"{dataset} {split}", None, *nothing, *figures[dataset]))
    of_classes = tuple(f"examples {name}" for name in _CLASSES)
    counted = (f"published {name}" for name in ("examples", "triples", *of_classes))
    return Table(
        "table5_corpora",
        "Table 5. The corpora",
        ("corpus", "examples", "triples", "relations", *of_classes, *counted),
        rows,
        (
            *_about_published(runs),
            "Triples count once an example. Relations are those that occur. " + _LENGTHS,
        ),
    )


def _over_seeds(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of what is known."""
    known = [value for value in values if value is not None]
    return (
        statistics.mean(known) if known else None,
        statistics.stdev(known) if len(known) > 1 else None,
    )


def _beside(run: Evaluation, figures: Figures) -> tuple[Cell, ...]:
    """What was published of the run's system on its data set; None where nothing was."""
    width = len(next(cells for by_dataset in figures.values() for cells in by_dataset.values()))
    return figures.get(paper_name(run) or "", {}).get(run.dataset, (None,) * width)


def _unmeasured(
    runs: Sequence[Evaluation], figures: Figures
) -> Iterator[tuple[str, str, tuple[Cell, ...]]]:
    """System, corpus and figures of what was published on a data set of the runs, by none of them.

    It is the official test split.
    """
    measured = {(paper_name(run), run.dataset) for run in runs}
    for dataset in dict.fromkeys(run.dataset for run in runs):
        for name, by_dataset in figures.items():
            if dataset in by_dataset and (name, dataset) not in measured:
                yield name, f"{dataset} test", by_dataset[dataset]


def _about_published(runs: Sequence[Evaluation]) -> Iterator[str]:
    """What published numbers are, and which measured ones they must not be compared with."""
    known = [run for run in runs if run.dataset in published.CORPORA["test"]]
    if known:
        yield (
            "Published numbers are the paper's, not measured here: official test splits, models of "
            "their authors' sizes trained on the whole official training splits."
        )
    if others := dict.fromkeys(run.corpus for run in known if not _is_official(run)):
        yield (
            f"They can't be compared with numbers measured on {', '.join(others)}: the split or "
            "the training data is another."
        )


def _is_official(run: Evaluation) -> bool:
    is_reduced = setting(run.metrics, "data.variant") not in ("", "official")
    return run.split == "test" and not is_reduced and not setting(run.metrics, "data.num_train")


def _copy_of(name: str) -> str:
    """`config.decoding.copy` of a published system with this choice."""
    return "on" if name in published.WITHOUT_COPY else "off"


def _gain(name: str, dataset: str) -> float | None:
    """The published gain in F1 by copying."""
    if name not in published.WITHOUT_COPY:
        return None
    with_copy, without = (
        published.SCORES[system][dataset][2] for system in (name, published.WITHOUT_COPY[name])
    )
    return None if with_copy is None or without is None else round(with_copy - without, 3)


def _scored_by(protocol: str) -> str:
    return f"Measured by protocol {protocol}."
