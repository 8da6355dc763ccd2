"""Decay, schedules and clipping."""

import jax
import numpy as np
import optax
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


def test_clipping_and_decoupled_decay():
    config = optimizer.OptimizerConfig(0.1, 0, 10**9, weight_decay=0.5, clip_norm=1.0)
    tx = optimizer.make(config)
    params = {"kernel": np.ones(2, np.float32), "bias": np.ones(2, np.float32)}
    small = {"kernel": np.full(2, 1e-3, np.float32), "bias": np.zeros(2, np.float32)}
    updates, _ = tx.update(small, tx.init(params), params)
    # Adam's first step is the rate times the sign; decay adds rate * 0.5 * parameter to kernels.
    np.testing.assert_allclose(updates["kernel"], -0.1 * (1 + 0.5), rtol=1e-3)
    np.testing.assert_allclose(updates["bias"], 0, atol=1e-6)
    clipped, _ = optax.clip_by_global_norm(1.0).update({"x": np.array([3, 4], np.float32)}, None)
    np.testing.assert_allclose(clipped["x"], [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_up_and_then_their_own_way(name):
    config = optimizer.OptimizerConfig(1e-2, warmup_steps=10, num_steps=110, schedule=name)
    rate = optimizer.schedule(config)
    assert rate(0) == 0
    np.testing.assert_allclose([rate(5), rate(10)], [5e-3, 1e-2], rtol=1e-5)
    halfway, end = {"linear": (5e-3, 0), "cosine": (5e-3, 0), "constant": (1e-2, 1e-2)}[name]
    np.testing.assert_allclose([rate(60), rate(110)], [halfway, end], rtol=1e-4, atol=1e-9)
