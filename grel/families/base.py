"""What a family of models is to everything around it: the one contract that the others see.

A family turns a configuration into a `System`: tokenizer, model and whatever else it takes to train
and to extract. The trainer sees systems, the extractor sees their writers, and neither knows of
tokens, heads or caches. There are two kinds: a `Trained` system learns step by step from batches, a
`Fitted` one at once from documents.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import jax
import ml_collections

from grel import parallel
from grel.families.writer import Encoding, OutputT, Writer
from grel.fields import Fields
from grel.models.losses import Sums
from grel.pretrained.report import Report
from grel.records import Document

# Documents by split.
Splits = Mapping[str, Sequence[Document]]


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


@dataclasses.dataclass(frozen=True)
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


class Tokens(Encoding, Protocol):
    """A text as tokens."""

    @property
    def ids(self) -> Sequence[int]:
        """Of the tokens."""


TokensT = TypeVar("TokensT", bound=Tokens)
TokensT_co = TypeVar("TokensT_co", bound=Tokens, covariant=True)


class Tokenizer(Protocol[TokensT_co]):
    """What everything around a family may know of its tokenizer."""

    relations: tuple[str, ...]
    unknown_ids: tuple[int, ...]

    def encode_batch(self, texts: Sequence[str]) -> Sequence[TokensT_co]:
        """The tokens of texts."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a text or a relation could be encoded otherwise."""


class NetworkWriter(Writer[TokensT, OutputT]):
    """A writer whose parameters are on the devices, and whose tokenizer knows all it says of texts.

    Args:
        tokenizer: of its texts.
    """

    def __init__(self, tokenizer: Tokenizer[TokensT]):
        self.tokenizer = tokenizer

    def place(self, params: Any) -> Any:
        """On every device."""
        return parallel.replicate(params)

    def relations(self, params: Any) -> tuple[str, ...]:
        """Those of the schema."""
        del params
        return self.tokenizer.relations

    def encode(self, texts: Sequence[str]) -> Sequence[TokensT]:
        """The tokens of the texts."""
        return self.tokenizer.encode_batch(texts)

    def num_unknown(self, encoding: TokensT) -> int:
        """Tokens that stand for words that the vocabulary lacks."""
        return sum(id in self.tokenizer.unknown_ids for id in encoding.ids)


class Trained(System):
    """A system that learns from batches by its gradients.

    Attributes:
        model: the network's configuration.
    """

    # The network: a module with `init(config, key)` and `loss(config, params, ...)`.
    NETWORK: ClassVar[ModuleType]

    model: Any

    @property
    @abc.abstractmethod
    def tokenizer(self) -> Tokenizer[Tokens]:
        """Its tokenizer, which knows the relations."""

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

    def identity(self) -> dict[str, Any]:
        """The network and the tokenizer."""
        return {"model": repr(self.model), "tokenizer": self.tokenizer.fingerprint}

    def init(self, key: jax.Array) -> Any:
        """Fresh parameters."""
        return self.NETWORK.init(self.model, key)

    def params_like(self) -> Any:
        """Those of `init`."""
        return jax.eval_shape(lambda: self.init(jax.random.PRNGKey(0)))

    def loss(
        self, params: Any, batch: Any, mask_key: jax.Array, dropout_key: jax.Array | None = None
    ) -> Sums:
        """Sums and counts over a batch, "loss" among them; dropout where it has a key."""
        return self.NETWORK.loss(self.model, params, batch, mask_key, dropout_key)

    def step_flops(self, batch: Any) -> float | None:
        """Operations that a step over these rows needs; None where there is no formula for them."""
        del batch
        return None

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
