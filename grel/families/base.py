"""What a family of models is to everything around it: the one contract that the others see.

A family turns a configuration into a `System`: tokenizer, model and whatever else it takes to train
and to extract. The trainer sees systems, the extractor sees their writers, and neither knows of
tokens, heads or caches. There are two kinds: a `Trained` system learns step by step from batches, a
`Fitted` one at once from documents.
"""

from __future__ import annotations

import abc
import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from grel.errors import ConfigError
from grel.records import Document, Span, Triple

if TYPE_CHECKING:
    import jax
    import ml_collections

    from grel.fields import Fields
    from grel.models.losses import Sums

# Documents by split.
Splits = Mapping[str, Sequence[Document]]


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

    def __add__(self, other: Tally) -> Tally:
        # Once a document: `dataclasses.astuple` would cost more than all the rest of reading.
        return Tally(*map(operator.add, vars(self).values(), vars(other).values()))


class Encoding(Protocol):
    """A text, or part of one, as a model reads it."""

    @property
    def offsets(self) -> Sequence[Span]:
        """Characters of each of its tokens."""

    def part(self, tokens: slice) -> Encoding:
        """Some of its tokens, one after the other."""


class Writer(abc.ABC):
    """Writes the triples of texts with the parameters of a system.

    An output is the family's own: nothing but its writer looks into it.
    """

    # Tokens of the longest text that is read whole; None where there is no longest.
    max_source: int | None = None

    @abc.abstractmethod
    def place(self, params: Any) -> Any:
        """Parameters on the host as the other methods take them, for instance on the devices."""

    @abc.abstractmethod
    def relations(self, params: Any) -> Sequence[str]:
        """All relations that it may write, sorted."""

    @abc.abstractmethod
    def encode(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """The texts as the model reads them."""

    @abc.abstractmethod
    def __call__(self, params: Any, encodings: Sequence[Encoding]) -> Sequence[Any]:
        """An output for each; an encoding has at least one token."""

    @abc.abstractmethod
    def read(self, text: str, encoding: Encoding, output: Any) -> tuple[list[Triple], Tally]:
        """The triples that an output says, each once, and what went wrong."""

    def num_unknown(self, encoding: Encoding) -> int:
        """How many of the tokens the vocabulary lacks."""
        del encoding
        return 0

    def restricted(self, relations: Sequence[str]) -> Writer:
        """A writer of these relations only; raises ConfigError where there can't be one."""
        del relations
        raise ConfigError("this family writes all of its relations; leave --relations out")

    def biased(self, end_bias: float) -> Writer:
        """A writer whose end has this bias; raises ConfigError where there can't be one."""
        if end_bias:
            raise ConfigError("this family writes no end: end_bias must be 0")
        return self

    def alternatives(self, output: Any) -> Sequence[Any]:
        """Other outputs that were found beside this one, the best first."""
        del output
        return ()

    def trace(self, encoding: Encoding, output: Any) -> dict[str, Any]:
        """How an output was written, step by step, as JSON; raises ConfigError where it can't say.

        "source_ids", "source_tokens", "excluded_ids" and "steps".
        """
        del encoding, output
        raise ConfigError("this family has no steps to trace; leave out --trace")


class Batch(Protocol):
    """A pytree of arrays whose first axis is the row in the batch."""

    @property
    def num_tokens(self) -> int:
        """How many tokens are no padding."""


class Batches(Protocol):
    """All batches of a training run or of one pass over a split, by number."""

    @property
    def num_batches(self) -> int:
        """In an epoch."""

    def __getitem__(self, step: int) -> Any:
        """This process's rows of a batch, a `Batch`; steps go on over epochs without end."""

    def examples(self, step: int) -> list[int]:
        """Which examples are in the global batch of a step."""


class Prepared(NamedTuple):
    """A split, made ready.

    Attributes:
        batches: of its examples.
        fingerprint: changes whenever an example does.
        documents: gives the document of each example, which takes its time.
    """

    batches: Batches
    fingerprint: str
    documents: Callable[[], Iterable[Document]]


class Report(Protocol):
    """What became of each tensor of foreign weights."""

    def summary(self) -> str:
        """In one line."""

    def write(self, folder: Any) -> None:
        """All of it, into a file in the folder."""


class System(abc.ABC):
    """A configuration of a family made concrete: everything but the parameters.

    Attributes:
        config: the whole configuration.
    """

    # The fields of the family's own, beside those that all have.
    FIELDS: ClassVar[Fields]

    config: ml_collections.ConfigDict

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> None:
        """Raises ConfigError for what `FIELDS` can't say, such as two that do not go together."""
        del fields

    @classmethod
    @abc.abstractmethod
    def from_about(cls, config: ml_collections.ConfigDict, about: Mapping[str, Any]) -> System:
        """The system of a checked configuration, and what `about` told of it.

        Raises LookupError, TypeError or ValueError where `about` is damaged.
        """

    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """What `from_about` needs, as JSON, "config" included."""

    @abc.abstractmethod
    def params_like(self) -> Any:
        """Shapes and types of the parameters, without computing any."""

    @abc.abstractmethod
    def writer(self) -> Writer:
        """Its writer, as configured; raises ConfigError for values that cannot work."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """JSON that, beside parameters and decoding, tells it from others."""


class Trained(System):
    """A system that learns from batches by its gradients."""

    @classmethod
    @abc.abstractmethod
    def learn(
        cls,
        config: ml_collections.ConfigDict,
        splits: Splits,
        earlier: Mapping[str, Any] | None = None,
    ) -> Trained:
        """A system for these documents, with a vocabulary learned from "train" where it needs one.

        With `earlier`, the `about` of a run that goes on, what was learned is taken from there.
        """

    @abc.abstractmethod
    def prepare(self, splits: Splits) -> dict[str, Prepared]:
        """Examples and batches of each split; tells what the user should know of them.

        Raises a UserError where documents cannot become examples.
        """

    @property
    @abc.abstractmethod
    def tokenizer_fingerprint(self) -> str:
        """Changes whenever the tokenizer does."""

    @abc.abstractmethod
    def init(self, key: jax.Array) -> Any:
        """Fresh parameters."""

    @abc.abstractmethod
    def loss(
        self, params: Any, batch: Any, mask_key: jax.Array, dropout_key: jax.Array | None = None
    ) -> Sums:
        """Sums and counts over a batch, "loss" among them; dropout where it has a key."""

    def pretrained(self, key: jax.Array) -> tuple[Any, Report] | None:
        """Parameters to start from where the configuration names some, and what became of them."""
        del key
        return None


class Fitted(System):
    """A system that is made of its training documents at once."""

    @classmethod
    @abc.abstractmethod
    def fit(
        cls, config: ml_collections.ConfigDict, documents: Sequence[Document]
    ) -> tuple[System, Any]:
        """The system and its parameters, as arrays."""
