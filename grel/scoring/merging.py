"""One set of predictions out of those of several systems, for what one knows another may not.

A table of known facts is nearly always right and finds nothing new; a model finds what is new and
errs more often. Together they have the one's triples and of the other's the surer ones, and which
are sure enough is a choice made on validation: scores of that split under it are better than those
of any other will be.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence

from grel.records import Document, Triple
from grel.scoring.calibration import cuts
from grel.scoring.judged import Judged, judge, total
from grel.scoring.protocols import PROTOCOLS, Counts, ScoringError, pair


def join(systems: Sequence[Iterable[Document]], names: Sequence[str]) -> list[list[Document]]:
    """The systems' documents, each in the order of the first's.

    Raises ScoringError, which calls the systems by their names, where they are not of the same
    documents (see `protocols.pair`), or a score is no probability.
    """
    first, *others = (list(documents) for documents in systems)
    found = [first]
    for documents, name in zip(others, names[1:], strict=True):
        pairs = pair(first, documents, roles=(names[0], name))
        found.append([other for _, other in pairs])
    for documents, name in zip(found, names, strict=True):
        for document in documents:
            for triple in document.triples:
                if not 0 <= (triple.score or 0.0) <= 1:
                    raise ScoringError(
                        f"{name}, document {document.id!r}: score {triple.score} of {triple.key} "
                        "is no probability: merging needs scores from 0 to 1"
                    )
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
                if (triple.score or 0.0) >= least:
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
    averaged = []
    for document, *given in zip(merge(systems, [0.0] * len(systems)), *systems, strict=True):
        sums: dict[Hashable, float] = dict.fromkeys((t.key for t in document.triples), 0.0)
        for one in given:
            best: dict[Hashable, float] = {}
            for triple in one.triples:
                score = 1.0 if triple.score is None else triple.score
                best[triple.key] = max(score, best.get(triple.key, 0.0))
            for key, score in best.items():
                sums[key] += score
        triples = tuple(
            dataclasses.replace(t, score=sums[t.key] / len(systems), score_per_token=None)
            for t in document.triples
        )
        averaged.append(dataclasses.replace(document, triples=triples))
    return averaged


def choose(
    systems: Sequence[Sequence[Document]], gold: Sequence[Document]
) -> tuple[list[float], Counts]:
    """Least scores under which the merged triples have the best F1, and their counts.

    One system's is changed after the other, starting from 0, until no single change is a gain. Of
    equally good ones that which keeps most is taken; infinity leaves a system out. Triples are the
    same if names and relation are (protocol "exact").

    Args:
      systems: for each its documents, all in the order of `gold`.
      gold: documents with true triples.
    """
    exact = PROTOCOLS["exact"]
    judged = [judge(gold, documents, exact) for documents in systems]
    min_scores = [0.0] * len(systems)
    best = total(judge(gold, merge(systems, min_scores), exact))
    improved = True
    while improved:
        improved = False
        for n, own in enumerate(judged):
            others = [*min_scores[:n], math.inf, *min_scores[n + 1 :]]
            rest = judge(gold, merge(systems, others), exact)
            kept = dataclasses.replace(total(rest), gold=0)
            found = [(cut.score, cut.counts + kept) for cut in cuts(_beside(own, rest))]
            found.append((math.inf, total(rest)))
            least, counts = max(found, key=lambda pair: pair[1].f1)
            if counts.f1 > best.f1:
                min_scores[n], best, improved = least, counts, True
    return min_scores, best


def _beside(own: Sequence[Judged], rest: Sequence[Judged]) -> list[Judged]:
    """What a system has of its own: predictions that the rest lacks."""
    return [
        dataclasses.replace(
            one, predicted={k: t for k, t in one.predicted.items() if k not in others.predicted}
        )
        for one, others in zip(own, rest, strict=True)
    ]
