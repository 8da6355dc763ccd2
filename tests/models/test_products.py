"""Products and their gradients against plain ones."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import products

AXES = [(5,), (3, 4), (1, 1), (2, 3, 2)]


def _rounded(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16).astype(jnp.float32))


@pytest.mark.parametrize("lead", AXES)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_products_and_gradients_are_the_plain_ones(lead, half, transposed):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        k, n = rng.integers(1, 40, 2)
        shapes = ((*lead, k), (n, k) if transposed else (k, n), (*lead, n))
        x, kernel, to_y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)

        def product(x, kernel):
            return products.product(x, kernel, half, transposed)

        y, vjp = jax.vjp(jax.jit(product), x, kernel)
        multiplied = x, kernel, to_y
        if half:
            multiplied = tuple(map(_rounded, multiplied))
        x_in, kernel_in, to_y_in = multiplied
        plain_KN = kernel_in.T if transposed else kernel_in
        to_kernel_KN = np.einsum("xk,xn->kn", x_in.reshape(-1, k), to_y_in.reshape(-1, n))
        expected = (
            x_in @ plain_KN,
            to_y_in @ plain_KN.T,
            to_kernel_KN.T if transposed else to_kernel_KN,
        )
        for ours, plain in zip((y, *vjp(to_y)), expected, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


def test_half_rounds_what_is_multiplied_and_nothing_else():
    x, kernel = jnp.full((1, 2), 1 + 2.0**-10), jnp.ones((2, 1))
    assert products.product(x, kernel)[0, 0] == 2 + 2.0**-9
    assert products.product(x, kernel, True)[0, 0] == 2
    many = 1 + jnp.arange(2**12)[None] % 2 * 2.0**-7  # what bfloat16 can hold
    assert products.product(many, jnp.ones((2**12, 1)), True)[0, 0] == 2**12 + 2**4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_types_stay(dtype):
    x, kernel = jnp.ones((2, 3), dtype), jnp.ones((3, 4), dtype)
    for half in (False, True):
        y, vjp = jax.vjp(lambda x, k, half=half: products.product(x, k, half), x, kernel)
        assert {z.dtype for z in (y, *vjp(y))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(("features", "axis"), [((3, 5), -1), (7, (-2, -1))])
def test_dense_layers_of_several_axes(features, axis):
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 4)).astype(np.float32)
    plain = nn.DenseGeneral(features, axis)
    params = plain.init(jax.random.PRNGKey(0), x)
    ours = dataclasses.replace(plain, dot_general=products.dot_general(False))
    np.testing.assert_allclose(ours.apply(params, x), plain.apply(params, x), atol=1e-5)


def test_gelu():
    x = np.linspace(-12, 12, 1001, dtype=np.float32)
    np.testing.assert_allclose(products.gelu(x), jax.nn.gelu(x, approximate=False), atol=2e-6)
    of_ours, of_theirs = (
        jax.vmap(jax.grad(f))(x) for f in (products.gelu, lambda x: jax.nn.gelu(x, False))
    )
    np.testing.assert_allclose(of_ours, of_theirs, atol=2e-6)
