"""One set of predictions out of those of several systems, for what one knows another may not.

A table of known facts is nearly always right and finds nothing new; a model finds what is new and
errs more often. Together they have the one's triples and of the other's the surer ones, and which
are sure enough is a choice made on validation: scores of that split under it are better than those
of any other will be.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from grel.records import Document, Triple
from grel.scoring.protocols import Counts, pair

_T = TypeVar("_T")
# Of a triple: its document, and what makes it the same as another.
_Key = tuple[str, Hashable]


def join(systems: Sequence[Iterable[Document]], names: Sequence[str]) -> list[list[Document]]:
    """The systems' documents, each in the order of the first's.

    Raises ScoringError, which calls the systems by their names, where they are not of the same
    documents; see `protocols.pair`.
    """
    first, *others = (list(documents) for documents in systems)
    found = [first]
    for documents, name in zip(others, names[1:], strict=True):
        pairs = pair(first, documents, roles=(names[0], name))
        found.append([other for _, other in pairs])
    return found


def merge(systems: Sequence[Sequence[Document]], min_scores: Sequence[float]) -> list[Document]:
    """Each document with the triples of every system that have that system's least score.

    A triple that several systems have is as the first of them wrote it. One without a score passes
    a least score of 0 only.

    Args:
      systems: for each its documents, all in one order; see `join`.
      min_scores: the least score of each system's triples.
    """
    merged = []
    for documents in zip(*systems, strict=True):
        found: dict[Hashable, Triple] = {}
        for document, least in zip(documents, min_scores, strict=True):
            for triple in document.triples:
                if _score(triple) >= least:
                    found.setdefault(triple.key, triple)
        merged.append(dataclasses.replace(documents[0], triples=tuple(found.values())))
    return merged


def average(systems: Sequence[Sequence[Document]]) -> list[Document]:
    """Each document with all triples of all systems, scored by the mean of their scores.

    A system that lacks a triple counts as 0, and one that has it without a score as 1, so that a
    least score is a vote. Otherwise triples are as `merge` gives them, but `score_per_token`, which
    they lose.

    Args:
      systems: for each its documents, all in one order; see `join`.
    """
    scores = [_scores(documents, missing=1.0) for documents in systems]

    def averaged(document: Document, triple: Triple) -> Triple:
        key = document.id, triple.key
        mean = sum(of_system.get(key, 0.0) for of_system in scores) / len(scores)
        return dataclasses.replace(triple, score=mean, score_per_token=None)

    return [
        dataclasses.replace(
            document, triples=tuple(averaged(document, t) for t in document.triples)
        )
        for document in merge(systems, [0.0] * len(systems))
    ]


def choose(
    systems: Sequence[Sequence[Document]], gold: Sequence[Document]
) -> tuple[list[float], Counts]:
    """Least scores under which the merged triples have the best F1, and their counts.

    One system's is changed after the other, starting from 0, until no single change is a gain. Of
    equally good ones that which keeps most is taken, half-way to the next lower score; infinity
    leaves a system out. Triples are the same if names and relation are (protocol "exact").

    Args:
      systems: for each its documents, all in the order of `gold`.
      gold: documents with true triples.
    """
    true: set[_Key] = {
        (document.id, triple.key) for document in gold for triple in document.triples
    }
    systems_scores = [_scores(documents) for documents in systems]
    min_scores = [0.0] * len(systems)
    best = _counts(_passing(systems_scores, min_scores), true)
    improved = True
    while improved:
        improved = False
        for n, own in enumerate(systems_scores):
            others = _passing(_without(systems_scores, n), _without(min_scores, n))
            least, counts = _best_least(own, others, true)
            if counts.f1 > best.f1:
                min_scores[n], best, improved = least, counts, True
    return min_scores, best


def _score(triple: Triple, missing: float = 0.0) -> float:
    return missing if triple.score is None else triple.score


def _scores(documents: Iterable[Document], missing: float = 0.0) -> dict[_Key, float]:
    """The score of each triple, `missing` without one; of one that is written twice, the higher."""
    found: dict[_Key, float] = {}
    for document in documents:
        for triple in document.triples:
            key = document.id, triple.key
            found[key] = max(_score(triple, missing), found.get(key, 0.0))
    return found


def _without(values: list[_T], n: int) -> list[_T]:
    return values[:n] + values[n + 1 :]


def _passing(systems_scores: Iterable[dict[_Key, float]], min_scores: Iterable[float]) -> set[_Key]:
    return {
        key
        for scores, least in zip(systems_scores, min_scores, strict=True)
        for key, score in scores.items()
        if score >= least
    }


def _counts(predicted: set[_Key], true: set[_Key]) -> Counts:
    return Counts(len(predicted & true), len(predicted), len(true))


def _best_least(own: dict[_Key, float], others: set[_Key], true: set[_Key]) -> tuple[float, Counts]:
    """The least score of one system's triples that is best beside those of the others."""
    scored = sorted(
        ((score, key in true) for key, score in own.items() if key not in others), reverse=True
    )
    counts = _counts(others, true)
    found = [(math.inf, counts)]
    for score, group in itertools.groupby(scored, key=lambda pair: pair[0]):
        right = [is_right for _, is_right in group]
        counts += Counts(sum(right), len(right))
        found.append((score, counts))
    lower = [score for score, _ in found[1:]] + [0.0]
    place = max(range(len(found)), key=lambda n: (found[n][1].f1, n))
    least, counts = found[place]
    if place == len(found) - 1:
        return 0.0, counts
    return (least + lower[place]) / 2, counts
