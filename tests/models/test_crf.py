"""The conditional random field, by going through all tag sequences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models.crf import CRF
from tests.models import literal

LENGTH_B = np.array([5, 0, 3, 1])


@functools.partial(jax.jit, static_argnums=0)
def _all(crf, params, emission_BSC, tags_BS, length_B):
    def of(method, *args):
        return crf.apply({"params": params}, *args, method=method)

    def likelihood(emission_BSC):
        return of("log_likelihood", emission_BSC, tags_BS, length_B).sum()

    return (
        of("score", emission_BSC, tags_BS, length_B),
        of("log_partition", emission_BSC, length_B),
        of("log_likelihood", emission_BSC, tags_BS, length_B),
        of("viterbi", emission_BSC, length_B),
        jax.grad(likelihood)(emission_BSC),
    )


@pytest.mark.parametrize("seed", range(4))
def test_it_is_its_definition_over_all_sequences(seed):
    rng = np.random.default_rng(seed)
    weights = {"start": rng.normal(size=3), "end": rng.normal(size=3)}
    weights["transition"] = rng.normal(size=(3, 3))
    emission_BSC, tags_BS = rng.normal(size=(4, 5, 3)), rng.integers(0, 3, (4, 5))
    score_B, partition_B, likelihood_B, best_BS, gradient_BSC = _all(
        CRF(3), jax.tree.map(jnp.float32, weights), jnp.float32(emission_BSC), tags_BS, LENGTH_B
    )
    for row, length in enumerate(LENGTH_B):
        scores = literal.tag_scores(weights, emission_BSC[row, :length])
        gold = tuple(tags_BS[row, :length].tolist())
        total = np.log(sum(np.exp(score) for score in scores.values()))
        np.testing.assert_allclose(score_B[row], scores[gold], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(partition_B[row], total, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(likelihood_B[row], scores[gold] - total, rtol=1e-4, atol=1e-5)
        assert tuple(best_BS[row, :length].tolist()) == max(scores, key=scores.get)
        assert not best_BS[row, length:].any()
        # The gradient is what the gold tag has more than its marginal probability.
        assert not gradient_BSC[row, length:].any()
        for position in range(length):
            marginal = sum(
                np.exp(score - total) for tags, score in scores.items() if tags[position] == 1
            )
            expected = (gold[position] == 1) - marginal
            np.testing.assert_allclose(gradient_BSC[row, position, 1], expected, atol=1e-5)


def test_weights_are_drawn_small():
    variables = CRF(3).init(
        jax.random.PRNGKey(0), jnp.zeros((1, 2, 3)), LENGTH_B[:1], method="viterbi"
    )
    shapes = {"start": (3,), "end": (3,), "transition": (3, 3)}
    assert jax.tree.map(jnp.shape, variables["params"]) == shapes
    assert all(0 < abs(x).max() <= 0.1 for x in jax.tree.leaves(variables))
