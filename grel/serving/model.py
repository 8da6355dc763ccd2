"""The model that is served: what it can do, and texts in a batch to what was found in each."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tqdm

from grel.errors import ConfigError
from grel.extraction.extractor import Extractor
from grel.extraction.reading import Extraction
from grel.records import Document

# Tokens that may stand around those of a text.
_FRAME = 4
_KEPT_RESTRICTIONS = 64


class Kind(NamedTuple):
    """What texts must have in common to be read in one batch.

    Attributes:
        relations: the only ones to write, sorted; None is all.
        traced: whether it is told how the outputs were written.
    """

    relations: tuple[str, ...] | None = None
    traced: bool = False


class Found(NamedTuple):
    """What was found in a text; `traces` as `Extractor.traces` gives them, if asked for."""

    extraction: Extraction
    traces: list[dict[str, Any]]


class Model:
    """An extractor and what a client has to know of it.

    Args:
        extractor: of any family; drops no triples by their score.
        name: for people.
        min_score: of requests that do not say theirs.

    Attributes:
        relations: all that there are.
        cannot_restrict: why requests may not name relations, or None where they may.
        can_trace: whether it can tell how outputs were written; known after `warm_up`.
    """

    def __init__(self, extractor: Extractor, name: str, min_score: float = 0.0):
        self.name, self.min_score = name, min_score
        self.relations = tuple(extractor.relations)
        self._extractor = extractor
        # The programs are compiled once for all relations; this saves looking them up again.
        self._restricted = functools.lru_cache(_KEPT_RESTRICTIONS)(extractor.restricted)
        self.cannot_restrict = self._reason_against_restriction()
        self.can_trace = False

    def _reason_against_restriction(self) -> str | None:
        try:
            self._extractor.restricted(self.relations)
        except ConfigError as error:
            return str(error)
        return None

    def warm_up(self, batch_size: int) -> None:
        """Compiles what requests will need, so that the first ones don't wait for it.

        Args:
            batch_size: texts of a full batch; a text by itself is another program.
        """
        # A comma is one token in any family.
        texts = [" ".join([","] * length) for length in self._lengths()]
        sizes = [(text, number) for number in (1, batch_size) for text in texts]
        for text, number in tqdm.tqdm(sizes, unit="program", dynamic_ncols=True, disable=None):
            extractions = self._extractor.extractions([Document("", text)] * number)
        with contextlib.suppress(ConfigError):
            self._extractor.traces(extractions[0])
            self.can_trace = True

    def _lengths(self) -> list[int]:
        """Numbers of tokens, one for each of the programs that texts of any length need."""
        buckets = self._extractor.system.config.get("data", {}).get("buckets", ())
        # The last program is for what the model's positions leave beside an output, which may be
        # more than the buckets of training go up to, or less.
        longest = self._extractor.max_source or 1
        shorter = {max(1, bucket - _FRAME) for bucket in buckets if bucket < longest}
        return sorted({*shorter, longest})

    def find(self, documents: Sequence[Document], kind: Kind) -> list[Found]:
        """What is found in each of some documents of one kind."""
        extractor = self._extractor
        if kind.relations is not None:
            extractor = self._restricted(kind.relations)
        return [
            Found(extraction, extractor.traces(extraction) if kind.traced else [])
            for extraction in extractor.extractions(documents)
        ]
