"""The train step: exact over devices, slices and short batches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grel import parallel
from grel.data.pipeline import Batch
from grel.models import bert
from grel.training import optimizer, steps

CONFIG = bert.Config(
    vocab_size=40,
    num_layers=1,
    hidden_size=16,
    num_heads=2,
    ff_size=16,
    max_positions=16,
    dropout=0.0,
    attention_dropout=0.0,
    mask_id=4,
    sep_id=3,
)
# Compiles faster, where masks are not what is tested.
CAUSAL = dataclasses.replace(CONFIG, objective="causal")


def _init(config):
    return functools.partial(bert.init, config)


def _loss(config):
    return functools.partial(bert.loss, config)


def _batch(num_rows, num_real):
    rng = np.random.default_rng(0)
    length_B = np.where(np.arange(num_rows) < num_real, rng.integers(6, 17, num_rows), 0)
    source_B = np.minimum(length_B, rng.integers(3, 6, num_rows))
    tokens_BL = rng.integers(5, 40, (num_rows, 16)).astype(np.int32)
    labels_BL = rng.integers(0, 3, (num_rows, 16)).astype(np.int32)
    row_B = np.arange(num_rows, dtype=np.int32)
    return Batch(tokens_BL, labels_BL, source_B, length_B, row_B, 13)


@functools.cache
def _fresh(num_layers=1):
    """The state before the first step, under SGD of size one."""
    config = dataclasses.replace(CONFIG, num_layers=num_layers)
    return jax.device_get(steps.init_state(_init(config), optax.sgd(1.0), seed=0))


def _one_step(num_devices, accumulation, batch, config=CONFIG, key=None):
    """Gradient (as an SGD update of size one), and metrics; `key` in place of the seed's."""
    devices = jax.local_devices()[:num_devices]
    tx = optax.sgd(1.0)
    state = _fresh(config.num_layers)
    state = state if key is None else state.replace(key=key)
    before = state.params
    step_fn = parallel.on_rows(
        steps.train_step(_loss(config), tx, accumulation),
        devices=devices,
        donate=True,
    )
    state, metrics = step_fn(parallel.replicate(state, devices), batch)
    after = parallel.unreplicate(state).params
    return jax.tree.map(np.subtract, before, after), parallel.unreplicate(metrics)


@pytest.fixture(scope="module")
def short():
    """A last batch: 16 rows of which 5 are real, so that most devices have none."""
    return _batch(16, 5)


@pytest.fixture(scope="module")
def alone(short):
    return _one_step(1, 1, short)


@pytest.mark.parametrize(
    ("num_devices", "accumulation"),
    [
        (8, 2),
        pytest.param(8, 1, marks=pytest.mark.slow),
        pytest.param(2, 4, marks=pytest.mark.slow),
    ],
)
def test_loss_and_gradients_do_not_depend_on_the_spread(short, alone, num_devices, accumulation):
    gradient, metrics = _one_step(num_devices, accumulation, short)
    expected_gradient, expected_metrics = alone
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient,
        expected_gradient,
    )


@pytest.fixture(scope="module")
def dropped():
    """Dropout everywhere, in two layers, and nothing else at random; the step on one device."""
    rates = {"dropout": 0.3, "attention_dropout": 0.3}
    config = dataclasses.replace(CAUSAL, num_layers=2, **rates)
    batch = _batch(16, 16)
    return config, batch, _one_step(1, 1, batch, config)


def test_dropout_does_not_depend_on_the_spread(dropped):
    config, batch, (expected_gradient, expected) = dropped
    gradient, metrics = _one_step(2, 4, batch, config)
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient,
        expected_gradient,
    )
    _, other = _one_step(1, 1, batch, config, jax.random.PRNGKey(1))
    assert abs(expected["loss"] - other["loss"]) > 1e-3


def test_empty_rows_do_not_count(short, alone):
    real = jax.tree.map(lambda x: x[:5], short)
    gradient, metrics = _one_step(1, 1, real)
    np.testing.assert_allclose(metrics["loss"], alone[1]["loss"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient, alone[0]
    )


def test_gradients_are_those_of_the_mean_loss(short, alone):
    """Adam hides a gradient that is scaled wrongly, so it is compared itself."""
    state = _fresh()
    mask_key, _ = jax.random.split(jax.random.fold_in(state.key, 0))

    @jax.jit
    @jax.grad
    def gradient(params):
        total, count = bert.loss(CONFIG, params, short, mask_key)["loss"]
        return total / count

    expected = gradient(state.params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), alone[0], expected
    )
    np.testing.assert_allclose(alone[1]["grad_norm"], optax.tree.norm(expected), rtol=1e-4)


def test_rows_that_do_not_divide_are_refused():
    step_fn = parallel.on_rows(lambda state, rows: (state, rows))
    with pytest.raises(ValueError, match="7 rows do not divide over 8 devices"):
        step_fn({}, np.zeros((7, 2)))


@pytest.mark.parametrize("poison", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_a_step_that_is_not_finite_changes_nothing(short, poison):
    """Parameters, both moments, the count of the schedule and the average stay, bit for bit."""

    def loss(params, batch, mask_key, dropout_key=None):
        sums = bert.loss(CAUSAL, params, batch, mask_key)
        total, count = sums["loss"]
        return sums | {"loss": (total * jnp.where(batch.row_B[0] < 0, poison, 1), count)}

    tx = optimizer.make(optimizer.OptimizerConfig(1e-2, warmup_steps=0, num_steps=10))
    state = steps.init_state(_init(CAUSAL), tx, seed=0, averages=True)
    devices = jax.local_devices()[:1]
    step_fn = parallel.on_rows(steps.train_step(loss, tx, 1, ema_decay=0.5), devices=devices)
    before, metrics = step_fn(parallel.replicate(state, devices), short)
    assert parallel.unreplicate(metrics)["skipped"] == 0
    after, metrics = step_fn(before, short.replace(row_B=short.row_B - 100))
    assert parallel.unreplicate(metrics)["skipped"] == 1
    before, after = parallel.unreplicate(before), parallel.unreplicate(after)
    jax.tree.map(np.testing.assert_array_equal, after.replace(step=before.step), before)
    assert (before.step, after.step) == (1, 2)


def test_means_divide_once():
    sums = {"loss": (np.float32(6), np.float32(4)), "overflow": (np.int32(3), np.float32(4))}
    assert steps.means(sums) == {"loss": 1.5, "overflow": 3}


def test_the_moving_average_against_its_definition(short):
    """From the start on: it moves faster in the first steps, and then by 1 - decay."""
    tx = optax.sgd(0.1)
    state = steps.init_state(_init(CAUSAL), tx, seed=0, averages=True)
    expected = jax.device_get(state.params)
    devices = jax.local_devices()[:1]
    step_fn = parallel.on_rows(
        steps.train_step(_loss(CAUSAL), tx, 1, ema_decay=0.3), devices=devices
    )
    state = parallel.replicate(state, devices)
    for step in range(5):
        state, _ = step_fn(state, short)
        now = parallel.unreplicate(state)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * new, expected, now.params
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            now.average,
            expected,
        )
    assert now.evaluated is now.average
    evaluated, rest = now.split()
    assert rest.average is None
    jax.tree.map(np.testing.assert_array_equal, rest.joined(evaluated), now)
