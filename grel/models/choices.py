"""Triples as a fixed number of choices: the decoder that CopyRE and CopyMTL have in common.

A triple is three choices: a relation, the position of the head's last word, that of the tail's; or
three times the stop. What the model chose is what it is fed next, in training too, so that training
and use run the same scan over triples. Weights that each of several decoders has for itself stand
on a leading axis, which the scan runs over; all others it closes over. A single decoder is the case
without weights of the first kind.

N counts triples here; R relations; P positions of the source and behind them the stop; an axis of 3
is relation, head, tail. A stop is `STOP` in all arrays, whatever the padding.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding.pointers import Found
from grel.models.recurrent import Carry, masked_softmax

T = TypeVar("T")

# The choice to stop. As an index it is the last: scores and vectors of it stand behind all others.
STOP = -1


class Choices(NamedTuple):
    """What was chosen, and log probabilities: of the choices, or where there is gold of that."""

    choice_BN3: jax.Array
    log_prob_BN3: jax.Array


class Source(NamedTuple):
    """A sentence as the decoders see it.

    Attributes:
        outputs_BSD: of the encoder.
        state: (c_BD, h_BD) that the decoders start from.
        seen_BS: positions that softmaxes run over.
        copyable_BS: positions that can be chosen.
        vectors_BPX: vectors of the words, and of the stop among positions.
        relations_BRX: vectors of the relations, and of the stop among them.
        go_BX: what the decoder is fed before its first choice.
    """

    outputs_BSD: jax.Array
    state: Carry
    seen_BS: jax.Array
    copyable_BS: jax.Array
    vectors_BPX: jax.Array
    relations_BRX: jax.Array
    go_BX: jax.Array


class Scores(NamedTuple):
    """Of what can be chosen; the stop's is the same for all kinds of choices."""

    relation_BR: jax.Array
    copy_BS: jax.Array
    stop_B1: jax.Array


class Decoder(nn.Module, abc.ABC):
    """One decoder; a system says how it scores, and what its decoders share.

    Attributes:
        config: of the system; with `decoder`, `teacher_forcing`, `quirks`, `num_triples` and
            `word_features`.
        own: names of the weights that each of several decoders has for itself; all if none.
        starts_again: each decoder is fed the start, and not what the one before it chose last.
        hides_head: a tail can't be where its head is.
    """

    config: Any

    own: ClassVar[tuple[str, ...]] = ()
    starts_again: ClassVar[bool] = True
    hides_head: ClassVar[bool] = True

    @abc.abstractmethod
    def keys(self, outputs_BSD: jax.Array) -> Any:
        """What attention and copying see of the source, the same at every step."""

    @abc.abstractmethod
    def context(self, state: Carry, source: Source, keys: Any) -> jax.Array:
        """What attention reads of the source before a step: context_BD."""

    @abc.abstractmethod
    def scores(self, output_BD: jax.Array, keys: Any) -> Scores:
        """What an output of the cell says of all that can be chosen."""

    def step(
        self, state: Carry, vector_BX: jax.Array, source: Source, keys: Any
    ) -> tuple[Carry, Scores]:
        """Feeds the vector of the choice before: the new state, and scores of the next."""
        context_BD = self.context(state, source, keys)
        inputs_BX = self.combine(jnp.concatenate([vector_BX, context_BD], axis=-1))
        state, output_BD = self.cell.step(state, inputs_BX)
        return state, self.scores(output_BD, keys)

    def __call__(self, source: Source) -> tuple[Carry, Scores]:
        """One step; what initialization traces."""
        vector_BX = source.vectors_BPX[:, 0]
        return self.step(source.state, vector_BX, source, self.keys(source.outputs_BSD))


class Joined(nn.Module):
    """A linear map of each position joined with one vector: [o_i; q] W + b.

    What the positions add is apart, so that it is computed once and not at every step.

    Attributes:
        features: of the result.
        widths: of the positions' vectors and of the one they are joined with.
        kernel_init, bias_init: None is no bias.
    """

    features: int
    widths: tuple[int, int]
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer | None = None

    def setup(self):
        self.kernel = self.param("kernel", self.kernel_init, (sum(self.widths), self.features))
        if self.bias_init is not None:
            self.bias = self.param("bias", self.bias_init, (self.features,))

    def keys(self, outputs_BSD: jax.Array) -> jax.Array:
        """What the positions add: keys_BSX."""
        return outputs_BSD @ self.kernel[: self.widths[0]]

    def __call__(self, keys_BSX: jax.Array, query_BD: jax.Array) -> jax.Array:
        """joined_BSX, of what `keys` gave."""
        joined_BSX = keys_BSX + (query_BD @ self.kernel[self.widths[0] :])[:, None]
        return joined_BSX if self.bias_init is None else joined_BSX + self.bias[None, None]


def triples(row: Choices) -> Iterator[tuple[int, int, int, float]]:
    """What was chosen for one sentence: relation, head, tail and the probability of the three."""
    for choice_3, log_prob_3 in zip(row.choice_BN3, row.log_prob_BN3, strict=True):
        relation, head, tail = map(int, choice_3)
        yield relation, head, tail, math.exp(sum(map(float, log_prob_3)))


def unique(found: Iterable[Found]) -> list[Found]:
    """The first of equal triples."""
    first: dict[object, Found] = {}
    for triple in found:
        first.setdefault(triple[:3], triple)
    return list(first.values())


def weighted(beta_BS1: jax.Array, source: Source) -> jax.Array:
    """The sum of the source's outputs, weighted by a softmax of scores: context_BD."""
    weight_BS = masked_softmax(beta_BS1[..., 0], source.seen_BS)
    return jnp.einsum("BS,BSD->BD", weight_BS, source.outputs_BSD)


def hide(score_BS: jax.Array, position_B: jax.Array, quirks: str) -> jax.Array:
    """Scores with one position of each row hidden; none where it is `STOP`.

    The authors multiply by the mask, so that what is hidden has the score 0. Of -1, -1.5, -.5 with
    the second hidden, theirs is the likeliest and not the third.
    """
    hidden_BS = jnp.arange(score_BS.shape[1])[None] == position_B[:, None]
    return jnp.where(hidden_BS, 0 if quirks == "authors" else -jnp.inf, score_BS)


def decode(
    decoder: Decoder, params: Any, source: Source, gold_BN3: jax.Array | np.ndarray | None = None
) -> Choices:
    """Chooses all triples, one after the other.

    Args:
        decoder: unbound.
        params: "decoder", weights of all decoders, and "decoders", those that each has for itself.
        source: of the encoder.
        gold_BN3: what log probabilities are asked of; None asks for those of the choices.
    """
    c = decoder.config
    is_multi = c.decoder == "multi"
    is_forced = gold_BN3 is not None and c.teacher_forcing == "on"

    def choose_triple(carry, xs):
        own, gold_B3 = xs
        bound = decoder.bind({"params": params.get("decoder", {}) | own})
        keys = bound.keys(source.outputs_BSD)
        state, vector_BX = carry
        if is_multi:
            state = mean(source.state, state)
            vector_BX = source.go_BX if decoder.starts_again else vector_BX
        chosen, log_probs = [], []
        hidden_B = jnp.full(len(source.go_BX), STOP)
        for part in range(3):
            state, (relation_BR, copy_BS, stop_B1) = bound.step(state, vector_BX, source, keys)
            if part == 0:
                score_BX = choosable_BX = jnp.concatenate([relation_BR, stop_B1], axis=1)
                vectors_BXX = source.relations_BRX
            else:
                copy_BS = hide(jnp.where(source.seen_BS, copy_BS, -jnp.inf), hidden_B, c.quirks)
                score_BX = jnp.concatenate([copy_BS, stop_B1], axis=1)
                copyable_BS = jnp.where(source.copyable_BS, copy_BS, -jnp.inf)
                choosable_BX = jnp.concatenate([copyable_BS, stop_B1], axis=1)
                vectors_BXX = source.vectors_BPX
            choice_B = choosable_BX.argmax(axis=1)
            choice_B = jnp.where(choice_B == score_BX.shape[1] - 1, STOP, choice_B)
            asked_B = choice_B if gold_B3 is None else gold_B3[:, part]
            fed_B = asked_B if is_forced else choice_B
            if part == 1 and decoder.hides_head:
                hidden_B = fed_B
            vector_BX = _pick(vectors_BXX, fed_B)
            chosen.append(choice_B)
            log_probs.append(_pick(nn.log_softmax(score_BX), asked_B))
        return (state, vector_BX), (jnp.stack(chosen, axis=1), jnp.stack(log_probs, axis=1))

    # The mean of the encoder's state and itself is itself.
    start = source.state
    if is_multi and c.quirks == "authors":
        start = jax.tree.map(jnp.zeros_like, start)
    gold_NB3 = None if gold_BN3 is None else jnp.swapaxes(gold_BN3, 0, 1)
    _, (choice_NB3, log_prob_NB3) = jax.lax.scan(
        choose_triple,
        (start, source.go_BX),
        (params.get("decoders", {}), gold_NB3),
        length=c.num_triples,
    )
    return Choices(choice_NB3.swapaxes(0, 1), log_prob_NB3.swapaxes(0, 1))


def _pick(values: jax.Array, index_B: jax.Array) -> jax.Array:
    """One entry of each row, the last for `STOP`."""
    return jax.vmap(lambda row, index: row[index])(values, index_B)


def mean(one: T, other: T) -> T:
    """The mean of two arrays, or of two states."""
    return jax.tree.map(lambda a, b: (a + b) / 2, one, other)


def init(encoder: nn.Module, decoder: Decoder, key: jax.Array) -> Any:
    """Fresh parameters of an encoder and its decoders."""
    encoder_key, decoder_key = jax.random.split(key)
    one = jnp.ones((1,), jnp.int32)
    source, variables = encoder.init_with_output(encoder_key, one[:, None], one)
    params = {"encoder": variables["params"]}

    def drawn(key):
        return decoder.init(key, source)["params"]

    if decoder.config.decoder == "one":
        return params | {"decoder": drawn(decoder_key)}
    weights = jax.vmap(drawn)(jax.random.split(decoder_key, decoder.config.num_triples))
    own = decoder.own or set(weights)
    shared = {name: jax.tree.map(lambda x: x[0], weights[name]) for name in set(weights) - set(own)}
    params["decoders"] = {name: weights[name] for name in own}
    return params | ({"decoder": shared} if shared else {})
