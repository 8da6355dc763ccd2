"""Greedy decoding against UniLM's own scheme, in turn in one run, with the same weights.

    python -m tests.benchmarks.decode_schemes [--batch=64 --target=128] [--jsonl=.. --vocab=..]

UniLM's decoder keeps the inputs of every layer for all positions so far and computes their keys and
values anew at each step, and it never stops before the maximum length. Both run here in JAX, with
the same rules of copying, the same heads and the same forced lengths. Where they differ it favors
UniLM: its history grows without being copied, in pieces of GROWTH positions, and all of its search
is one compiled program. Once with output lengths of NYT24 and a limit of --target, once with all
outputs of --fixed tokens.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding import copying
from grel.models import bert
from grel.models.attention import Keys, attend
from tests.benchmarks import workload
from tests.benchmarks.timing import in_turn, machine, report

GROWTH = 16


def _dense(p: Any, x: jax.Array, num_axes: int = 1) -> jax.Array:
    kernel = p["kernel"].astype(x.dtype)
    bias = p["bias"].astype(x.dtype)
    product = jnp.tensordot(x, kernel, num_axes)
    return product + bias.reshape((1,) * (product.ndim - bias.ndim) + bias.shape)


def _norm(config: bert.Config, p: Any, x: jax.Array) -> jax.Array:
    normed = jax.nn.standardize(x.astype(jnp.float32), epsilon=config.layer_norm_eps)
    return (normed * p["norm"]["scale"][None, None] + p["norm"]["bias"][None, None]).astype(x.dtype)


def _layer(config: bert.Config, p: Any, hidden_BQD, history_BMD, allow_BQM) -> jax.Array:
    """A layer whose keys and values are computed from all of its inputs, old and new."""
    inputs_BMD = jnp.concatenate([history_BMD, hidden_BQD], axis=1)
    query_BHQK = _dense(p["query"], hidden_BQD).swapaxes(1, 2)
    key_BHMK, value_BHMK = (_dense(p[n], inputs_BMD).swapaxes(1, 2) for n in ("key", "value"))
    context_BHQK = attend(query_BHQK, [Keys(key_BHMK, value_BHMK, allow_BQM)])
    added_BQD = _dense(p["attention_out"], context_BHQK.swapaxes(1, 2), num_axes=2)
    hidden_BQD = _norm(config, p["attention_norm"], hidden_BQD + added_BQD)
    inner_BQF = jax.nn.gelu(_dense(p["ff_in"], hidden_BQD), approximate=False)
    return _norm(config, p["ff_norm"], hidden_BQD + _dense(p["ff_out"], inner_BQF))


def _stack(config, params, tokens_BQ, positions_BQ, segments_BQ, history_NBMD, allow_BQM):
    """Output of the last layer, hidden_BQD, and the inputs of all, inputs_NBQD."""
    embedded_BQD = sum(
        params[table]["embedding"][ids]
        for table, ids in (
            ("words", tokens_BQ),
            ("positions", positions_BQ),
            ("segments", segments_BQ),
        )
    ).astype(config.dtype)

    def layer(hidden_BQD, p_and_history):
        p, history_BMD = p_and_history
        return _layer(config, p, hidden_BQD, history_BMD, allow_BQM), hidden_BQD

    first_BQD = _norm(config, params["embedding_norm"], embedded_BQD)
    return jax.lax.scan(layer, first_BQD, (params["layers"], history_NBMD))


def unilm_decoder(config: bert.Config, params: Any, rules: copying.Rules, num_steps: int):
    """Decoding as in UniLM's repository; takes and gives what `workload.grel_decoder` does."""

    def step_fn(params, source_length_B, width, state, token_B):
        history_NBMD, step = state
        batch, room = history_NBMD.shape[1:3]
        tokens_BQ = jnp.stack([token_B, jnp.full_like(token_B, config.mask_id)], axis=1)
        place_1Q = jnp.arange(2)[None]
        place_1M = jnp.arange(room)[None]
        is_target_1Q = (step > 0) | (place_1Q > 0)
        segment_1Q = jnp.where(is_target_1Q, config.target_segment, config.source_segment)
        in_source_BM = place_1M < source_length_B[:, None]
        # Slot 0 of the target stays unused: the first token to feed is the source's own [SEP].
        in_target_1M = (place_1M > width) & (place_1M < width + step)
        allow_own_QQ = (place_1Q <= place_1Q.T) & is_target_1Q
        hidden_BQD, inputs_NBQD = _stack(
            config,
            params,
            tokens_BQ,
            source_length_B[:, None] - 1 + step + place_1Q,
            jnp.broadcast_to(segment_1Q, tokens_BQ.shape),
            history_NBMD,
            jnp.concatenate(
                [
                    jnp.broadcast_to((in_source_BM | in_target_1M)[:, None], (batch, 2, room)),
                    jnp.broadcast_to(allow_own_QQ[None], (batch, 2, 2)),
                ],
                axis=-1,
            ),
        )
        history_NBMD = jax.lax.dynamic_update_slice_in_dim(
            history_NBMD, inputs_NBQD[:, :, :1], width + step, axis=2
        )
        token_logits_B1V, bio_logits_B1C = bert.Model(config).apply(
            {"params": params}, hidden_BQD[:, -1:], method=bert.Model.heads
        )
        return token_logits_B1V[:, 0], bio_logits_B1C[:, 0], (history_NBMD, step + 1)

    @jax.jit
    def decode(params, source_BS, source_length_B, target_length_B):
        batch, width = source_BS.shape
        masks = copying.copy_masks(source_BS, source_length_B, workload.EXCLUDED_IDS)
        real_BS = jnp.arange(width)[None] < source_length_B[:, None]
        _, history_NBMD = _stack(
            config,
            params,
            source_BS,
            jnp.broadcast_to(jnp.arange(width)[None], source_BS.shape),
            jnp.full_like(source_BS, config.source_segment),
            jnp.zeros((config.num_layers, batch, 0, config.hidden_size), config.dtype),
            jnp.broadcast_to(real_BS[:, None], (batch, width, width)),
        )
        next_fn = workload.forced(
            lambda state, token_B: step_fn(params, source_length_B, width, state, token_B),
            workload.SEP_ID,
        )

        def step(carry, _):
            state, copied, token_B, ended_B = carry
            token_logits_BV, bio_logits_BC, state = next_fn(state, token_B)
            scores = copying.score_tokens(token_logits_BV, masks, rules)
            choice = copying.choose(bio_logits_BC, scores, masks, copied, rules)
            token_B = jnp.where(ended_B, workload.SEP_ID, choice.token_B)
            copied = copying.advance(masks, copied, token_B, choice.label_B, scores.mass_BS, rules)
            return (state, copied, token_B, token_B == workload.SEP_ID), token_B

        state = (history_NBMD, jnp.int32(0)), target_length_B
        start_B = jnp.full(batch, workload.SEP_ID)
        carry = state, copying.init_copy(masks), start_B, jnp.zeros(batch, bool)
        pieces = []
        for start in range(0, num_steps, GROWTH):
            size = min(GROWTH, num_steps - start)
            ((history_NBMD, number), left_B), *others = carry
            grown_NBMD = jnp.pad(history_NBMD, ((0, 0), (0, 0), (0, size), (0, 0)))
            carry = ((grown_NBMD, number), left_B), *others
            carry, tokens_TB = jax.lax.scan(step, carry, length=size)
            pieces.append(tokens_TB)
        return jnp.concatenate(pieces).T

    return lambda *rows: jax.block_until_ready(decode(params, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    workload.add_corpus_arguments(parser)
    workload.add_case_arguments(parser)
    a = parser.parse_args()
    config, params = workload.model(a, "mlm")
    here = machine()
    print(f"{here}\n{vars(a)}, mlm decoding")
    for name, case in workload.cases(a).items():
        grel = workload.grel_decoder(config, params, copying.Rules(), case.num_steps)
        unilm = unilm_decoder(config, params, copying.Rules(), case.num_steps)
        same_BT = np.asarray(grel(*case.rows).tokens_BT) == np.asarray(unilm(*case.rows))
        num_same = same_BT.all(-1).sum()
        print(f"{name}: {case.num_tokens} tokens; the same outputs: {num_same}/{a.batch}")
        runs = {
            "grel": functools.partial(grel, *case.rows),
            "UniLM's scheme": functools.partial(unilm, *case.rows),
        }
        needed = dict.fromkeys(runs, workload.decode_flops(config, case))
        print(report(in_turn(runs, a.rounds), "grel", needed, here.peak[workload.multiplied(a)]))


if __name__ == "__main__":
    main()
