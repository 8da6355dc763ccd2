"""Dropout: its rate, its independence, and what it follows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models.dropout import dropout


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_mean_and_the_rate(rate):
    x = jnp.ones((400, 500))
    y = dropout(jax.random.PRNGKey(0), x, rate, jnp.arange(400))
    assert abs(float((y == 0).mean()) - rate) < 0.005
    np.testing.assert_allclose(np.unique(y[y > 0]), 1 / (1 - rate), rtol=1e-3)


def test_dropped_entries_have_no_pattern():
    """Neighbors, rows, and masks of related keys are dropped independently of each other."""
    keys = [*jax.random.split(jax.random.PRNGKey(0), 3), jax.random.PRNGKey(0)]
    row_B = jnp.arange(512)
    dropped = [np.array(dropout(key, jnp.ones((512, 512)), 0.1, row_B)) == 0 for key in keys]
    pairs = [(a, b) for i, a in enumerate(dropped) for b in dropped[:i]]
    pairs += [(dropped[0][:-n], dropped[0][n:]) for n in (1, 2, 64, 256)]
    pairs += [(dropped[0][:, :-n], dropped[0][:, n:]) for n in (1, 2, 64, 256)]
    for a, b in pairs:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.012
    np.testing.assert_allclose(dropped[0].mean(0), 0.1, atol=0.07)
    np.testing.assert_allclose(dropped[0].mean(1), 0.1, atol=0.07)


def test_dropout_follows_the_number_of_the_row_and_not_its_place():
    key, x, row_B = jax.random.PRNGKey(1), jnp.ones((6, 4, 50)), jnp.array([3, 0, 5, 1, 4, 2])
    whole = dropout(key, x, 0.3, jnp.arange(6))
    np.testing.assert_array_equal(dropout(key, x, 0.3, row_B), whole[row_B])
    np.testing.assert_array_equal(dropout(key, x[:2], 0.3, row_B[:2]), whole[row_B[:2]])
