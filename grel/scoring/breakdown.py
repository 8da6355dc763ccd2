"""Scores by class of sentence or of triple: overlap, number of triples, relation, what is unseen.

A single F1 hides where a system fails. The paper breaks it down by length of entities alone; these
are the other divisions that the field reports, defined here once. Every division names all of its
classes, those that nothing falls in with zero counts.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable

from grel.records import Document, Triple
from grel.scoring.judged import Judged
from grel.scoring.protocols import Counts

NUM_TRIPLES = ("0", "1", "2", "3", "4", "5+")
SEEN_CLASSES = ("unseen", "seen")  # of triples, by whether training had them


class Overlap(enum.Enum):
    """How the gold triples of a sentence overlap (Zeng et al. 2018)."""

    NORMAL = "normal"
    SAME_PAIR = "same entity pair"  # EPO
    SINGLE_ENTITY = "single entity"  # SEO


class Novelty(enum.Enum):
    """Which entities of a triple occur in triples of the training data."""

    SEEN = "both entities seen"
    PARTLY = "one entity unseen"
    UNSEEN = "both entities unseen"


def overlaps(triples: Collection[Triple]) -> frozenset[Overlap]:
    """The overlap classes of a sentence with these gold triples; it may be in two of them.

    - *Same entity pair*: two different triples have the same head and the same tail.
    - *Single entity*: an entity occurs in two different (head, tail) pairs, or as both sides of
      one. The pair (a, b) and its reverse (b, a) are two pairs that share entities.
    - *Normal*: neither; also a sentence without triples.

    Source: Zeng et al. (2018), with ordered pairs as in the code published with it.
    """
    keys = {triple.key for triple in triples}
    pairs = {(head, tail) for head, _, tail in keys}
    found = set()
    if len(pairs) < len(keys):
        found.add(Overlap.SAME_PAIR)
    if len({entity for pair in pairs for entity in pair}) < 2 * len(pairs):
        found.add(Overlap.SINGLE_ENTITY)
    return frozenset(found or {Overlap.NORMAL})


def num_triples(triples: Collection[Triple]) -> str:
    """The member of `NUM_TRIPLES` for a sentence with these gold triples, repeats aside."""
    number = len({triple.key for triple in triples})
    return NUM_TRIPLES[min(number, len(NUM_TRIPLES) - 1)]


def entities(documents: Iterable[Document]) -> frozenset[str]:
    """All names of heads and tails: what a system has seen that was trained on the documents."""
    return frozenset(
        name for document in documents for triple in document.triples for name in triple.names
    )


def novelty(triple: Triple, seen: Collection[str]) -> Novelty:
    """Whether head and tail are among the names `seen` in training."""
    unseen = sum(name not in seen for name in triple.names)
    return (Novelty.SEEN, Novelty.PARTLY, Novelty.UNSEEN)[unseen]


def by_overlap(judged: Iterable[Judged]) -> dict[str, Counts]:
    """Counts of the sentences of each `Overlap`; the last two classes may share sentences."""
    found = dict.fromkeys((kind.value for kind in Overlap), Counts())
    for one in judged:
        for kind in overlaps(one.document.triples):
            found[kind.value] += one.counts
    return found


def by_num_triples(judged: Iterable[Judged]) -> dict[str, Counts]:
    """Counts of the sentences with so many gold triples, by `NUM_TRIPLES`."""
    found = dict.fromkeys(NUM_TRIPLES, Counts())
    for one in judged:
        found[num_triples(one.document.triples)] += one.counts
    return found


def by_relation(judged: Iterable[Judged]) -> dict[str, Counts]:
    """Counts of the triples of each relation, those with the most gold triples first."""
    found = _by_triple(judged, lambda triple: triple.key[1])
    return dict(sorted(found.items(), key=lambda item: (-item[1].gold, item[0])))


def by_novelty(judged: Iterable[Judged], seen: Collection[str]) -> dict[str, Counts]:
    """Counts of the triples of each `Novelty`; `seen` are the `entities` of the training data."""
    found = _by_triple(judged, lambda triple: novelty(triple, seen).value)
    return {kind.value: found.get(kind.value, Counts()) for kind in Novelty}


def by_seen(judged: Iterable[Judged], seen: Container[Triple]) -> dict[str, Counts]:
    """Counts of the triples that training did not have, "unseen", and of those it had, "seen".

    `seen` are the triples of the training data, such as `SeenTriples`. Precision is over the
    predicted triples of a class, recall over the gold ones. Names are compared in full, whatever
    part of them the protocol goes by.
    """
    found = _by_triple(judged, lambda triple: "seen" if triple in seen else "unseen")
    return {name: found.get(name, Counts()) for name in SEEN_CLASSES}


def _by_triple(judged: Iterable[Judged], class_fn: Callable[[Triple], str]) -> dict[str, Counts]:
    """Counts by class of the triple, gold and predicted alike.

    A key whose two triples are of different classes, as happens when only parts of names are
    compared, is correct in neither; see `protocols.Score`.
    """
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for one in judged:
        gold_classes = {key: class_fn(triple) for key, triple in one.gold.items()}
        predicted_classes = {key: class_fn(triple) for key, triple in one.predicted.items()}
        gold.update(gold_classes.values())
        predicted.update(predicted_classes.values())
        correct.update(name for _, name in gold_classes.items() & predicted_classes.items())
    names = gold.keys() | predicted.keys()
    return {name: Counts(correct[name], predicted[name], gold[name]) for name in names}
