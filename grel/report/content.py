"""The block of data behind the page: what the script in `browser.js` draws, as plain JSON values.

Relations are written once and referred to by number, and a sentence is cut into pieces here, where
offsets count characters as the records do (in a browser they would count UTF-16 units).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from grel.drawing import marked
from grel.records import Triple
from grel.report.confusion import busiest, relation_confusion
from grel.report.review import Review, Row, Status, review
from grel.report.trace import Trace
from grel.runs.evaluations import Evaluation
from grel.scoring.protocols import PROTOCOLS

# Error classes by name, as the filter tells them.
CLASSES = {
    "missed": "Missed triple",
    "incompletion": "Incomplete entity",
    "disorder": "Disordered entity",
    "other": "Other wrong entity",
    "relation": "Wrong relation",
    "reversed": "Head and tail exchanged",
    "pair": "Wrong pair of entities",
    "place": "Wrong place",
}
_MOST_RELATIONS = 30
_NO_RELATION, _OTHER_RELATIONS = "(none)", "(all others)"


def data_block(
    evaluations: Sequence[Evaluation], traces: Mapping[str, Sequence[Trace]]
) -> dict[str, Any]:
    """Everything that the page's script needs about one system, or two on the same documents.

    Two are under one protocol, with the same gold triples. `traces` are those of the first, by
    document id.
    """
    key_fn = PROTOCOLS[evaluations[0].protocol].key_fn
    reviews = [
        [
            review(judged, prediction, PROTOCOLS[evaluation.protocol])
            for judged, prediction in zip(evaluation.judged, evaluation.predictions, strict=True)
        ]
        for evaluation in evaluations
    ]
    relations: dict[str, int] = {}
    sentences = [
        _sentence(of_systems, key_fn, relations, traces.get(of_systems[0].document.id, ()))
        for of_systems in map(list, zip(*reviews, strict=True))
    ]
    names = [evaluation.name for evaluation in evaluations]
    classes = frozenset[str]().union(*(one.classes for system in reviews for one in system))
    return {
        "systems": names,
        "classes": [(name, text) for name, text in CLASSES.items() if name in classes],
        "comparisons": _comparisons(names),
        "sentences": sentences,
        "relations": list(relations),
        "confusion": _confusion(evaluations[0]),
    }


def _sentence(
    reviews: list[Review],
    key_fn: Callable[[Triple], Hashable],
    relations: dict[str, int],
    traces: Sequence[Trace],
) -> dict[str, Any]:
    first = reviews[0]
    text = first.document.text
    rows = [*first.gold, *(row for one in reviews for row in one.predicted)]
    # By key, as two files may list the same gold triples in another order.
    status_of = [{key_fn(row.triple): row.status for row in one.gold} for one in reviews]
    of_gold = [[status[key_fn(row.triple)] for status in status_of] for row in first.gold]
    sentence = {
        "id": first.document.id,
        "pieces": marked(text, (row.triple.places(text) for row in rows)),
        "gold": [
            {**_row(row, relations), "status": [status.value for status in same]}
            for row, same in zip(first.gold, of_gold, strict=True)
        ],
        "predicted": [[_row(row, relations) for row in one.predicted] for one in reviews],
        "classes": [name for name in CLASSES if name in first.classes],
    }
    if len(reviews) > 1:
        found = {tuple(status is Status.FOUND for status in same) for same in of_gold}
        sentence["compare"] = [name for name, which in _FOUND_BY.items() if which in found]
    if traces:
        sentence["traces"] = [trace.brief() for trace in traces]
    return sentence


_FOUND_BY = {
    "first": (True, False),
    "second": (False, True),
    "neither": (False, False),
    "both": (True, True),
}


def _comparisons(systems: Sequence[str]) -> list[tuple[str, str]]:
    if len(systems) == 1:
        return []
    first, second = systems
    texts = (
        f"Only {first} finds a triple",
        f"Only {second} finds a triple",
        "Both miss a triple",
        "Both find a triple",
    )
    return list(zip(_FOUND_BY, texts, strict=True))


def _row(row: Row, relations: dict[str, int]) -> dict[str, Any]:
    triple = row.triple
    return {
        "head": triple.head,
        "relation": relations.setdefault(triple.relation, len(relations)),
        "tail": triple.tail,
        "status": row.status.value,
        "errors": row.errors,
        "score": None if triple.score is None else float(f"{triple.score:.3g}"),
    }


def _confusion(evaluation: Evaluation) -> dict[str, Any]:
    """The confusion table, folded to the relations that are confused most.

    A cell is (gold, predicted, "right" or "wrong", sentences). What is folded meets itself both
    ways, so that its place on the diagonal may have two.
    """
    found = relation_confusion(evaluation.pairs)
    names = busiest(found, _MOST_RELATIONS)
    num_others = len({r for cell in found for r in cell if r is not None}) - len(names)
    place_of = {name: place for place, name in enumerate([*names, None])}
    cells: dict[tuple[int, int, str], list[int]] = {}
    for (gold, predicted), documents in found.items():
        row, column = (place_of.get(name, len(place_of)) for name in (gold, predicted))
        kind = "right" if gold == predicted else "wrong"
        cells.setdefault((row, column, kind), []).extend(documents)
    if not found:
        note = "No two entities are related on both sides."
    elif num_others:
        note = (
            f"{num_others} relations with fewer confusions are folded into {_OTHER_RELATIONS}; "
            "where these meet, right and wrong ones are counted apart."
        )
    else:
        note = "All relations of such pairs are shown."
    return {
        "names": [*names, _NO_RELATION, *([_OTHER_RELATIONS] if num_others else [])],
        "cells": [(*cell, sorted(documents)) for cell, documents in sorted(cells.items())],
        "note": note,
    }
