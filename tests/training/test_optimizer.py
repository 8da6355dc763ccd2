"""Decay, schedules and clipping."""

import jax
import numpy as np
import pytest

from grel.config import SCHEDULES
from grel.models import bert
from grel.training import optimizer

_CONFIG = bert.Config(
    vocab_size=40, num_layers=1, hidden_size=16, num_heads=2, ff_size=16, mask_id=4, sep_id=3
)


def test_no_decay_on_biases_and_layer_norms():
    shapes = jax.eval_shape(lambda: bert.init(_CONFIG, jax.random.PRNGKey(0)))
    flat = jax.tree_util.tree_leaves_with_path(optimizer.decayed(shapes))
    decays = {jax.tree_util.keystr(path, simple=True, separator="/"): value for path, value in flat}
    for name, value in decays.items():
        is_exempt = "norm" in name or name.endswith("bias")
        assert value != is_exempt, name
    assert decays["words/embedding"]
    assert decays["layers/ff_in/kernel"]
    assert not decays["token_bias"]


def test_schedule():
    rate = optimizer.schedule(optimizer.OptimizerConfig(2.0, warmup_steps=4, num_steps=12))
    np.testing.assert_allclose([rate(s) for s in (0, 2, 4, 8, 12)], [0, 1, 2, 1, 0], atol=1e-6)
    flat = optimizer.schedule(optimizer.OptimizerConfig(2.0, warmup_steps=0, num_steps=10))
    np.testing.assert_allclose([flat(0), flat(5)], [2, 1], atol=1e-6)


def test_decoupled_decay():
    config = optimizer.OptimizerConfig(0.1, 0, 10**9, weight_decay=0.5, clip_norm=1.0)
    tx = optimizer.make(config)
    params = {"kernel": np.ones(2, np.float32), "bias": np.ones(2, np.float32)}
    small = {"kernel": np.full(2, 1e-3, np.float32), "bias": np.zeros(2, np.float32)}
    updates, _ = tx.update(small, tx.init(params), params)
    # Adam's first step is the rate times the sign; decay adds rate * 0.5 * parameter to kernels.
    np.testing.assert_allclose(updates["kernel"], -0.1 * (1 + 0.5), rtol=1e-3)
    np.testing.assert_allclose(updates["bias"], 0, atol=1e-6)


def test_gradients_are_clipped_by_their_norm():
    """Adam hides the size of a first gradient, so a small one goes before that which is clipped."""

    def moved(clip_norm, *gradients):
        config = optimizer.OptimizerConfig(0.1, 0, 10**9, weight_decay=0, clip_norm=clip_norm)
        tx, params = optimizer.make(config), {"kernel": np.zeros(2, np.float32)}
        state = tx.init(params)
        for gradient in gradients:
            updates, state = tx.update({"kernel": gradient}, state, params)
        return updates["kernel"]

    small, large = np.float32([0.03, 0.04]), np.float32([30, -40])
    found = moved(2.0, small, large)
    np.testing.assert_allclose(found, moved(1e9, small, large * 2 / 50), rtol=1e-5)
    assert np.abs(found - moved(1e9, small, large)).max() > 1e-3


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_up_and_then_their_own_way(name):
    config = optimizer.OptimizerConfig(1e-2, warmup_steps=10, num_steps=110, schedule=name)
    rate = optimizer.schedule(config)
    assert rate(0) == 0
    np.testing.assert_allclose([rate(5), rate(10)], [5e-3, 1e-2], rtol=1e-5)
    halfway, end = {"linear": (5e-3, 0), "cosine": (5e-3, 0), "constant": (1e-2, 1e-2)}[name]
    np.testing.assert_allclose([rate(60), rate(110)], [halfway, end], rtol=1e-4, atol=1e-9)
