"""What one system gets right and the other does not, document by document.

Two systems with the same F1 can be right about different sentences, and one that gains overall
still loses somewhere; only the triples themselves show what changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from grel.records import Document, Triple
from grel.scoring.judged import Judged
from grel.scoring.protocols import ScoringError


@dataclasses.dataclass(frozen=True, slots=True)
class Contrast:
    """One document under two systems.

    Attributes:
      document: as in the gold file.
      found_by_both, found_by_first, found_by_second, missed_by_both: the gold triples, each in
        exactly one of these.
      wrong_in_both, wrong_in_first, wrong_in_second: predicted triples that are not gold, each
        in exactly one of these.
    """

    document: Document
    found_by_both: tuple[Triple, ...]
    found_by_first: tuple[Triple, ...]
    found_by_second: tuple[Triple, ...]
    missed_by_both: tuple[Triple, ...]
    wrong_in_both: tuple[Triple, ...]
    wrong_in_first: tuple[Triple, ...]
    wrong_in_second: tuple[Triple, ...]

    @property
    def differs(self) -> bool:
        """Whether the two systems are not right and wrong alike."""
        return any(getattr(self, name) for name in DIFFERENCES)

    def to_record(self) -> dict[str, Any]:
        """The contrast as a JSON object: id, text, and triples as [head, relation, tail]."""
        triples = {name: [list(t.key) for t in getattr(self, name)] for name in SIDES}
        return {"id": self.document.id, "text": self.document.text, **triples}


# Where triples stand that the two systems treat differently, and all of the fields.
DIFFERENCES = ("found_by_first", "found_by_second", "wrong_in_first", "wrong_in_second")
SIDES = tuple(field.name for field in dataclasses.fields(Contrast) if field.name != "document")


def contrast(first: Sequence[Judged], second: Sequence[Judged]) -> list[Contrast]:
    """Sets two systems against each other, judged on the same documents under one protocol.

    Raises:
      ScoringError: the documents or their gold triples are not the same.
    """
    check_same_gold(first, second)
    return [_contrast(one, other) for one, other in zip(first, second, strict=True)]


def check_same_gold(first: Sequence[Judged], second: Sequence[Judged]) -> None:
    """Raises ScoringError unless both were judged on the same documents in the same order.

    Gold triples of a document have to be the same too; they are a set, listed in any order.
    """
    if len(first) != len(second):
        raise ScoringError(
            f"the two systems were judged on {len(first)} and {len(second)} documents: evaluate "
            "both on the same file"
        )
    for one, other in zip(first, second, strict=True):
        names = one.document.id, other.document.id
        if names[0] != names[1] or one.document.text != other.document.text:
            raise ScoringError(
                f"documents {names[0]!r} and {names[1]!r} are not the same: evaluate both systems "
                "on the same file"
            )
        if one.gold.keys() != other.gold.keys():
            raise ScoringError(
                f"document {names[0]!r}: the gold triples differ: evaluate both systems on the "
                "same file"
            )


def _contrast(first: Judged, second: Judged) -> Contrast:
    def gold(in_first: bool, in_second: bool) -> tuple[Triple, ...]:
        return tuple(
            triple
            for key, triple in first.gold.items()
            if (key in first.predicted, key in second.predicted) == (in_first, in_second)
        )

    def wrong(one: Judged, other: Judged, in_other: bool) -> tuple[Triple, ...]:
        return tuple(
            triple
            for key, triple in one.predicted.items()
            if key not in one.gold and (key in other.predicted) == in_other
        )

    return Contrast(
        document=first.document,
        found_by_both=gold(True, True),
        found_by_first=gold(True, False),
        found_by_second=gold(False, True),
        missed_by_both=gold(False, False),
        wrong_in_both=wrong(first, second, True),
        wrong_in_first=wrong(first, second, False),
        wrong_in_second=wrong(second, first, False),
    )
