"""Which relation was written for which: gold against predicted relations of the same two entities.

Only pairs (head, tail) that both sides relate are compared, so that what is seen here is the
choice of the relation and not the finding of entities.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from grel.records import Document, Triple

# (gold relation, predicted relation) -> the documents, by place, once for each occurrence. None
# stands for no relation.
Confusion = dict[tuple[str | None, str | None], list[int]]


def relation_confusion(pairs: Iterable[tuple[Document, Document]]) -> Confusion:
    """Counts gold against predicted relations of entity pairs that both sides relate.

    Two entities may have several relations. Those on both sides are right and meet themselves; of
    the rest every gold one meets every predicted one, or None if there is none left to meet.

    Example: gold {a, b} and predicted {a, c, d} count (a, a), (b, c) and (b, d); gold {a} and
    predicted {a, c} count (a, a) and (None, c).
    """
    found: Confusion = defaultdict(list)
    for place, (document, prediction) in enumerate(pairs):
        gold, predicted = _relations(document.triples), _relations(prediction.triples)
        for entities in gold.keys() & predicted.keys():
            right = gold[entities] & predicted[entities]
            missed, extra = gold[entities] - right, predicted[entities] - right
            cells: list[tuple[str | None, str | None]] = [
                (relation, relation) for relation in right
            ]
            if missed or extra:
                cells += [(g, p) for g in missed or (None,) for p in extra or (None,)]
            for cell in cells:
                found[cell].append(place)
    return dict(found)


def busiest(confusion: Confusion, limit: int) -> list[str]:
    """The relations with the most confusions first, then with the most counts; at most `limit`."""
    wrong: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for cell, documents in confusion.items():
        for relation in {relation for relation in cell if relation is not None}:
            total[relation] += len(documents)
            if cell[0] != cell[1]:
                wrong[relation] += len(documents)
    return sorted(total, key=lambda r: (-wrong[r], -total[r], r))[:limit]


def _relations(triples: Iterable[Triple]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for triple in triples:
        head, relation, tail = triple.key
        found[head, tail].add(relation)
    return found
