"""Sentences, weights and runs that the tests of CopyRE and CopyMTL share."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from grel.models import copyre
from grel.models.choices import STOP

LENGTH_B = np.array([6, 1, 0, 3])


def a_batch(config, seed=0, length_B=LENGTH_B):
    """Random sentences with random choices, some of them stops; the longest has padding too."""
    rng = np.random.default_rng(seed)
    rows, width = len(length_B), max(length_B) + 1
    words_BS = rng.integers(1, config.num_words, (rows, width))
    gold_BN3 = np.full((rows, config.num_triples, 3), STOP)
    for row, n, part in np.ndindex(gold_BN3.shape):
        num = config.num_relations if part == 0 else length_B[row]
        gold_BN3[row, n, part] = rng.integers(STOP, num)
    words_BS = np.where(np.arange(width) < length_B[:, None], words_BS, 0)
    return copyre.Batch(words_BS, length_B, gold_BN3)


def random_params(module, config, seed=0):
    """Weights large enough for choices to differ."""
    shapes = jax.eval_shape(lambda key: module.init(config, key), jax.random.PRNGKey(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.float32(rng.normal(size=x.shape)), shapes)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(module, config, params, batch):
    """The loss and what is extracted."""
    return (
        module.loss(config, params, batch, None),
        module.extract(config, params, batch.words_BS, batch.length_B),
    )


def expected_sums(config, batch, golds):
    """Sums and counts of choices, from the reference's (choices, probabilities) by row."""
    sums = {}
    for name, parts in (("relation", [0]), ("position", [1, 2])):
        cross, right, num = 0.0, 0, 0
        for row, (chosen, probabilities) in golds.items():
            for n, part in np.ndindex(config.num_triples, 3):
                if part in parts:
                    cross -= math.log(max(probabilities[n][part], 1e-10))
                    right += chosen[n][part] == batch.gold_BN3[row, n, part]
                    num += 1
        sums[f"{name}_loss"], sums[f"{name}_accuracy"] = (cross, num), (right, num)
    relation, position = sums["relation_loss"], sums["position_loss"]
    sums["loss"] = (relation[0] + position[0], relation[1] + position[1])
    return sums


def assert_same_sums(found, expected):
    assert set(found) == set(expected)
    for name, pair in expected.items():
        np.testing.assert_allclose(found[name], pair, rtol=2e-3, err_msg=name)


def learn(module, config, batch, steps, rate):
    """The parts of the loss at each step, as means; accuracies are those of what is extracted."""
    optimizer = optax.adam(rate)

    def step(carry, _):
        def loss(params):
            sums = module.loss(config, params, batch, None)
            means = {name: total / num for name, (total, num) in sums.items()}
            return means["loss"], means

        params, state = carry
        gradient, means = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), means

    @jax.jit
    def train(params):
        return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[1]

    return train(module.init(config, jax.random.PRNGKey(0)))


def sentences(num_triples, rows, width=6, words=40, seed=0):
    """Random sentences with up to so many triples of two words each, and an empty row."""
    rng = np.random.default_rng(seed)
    words_BS = np.stack([rng.choice(np.arange(1, words), width, False) for _ in range(rows)])
    gold_BN3 = np.full((rows, 5, 3), STOP)
    for row in range(rows):
        for n in range(rng.integers(1, num_triples + 1)):
            gold_BN3[row, n] = [rng.integers(3), *rng.choice(width, 2, False)]
    length_B = np.full(rows, width)
    length_B[-1] = 0
    return copyre.Batch(words_BS, length_B, gold_BN3)
