"""A network as decoding knows it: functions, and never a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax

from grel.decoding import beam, greedy


class Feeding(NamedTuple):
    """How a model is fed several tokens at once; see `greedy.Drafting`.

    Attributes:
        by_rows: the state before the first token -> that in which rows go on by different numbers.
        feed: (decoding_params, state, tokens_BF) -> (token logits, bio_logits_BFC, state).
        keep: (state, num_B) -> the state in which so many of these were fed.
    """

    by_rows: Callable[[Any], Any]
    feed: Callable[[Any, Any, jax.Array], tuple[Any, Any, Any]]
    keep: Callable[[Any, jax.Array], Any]


class Functions(NamedTuple):
    """A network, as far as decoding knows it; rows are beams, those of an example side by side.

    Attributes:
        decoding_params: params -> parameters as the others take them, on the host or on devices.
        init: (decoding_params, source_BS, source_length_B, num_steps, num_beams) -> state before
            the first token; what else it reads of each token, as characters or marks,
            beside_BSK, is a further argument.
        step: (decoding_params, state, token_B) -> (token logits, bio_logits_BC, state); see
            `greedy.StepFn`.
        take_rows, grow: see `greedy.TakeRowsFn` and `GrowFn`; reorder_beams: see `beam.ReorderFn`.
        attended: see `greedy.AttendedFn`; of networks that tell.
        feeding: of networks that can be fed several tokens at once.
    """

    decoding_params: Callable[[Any], Any]
    init: Callable[..., Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any]]
    take_rows: greedy.TakeRowsFn
    grow: greedy.GrowFn
    reorder_beams: beam.ReorderFn
    attended: greedy.AttendedFn | None = None
    feeding: Feeding | None = None

    @classmethod
    def of(cls, network: ModuleType, config: Any) -> Functions:
        """Those of a module that has them by these names, `init_decode` and `decode_step`.

        These, `decoding_params` and `feed` take the network's configuration first.
        """
        feeding = None
        if hasattr(network, "feed"):
            feed = functools.partial(network.feed, config)
            feeding = Feeding(network.by_rows, feed, network.keep)
        return cls(
            functools.partial(network.decoding_params, config),
            functools.partial(network.init_decode, config),
            functools.partial(network.decode_step, config),
            network.take_rows,
            network.grow,
            network.reorder_beams,
            getattr(network, "attended", None),
            feeding,
        )
