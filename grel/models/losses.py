"""Training targets and the two-headed loss, the same for every family that writes tokens.

A token is scored either over the vocabulary or over the places where it can be taken from, tokens
of the source and a few others; its probability is then the sum over its places.

A loss is a set of (sum, count) pairs and never a mean: sums and counts are added over slices,
devices and processes and divided once, so that uneven masks do not weigh examples differently.
Source: paper section 3.4; METHOD section 5.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from grel.data.pipeline import Batch

OBJECTIVES = ("mlm", "causal", "pseudo")

# Parts of a loss that are counts, not means.
COUNTED = ("overflow", "unwritable")

Sums = dict[str, tuple[jax.Array, jax.Array]]


class Targets(NamedTuple):
    """What is to be predicted where.

    Attributes:
        position_BP: positions of the packed row whose hidden state predicts.
        target_position_BP: positions that are predicted.
        token_BP, label_BP: what it should predict.
        counts_BP: whether this entry counts.
        num_overflow: targets for which P had no room; lost to training, so it is reported.
    """

    position_BP: jax.Array
    target_position_BP: jax.Array
    token_BP: jax.Array
    label_BP: jax.Array
    counts_BP: jax.Array
    num_overflow: jax.Array

    def written_BP(self, batch: Batch) -> jax.Array:
        """Which entries predict a token of the target; "mlm" recovers tokens of the source too."""
        return self.target_position_BP >= batch.source_length_B[:, None]


def maskable(batch: Batch) -> jax.Array:
    """Positions that may be masked: S1, S2 and the final [SEP]; maskable_BL."""
    place_1L = jnp.arange(batch.tokens_BL.shape[1])[None]
    source_B1, length_B1 = batch.source_length_B[:, None], batch.length_B[:, None]
    return (place_1L > 0) & (place_1L != source_B1 - 1) & (place_1L < length_B1)


def expected_hidden(source_rate: Any, target_rate: Any, num_maskable: Any, num_targets: Any) -> Any:
    """How many positions a row hides on average; of `num_maskable` these are of the target."""
    return source_rate * num_maskable + (target_rate - source_rate) * num_targets


def room(expected: float) -> int:
    """Places for so many hidden positions, rounded, at least one: room(28.5) is 29, as room(29.2).

    Devices compute in float32, where what is a half or just below it here may be rounded up.
    """
    return max(1, math.floor(expected * (1 + 1e-6) + 0.5))


def mask_tokens(
    key: jax.Array,
    batch: Batch,
    *,
    source_rate: float,
    target_rate: float,
    mask_id: int,
    vocab: int,
) -> tuple[jax.Array, Targets]:
    """Hides a share of each row's maskable positions, at least one: the "mlm" objective.

    A position is hidden with the rate of its side, and the number hidden in a row is the expected
    one, rounded: Pareto sampling (Rosen 1997), which at equal rates is drawing so many positions,
    each with the same chance, as the paper does.
    Of the hidden ones 80 % become [MASK], 10 % a random token, 10 % stay. What is random in a row
    comes from `key` and the row's number in the global batch, so it does not depend on how the
    batch is spread over devices. Returns the tokens as the model sees them, and the targets.
    """
    length = batch.tokens_BL.shape[1]
    expected = functools.partial(expected_hidden, source_rate, target_rate)
    # Most are hidden where the side of the higher rate is as long as it can be.
    num_targets = min(batch.num_targets, length) if target_rate > source_rate else 0
    num_predict = room(expected(length, num_targets))
    place_1L = jnp.arange(length)[None]
    in_target_BL = place_1L >= batch.source_length_B[:, None]

    def mask_row(row, maskable_L, in_target_L, token_L):
        choice_key, fate_key, token_key = jax.random.split(jax.random.fold_in(key, row), 3)
        rate_L = jnp.where(in_target_L, target_rate, source_rate)
        order_L = _logit(jax.random.uniform(choice_key, (length,))) + _logit(rate_L)
        _, position_P = jax.lax.top_k(jnp.where(maskable_L, order_L, -jnp.inf), num_predict)
        num_maskable = maskable_L.sum()
        wanted = jnp.round(expected(num_maskable, (maskable_L & in_target_L).sum()))
        wanted = jnp.where(num_maskable > 0, jnp.maximum(1, wanted.astype(jnp.int32)), 0)
        counts_P = jnp.arange(num_predict) < wanted
        fate_P = jax.random.uniform(fate_key, (num_predict,))
        random_P = jax.random.randint(token_key, (num_predict,), 0, vocab)
        true_P = token_L[position_P]
        seen_P = jnp.where(fate_P < 0.8, mask_id, jnp.where(fate_P < 0.9, random_P, true_P))
        hidden_L = token_L.at[position_P].set(jnp.where(counts_P, seen_P, true_P))
        return hidden_L, position_P, counts_P, jnp.maximum(wanted - num_predict, 0)

    tokens_BL, position_BP, counts_BP, overflow_B = jax.vmap(mask_row)(
        batch.row_B, maskable(batch), in_target_BL, batch.tokens_BL
    )
    return tokens_BL, _targets(batch, position_BP, position_BP, counts_BP, overflow_B.sum())


def _logit(p: jax.Array) -> jax.Array:
    return jnp.log(p) - jnp.log1p(-p)


def next_tokens(batch: Batch) -> Targets:
    """Each position from the first [SEP] on predicts the next one: the "causal" objective."""
    position_BP, counts_BP, overflow = _target_positions(batch)
    return _targets(batch, position_BP - 1, position_BP, counts_BP, overflow)


def twin_tokens(batch: Batch) -> Targets:
    """Twins of the target's positions behind the packed row predict them: the "pseudo" objective.

    Entry p stands for position L + p of a row to which P twins were appended; see
    `models.attention.twin_mask`.
    """
    position_BP, counts_BP, overflow = _target_positions(batch)
    twin_1P = batch.tokens_BL.shape[1] + jnp.arange(batch.num_targets)[None]
    twin_BP = jnp.broadcast_to(twin_1P, position_BP.shape)
    return _targets(batch, twin_BP, position_BP, counts_BP, overflow)


def _target_positions(batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Positions of S2 and its [SEP] in each row: position_BP, counts_BP, how many had no room."""
    place_1P = jnp.arange(batch.num_targets)[None]
    wanted_B = batch.length_B - batch.source_length_B
    position_BP = jnp.maximum(batch.source_length_B[:, None] + place_1P, 1)
    position_BP = jnp.minimum(position_BP, batch.tokens_BL.shape[1] - 1)
    overflow = jnp.maximum(wanted_B - batch.num_targets, 0).sum()
    return position_BP, place_1P < wanted_B[:, None], overflow


def _targets(
    batch: Batch,
    position_BP: jax.Array,
    target_position_BP: jax.Array,
    counts_BP: jax.Array,
    num_overflow: jax.Array,
) -> Targets:
    token_BP, label_BP = (
        jnp.take_along_axis(values_BL, target_position_BP, axis=1)
        for values_BL in (batch.tokens_BL, batch.labels_BL)
    )
    return Targets(position_BP, target_position_BP, token_BP, label_BP, counts_BP, num_overflow)


class TokenScores(NamedTuple):
    """How well each token was predicted.

    Attributes:
        loss_BP: negative log-probability.
        right_BP: whether the likeliest token was it.
        found_BP: whether the token can be predicted at all; the loss leaves it out otherwise.
    """

    loss_BP: jax.Array
    right_BP: jax.Array
    found_BP: jax.Array


def vocabulary_scores(
    logits_BPV: jax.Array, token_BP: jax.Array, smoothing: float = 0.0
) -> TokenScores:
    """Scores over the vocabulary; `smoothing` of the target's mass is spread over all tokens."""
    loss_BP = _cross_entropy(logits_BPV, token_BP)
    if smoothing:
        uniform_BP = jax.nn.logsumexp(logits_BPV, axis=-1) - logits_BPV.mean(-1)
        loss_BP = (1 - smoothing) * loss_BP + smoothing * uniform_BP
    right_BP = _is_likeliest(logits_BPV, token_BP)
    return TokenScores(loss_BP, right_BP, jnp.ones_like(right_BP))


def _is_likeliest(logits_XV: jax.Array, token_X: jax.Array) -> jax.Array:
    """Whether a token is the likeliest, the first of equals, at any leading axes: right_X.

    It is where those before it have less, and those behind it no more: a comparison that needs no
    search, which takes a CPU ten times as long.
    """
    token_X1 = token_X[..., None]
    word_XV = jax.lax.broadcasted_iota(token_X.dtype, logits_XV.shape, logits_XV.ndim - 1)
    logit_X1 = jnp.take_along_axis(logits_XV, token_X1, axis=-1)
    is_less_XV = (logits_XV < logit_X1) | ((logits_XV == logit_X1) & (word_XV >= token_X1))
    return is_less_XV.all(-1)


class TokenSums(NamedTuple):
    """`TokenScores` added up.

    Attributes:
        loss, num_right: over the tokens that are asked for and can be predicted.
        num_scored: how many these are; num_asked: how many are asked for.
    """

    loss: jax.Array
    num_right: jax.Array
    num_scored: jax.Array
    num_asked: jax.Array


# Positions whose logits are held at once.
_PART = 128


def vocabulary_sums(
    hidden_BPD: jax.Array, kernel_DV: jax.Array, bias_V: jax.Array, targets: Targets
) -> TokenSums:
    """Sums of `vocabulary_scores` over what counts, of logits that are never held all at once.

    Positions go through the head in parts, those that count first, and the rest is left out: of
    targets of many lengths most are padding. The gradient of a sum is made together with it, so
    that logits are computed once.
    """
    counts_N = targets.counts_BP.reshape(-1)
    num = counts_N.sum()
    # Counted positions in their order, and any behind them to fill up the last part.
    index_N = jnp.argsort(~counts_N, stable=True)
    index_N = jnp.pad(index_N, (0, -len(index_N) % _PART))
    hidden_ND = hidden_BPD.reshape(-1, hidden_BPD.shape[-1])[index_N]
    token_N = targets.token_BP.reshape(-1)[index_N]
    loss, num_right = _sums_by_parts(hidden_ND, kernel_DV, bias_V, token_N, num)
    return TokenSums(loss, num_right, *[num.astype(jnp.float32)] * 2)


@jax.custom_vjp
def _sums_by_parts(
    hidden_ND: jax.Array,
    kernel_DV: jax.Array,
    bias_V: jax.Array,
    token_N: jax.Array,
    num: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Cross entropy of the first `num` positions added up, and how many of them are right."""

    def add_part(n: jax.Array, total: tuple[jax.Array, jax.Array]) -> Any:
        hidden_nD = jax.lax.dynamic_slice_in_dim(hidden_ND, n * _PART, _PART)
        part = _part(hidden_nD @ kernel_DV + bias_V[None], token_N, num, n)
        return jax.tree.map(jnp.add, total, part[:2])

    return jax.lax.fori_loop(0, -(-num // _PART), add_part, (jnp.float32(0), jnp.int32(0)))


def _sums_and_gradient(
    hidden_ND: jax.Array,
    kernel_DV: jax.Array,
    bias_V: jax.Array,
    token_N: jax.Array,
    num: jax.Array,
) -> tuple[tuple[jax.Array, jax.Array], Any]:
    """`_sums_by_parts`, and the gradient of the first sum by hidden states, kernel and bias."""

    def add_part(n: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        total, (to_hidden_ND, to_kernel_DV, to_bias_V) = carry
        hidden_nD = jax.lax.dynamic_slice_in_dim(hidden_ND, n * _PART, _PART)
        *sums, to_logits_nV = _part(hidden_nD @ kernel_DV + bias_V[None], token_N, num, n)
        gradient = (
            jax.lax.dynamic_update_slice_in_dim(
                to_hidden_ND, to_logits_nV @ kernel_DV.T, n * _PART, axis=0
            ),
            to_kernel_DV + hidden_nD.T @ to_logits_nV,
            to_bias_V + to_logits_nV.sum(0),
        )
        return jax.tree.map(jnp.add, total, tuple(sums)), gradient

    zeros = (
        (jnp.float32(0), jnp.int32(0)),
        jax.tree.map(jnp.zeros_like, (hidden_ND, kernel_DV, bias_V)),
    )
    return jax.lax.fori_loop(0, -(-num // _PART), add_part, zeros)


def _scaled(gradient: Any, to_sums: tuple[jax.Array, Any]) -> tuple[Any, ...]:
    """The gradient of what the sum goes into; words and numbers have none."""
    return (*jax.tree.map(lambda x: to_sums[0] * x, gradient), None, None)


_sums_by_parts.defvjp(_sums_and_gradient, _scaled)


def _part(
    logits_nV: jax.Array, token_N: jax.Array, num: jax.Array, n: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of the n-th part: the loss, how many are right, the gradient of the loss by the logits."""
    counts_n = n * _PART + jnp.arange(_PART) < num
    token_n = jax.lax.dynamic_slice_in_dim(token_N, n * _PART, _PART)
    word_1V = jnp.arange(logits_nV.shape[1])[None]
    logit_n1 = jnp.take_along_axis(logits_nV, token_n[:, None], axis=1)
    norm_n = jax.nn.logsumexp(logits_nV, axis=-1)
    to_logits_nV = jnp.exp(logits_nV - norm_n[:, None]) - (word_1V == token_n[:, None])
    return (
        jnp.where(counts_n, norm_n - logit_n1[:, 0], 0).sum(),
        (_is_likeliest(logits_nV, token_n) & counts_n).sum(),
        jnp.where(counts_n[:, None], to_logits_nV, 0),
    )


def _cross_entropy(logits_BPV: jax.Array, target_BP: jax.Array) -> jax.Array:
    """Negative log-probability of one class of V at each place."""
    # optax has it too, but is slow to import, and a model that extracts has no other use for it.
    logit_BP1 = jnp.take_along_axis(logits_BPV, target_BP[..., None], axis=-1)
    return jax.nn.logsumexp(logits_BPV, axis=-1) - logit_BP1[..., 0]


def place_scores(
    logits_BPX: jax.Array, ids_BX: jax.Array, token_BP: jax.Array, smoothing: float = 0.0
) -> TokenScores:
    """Scores over places: the probability of a token is the sum over the places that hold it.

    A place that can't be taken has the logit -inf. `smoothing` of the target's mass is spread over
    the others. Likeliest is here the token of the likeliest place.
    """
    real_BPX = logits_BPX > -jnp.inf
    holds_BPX = (ids_BX[:, None, :] == token_BP[:, :, None]) & real_BPX
    found_BP = holds_BPX.any(-1)
    norm_BP = jax.nn.logsumexp(logits_BPX, axis=-1)
    # Where nothing is found all places stand in, so that the gradient of what is left out is 0 and
    # not NaN.
    holds_BPX = holds_BPX | ~found_BP[..., None]
    loss_BP = norm_BP - jax.nn.logsumexp(logits_BPX, axis=-1, where=holds_BPX)
    if smoothing:
        mean_BP = jnp.mean(logits_BPX, axis=-1, where=real_BPX)
        loss_BP = (1 - smoothing) * loss_BP + smoothing * (norm_BP - mean_BP)
    best_BP = logits_BPX.argmax(-1)
    right_BP = jnp.take_along_axis(ids_BX, best_BP, axis=1) == token_BP
    return TokenScores(loss_BP, right_BP, found_BP)


def sums(
    tokens: TokenScores,
    bio_logits_BPC: jax.Array | None,
    targets: Targets,
    alpha: float,
    written_BP: jax.Array | None = None,
) -> Sums:
    """`alpha * CE_token + (1 - alpha) * CE_bio` and its parts, as (sum, count) over what counts.

    Of a model without a label head, None, the loss is CE_token, and labels have no parts.
    Where `written_BP` is given, only these tokens are asked for; labels always are. "overflow" and
    "unwritable" are counts: of targets without room, and of tokens that can't be predicted.
    """
    counts_BP = targets.counts_BP
    asked_BP = counts_BP if written_BP is None else counts_BP & written_BP
    scored_BP = asked_BP & tokens.found_BP

    def total(value_BP: jax.Array) -> jax.Array:
        return jnp.where(scored_BP, value_BP, 0).sum()

    num_scored, num_asked = (which.sum().astype(jnp.float32) for which in (scored_BP, asked_BP))
    token_sums = TokenSums(total(tokens.loss_BP), total(tokens.right_BP), num_scored, num_asked)
    return with_labels(token_sums, bio_logits_BPC, targets, alpha)


def with_labels(
    tokens: TokenSums, bio_logits_BPC: jax.Array | None, targets: Targets, alpha: float
) -> Sums:
    """`sums` of tokens that are added up."""
    counts_BP = targets.counts_BP
    num = counts_BP.sum().astype(jnp.float32)

    def total(value_BP: jax.Array) -> jax.Array:
        return jnp.where(counts_BP, value_BP, 0).sum()

    parts = {
        "token_loss": (tokens.loss, tokens.num_scored),
        "token_accuracy": (tokens.num_right, tokens.num_scored),
        "overflow": (targets.num_overflow, num),
        "unwritable": (tokens.num_asked - tokens.num_scored, num),
    }
    if bio_logits_BPC is None:
        return {"loss": (tokens.loss, num), **parts}
    bio_loss = total(_cross_entropy(bio_logits_BPC, targets.label_BP))
    return {
        "loss": (alpha * tokens.loss + (1 - alpha) * bio_loss, num),
        **parts,
        "bio_loss": (bio_loss, num),
        "bio_accuracy": (total(bio_logits_BPC.argmax(-1) == targets.label_BP), num),
    }
