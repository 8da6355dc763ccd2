"""The formulas, against the products of matrices that JAX traces."""

import math

import jax
import numpy as np
import pytest

from grel.data.pipeline import Batch
from grel.models import bert, flops

SHAPE = {"vocab_size": 97, "num_layers": 3, "hidden_size": 12, "num_heads": 3, "ff_size": 20}
ROWS, LENGTH, TARGETS = 4, 32, 7


def products(jaxpr) -> int:
    """Operations of all dot_generals of a program; those of a loop as often as it goes round."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += (
                2
                * math.prod(equation.outvars[0].aval.shape)
                * math.prod(left[axis] for axis in contracted)
            )
        times = equation.params.get("length", 1)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * products(inner)
    return total


def _batch():
    tokens_BL = np.full((ROWS, LENGTH), 5, np.int32)
    length_B = np.full(ROWS, LENGTH, np.int32)
    row_B = np.arange(ROWS, dtype=np.int32)
    return Batch(tokens_BL, tokens_BL * 0, length_B - TARGETS, length_B, row_B, TARGETS)


@pytest.mark.parametrize(
    ("head", "objective"),
    [
        ("vocabulary", "mlm"),
        ("vocabulary", "causal"),
        ("vocabulary", "pseudo"),
        ("pointer", "causal"),
    ],
)
def test_a_train_step_is_its_products(head, objective):
    writable = (1, 2, 3) if head == "pointer" else ()
    config = bert.Config(
        **SHAPE, mask_id=4, sep_id=3, head=head, writable_ids=writable, objective=objective
    )
    batch = _batch()
    key = jax.random.PRNGKey(0)
    params = jax.eval_shape(lambda: bert.init(config, key))

    def loss(params, batch):
        return bert.loss(config, params, batch, key, key)["loss"][0]

    traced = products(jax.make_jaxpr(jax.grad(loss))(params, batch).jaxpr)
    num_predicted = bert.supervised(config, batch, key)[1].position_BP.shape[1]
    # The label head, of three columns, is left out.
    traced -= 3 * 2 * ROWS * num_predicted * config.hidden_size * 3
    num_twins = TARGETS if objective == "pseudo" else 0
    needed = flops.train_step(config, ROWS, LENGTH, num_predicted, num_twins)
    assert traced == pytest.approx(needed, rel=1e-9)
