"""Precision against recall: a balance chosen on validation, and kept beside the checkpoint.

A model writes until it finds the end likelier than a further triple, and how sure it is of each
triple stands in its score. A bias of the end token moves the first, a least score the second; one
with a memory may write known triples beside, from a least share of training on. Those with the best
F1 together are looked for. It is a choice made on the validation split: scores of that
split under it are better than those of any other will be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grel.errors import ConfigError, UsageError
from grel.extraction.reading import likeliest
from grel.extraction.texts import TextExtractor
from grel.records import Document
from grel.scoring.calibration import cuts
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS, Counts

# Least shares that are tried; few, so that what is chosen is not this split's chance.
_KNOWN_SHARES = (0.0, *(tenths / 10 for tenths in range(10, 0, -1)))


class Balance(NamedTuple):
    """See `TextExtractor.balanced`."""

    end_bias: float
    min_score: float
    known_share: float = 0.0


def tune(
    extractor: TextExtractor, gold: Sequence[Document], protocol: str, end_biases: Sequence[float]
) -> dict[str, Any]:
    """The best balance for these documents, as `read` takes it.

    Every bias is decoded with, and for each and every least share of known triples the best least
    score is taken. Of equally good balances it is that with the smaller bias, then the fewer known
    triples, then that which keeps more.

    Args:
        extractor: as it is to be used, but for the balance.
        gold: documents with true triples.
        protocol: a name in `PROTOCOLS`.
        end_biases: those to try, at least one.
    """
    known = extractor.known(gold)
    shares = _KNOWN_SHARES if any(document.triples for document in known) else (0.0,)
    found: list[tuple[Balance, Counts]] = []
    for end_bias in sorted(end_biases, key=abs):
        predictions, _ = extractor.balanced(end_bias, 0.0).documents(gold)
        for share in shares:
            beside = [
                _beside(document, other, share)
                for document, other in zip(predictions, known, strict=True)
            ]
            judged = judge(gold, beside, PROTOCOLS[protocol], relations=extractor.relations)
            found += ((Balance(end_bias, cut.score, share), cut.counts) for cut in cuts(judged))
    balance, counts = max(found, key=lambda pair: pair[1].f1)
    return {**balance._asdict(), **counts.metrics(), "of": _facts(extractor)}


def _beside(document: Document, known: Document, share: float) -> Document:
    """The document with the known triples that this share lets through; 0 lets none."""
    if not share:
        return document
    through = (triple for triple in known.triples if (triple.score or 0.0) >= share)
    return dataclasses.replace(document, triples=tuple(likeliest([*document.triples, *through])))


def refuse_min_score(tuned: bool, min_score: float) -> None:
    """Raises UsageError where a balance is asked for, and a least score beside that of its own."""
    if tuned and min_score:
        raise UsageError("tuned has a least score of its own: leave min_score out")


def read(tuned: Mapping[str, Any] | None, extractor: TextExtractor) -> Balance:
    """The balance that `tune` found for this extractor.

    Raises ConfigError where none was looked for, or with other parameters or options.
    """
    if tuned is None:
        raise ConfigError(
            "this checkpoint was not tuned: python -m grel.main --mode=tune --workdir=DIR"
        )
    of, numbers = tuned.get("of"), {n: tuned[n] for n in Balance._fields if n in tuned}
    if not (
        isinstance(of, dict)
        and {"end_bias", "min_score"} <= numbers.keys()
        and all(type(number) in (int, float) for number in numbers.values())
    ):
        raise ConfigError("this checkpoint's tuned.json holds no balance: run --mode=tune again")
    if of != _facts(extractor):
        changed = sorted(name for name, value in _facts(extractor).items() if of.get(name) != value)
        raise ConfigError(
            f"this checkpoint was tuned with another {', '.join(changed)}: use the same, or run "
            "--mode=tune again"
        )
    return Balance(**numbers)


def _facts(extractor: TextExtractor) -> dict[str, Any]:
    """What a balance was found for; texts longer than the model reads at once are few."""
    free = (*Balance._fields, "windows", "relations")
    return {name: value for name, value in extractor.identity().items() if name not in free}
