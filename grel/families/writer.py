"""What extraction sees of a family: a writer, which turns texts into outputs and reads these.

Nothing here needs a model, so that files can be predicted, merged and tested without one.
"""

from __future__ import annotations

import abc
import dataclasses
import operator
from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from grel.errors import ConfigError
from grel.records import Span, Triple


@dataclasses.dataclass(frozen=True)
class Tally:
    """What there is to know about outputs beside their triples; add them up over documents.

    Attributes:
        malformed: pieces of the output that were no triple.
        unknown_relation: triples dropped because their relation is not in the schema.
        not_in_text: entities written that do not stand in the sentence.
        unended: documents whose output was still going on at the longest length.
        cut: documents of which the model saw only the beginning.
        windowed: documents too long for the model, read in overlapping windows.
        below_min_score: triples dropped because they were not likely enough.
        unknown_names: entities written with words that the vocabulary lacks.
        unknown_tokens: wordpieces of the texts that the vocabulary lacks.
        remembered: known triples that the model did not write, and that stand beside its own.
    """

    malformed: int = 0
    unknown_relation: int = 0
    not_in_text: int = 0
    unended: int = 0
    cut: int = 0
    windowed: int = 0
    below_min_score: int = 0
    unknown_names: int = 0
    unknown_tokens: int = 0
    remembered: int = 0

    def __add__(self, other: Tally) -> Tally:
        # Once a document: `dataclasses.astuple` would cost more than all the rest of reading.
        return Tally(*map(operator.add, vars(self).values(), vars(other).values()))


class Encoding(Protocol):
    """A text, or part of one, as a model reads it."""

    @property
    def offsets(self) -> Sequence[Span]:
        """Characters of each of its tokens."""

    def part(self, tokens: slice) -> Self:
        """Some of its tokens, one after the other."""


EncodingT = TypeVar("EncodingT", bound=Encoding)
OutputT = TypeVar("OutputT")


class Writer(abc.ABC, Generic[EncodingT, OutputT]):
    """Writes the triples of texts with the parameters of a system.

    Encodings and outputs are the family's own: nothing but its writer looks into an output.
    """

    # Tokens of the longest text that is read whole; None where there is no longest.
    max_source: int | None = None
    # Least share of the `known` triples that are written beside; 0 is none.
    known_share: float = 0.0

    @abc.abstractmethod
    def place(self, params: Any) -> Any:
        """Parameters on the host as the other methods take them, for instance on the devices."""

    @abc.abstractmethod
    def relations(self, params: Any) -> Sequence[str]:
        """All relations that it may write, sorted."""

    @abc.abstractmethod
    def encode(self, texts: Sequence[str]) -> Sequence[EncodingT]:
        """The texts as the model reads them."""

    @abc.abstractmethod
    def __call__(self, params: Any, encodings: Sequence[EncodingT]) -> Sequence[OutputT]:
        """An output for each; an encoding has at least one token."""

    @abc.abstractmethod
    def read(self, text: str, encoding: EncodingT, output: OutputT) -> tuple[list[Triple], Tally]:
        """The triples that an output says, each once, and what went wrong."""

    def num_unknown(self, encoding: EncodingT) -> int:
        """How many of the tokens the vocabulary lacks."""
        del encoding
        return 0

    def known(self, text: str) -> list[Triple]:
        """Triples of training whose names stand in a text, each once, if it remembers any.

        Their score is the share of training documents that they were right in, of all that have
        both names.
        """
        del text
        return []

    def remembered(self, text: str) -> list[Triple]:
        """Those of them that are written beside what the model writes."""
        least = self.known_share
        return [t for t in self.known(text) if (t.score or 0.0) >= least] if least else []

    def restricted(self, relations: Sequence[str]) -> Writer:
        """A writer of these relations only; raises ConfigError where there can't be one."""
        del relations
        raise ConfigError("this family writes all of its relations; leave --relations out")

    def biased(self, end_bias: float) -> Writer:
        """A writer whose end has this bias; raises ConfigError where there can't be one."""
        if end_bias:
            raise ConfigError("this family writes no end: end_bias must be 0")
        return self

    def remembering(self, known_share: float) -> Writer:
        """A writer with this `known_share`; raises ConfigError where there can't be one."""
        if known_share:
            raise ConfigError("this family remembers no triples: known_share must be 0")
        return self

    def alternatives(self, output: OutputT) -> Sequence[OutputT]:
        """Other outputs that were found beside this one, the best first."""
        del output
        return ()

    def trace(self, encoding: EncodingT, output: OutputT) -> dict[str, Any]:
        """How an output was written, step by step, as JSON; raises ConfigError where it can't say.

        "source_ids", "source_tokens", "excluded_ids" and "steps".
        """
        del encoding, output
        raise ConfigError("this family has no steps to trace; leave out --trace")
