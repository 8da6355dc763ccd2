"""Products with a kernel, and their gradients, in the forms that XLA's CPU backend is fast in.

On an accelerator they are what `x @ kernel` is. On a CPU it matters how a product is put:

- The gradient of a kernel as JAX derives it is a product of two transposed arrays, one of which is
  copied first; contracting rows with rows is up to four times as fast.
- A product of numbers of 16 bits runs on AVX-512's or AMX's instructions for them where its result
  is asked for in 32 bits, in which it is added up anyway. In 16 bits, XLA computes all of it in 32.

Beside the dimension key: I and J are the widths before and after, X stands for any leading axes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def product(
    x_XI: jax.Array, kernel: jax.Array, half: bool = False, transposed: bool = False
) -> jax.Array:
    """x @ kernel, or where it is `transposed` x @ kernel.T: y_XJ.

    With `half` float32 is rounded to bfloat16 before it is multiplied, in the gradients as well,
    and sums are in float32.

    Args:
        x_XI: what is multiplied.
        kernel: kernel_IJ, or kernel_JI where it is transposed.
    """
    is_lone = half and x_XI.ndim > 1 and math.prod(x_XI.shape[:-1]) == 1
    if is_lone:  # is taken twice, as XLA multiplies one row of 16 bits number by number
        x_XI = jnp.concatenate([x_XI, x_XI], axis=-2)
    y_XJ = _dot(x_XI, kernel, (x_XI.ndim - 1,), (int(transposed),), half)
    return y_XJ[..., :1, :] if is_lone else y_XJ


def _forward(
    x_XI: jax.Array, kernel: jax.Array, half: bool, transposed: bool
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x_XI, kernel, half, transposed), (x_XI, kernel)


def _backward(
    half: bool, transposed: bool, taken: tuple[jax.Array, jax.Array], to_y_XJ: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x_XI, kernel = taken
    to_x_XI = _dot(to_y_XJ, kernel, (to_y_XJ.ndim - 1,), (int(not transposed),), half)
    if not half:
        # One axis of rows is contracted as it lies; several are transposed first, which products
        # of bfloat16 need.
        x_XI, to_y_XJ = (z.reshape(-1, z.shape[-1]) for z in (x_XI, to_y_XJ))
    rows = tuple(range(x_XI.ndim - 1))
    pair = (to_y_XJ, x_XI) if transposed else (x_XI, to_y_XJ)
    return to_x_XI, _dot(*pair, rows, rows, half)


product.defvjp(_forward, _backward)


def _dot(
    x: jax.Array, y: jax.Array, of_x: tuple[int, ...], of_y: tuple[int, ...], half: bool
) -> jax.Array:
    dims = ((of_x, of_y), ((), ()))
    if not half:
        return lax.dot_general(x, y, dims)
    rounded = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    return lax.dot_general(*rounded, dims, preferred_element_type=jnp.float32).astype(x.dtype)


def dot_general(half: bool) -> Callable[..., jax.Array]:
    """What flax's dense layers take for `jax.lax.dot_general`: `product` over all of their axes."""

    def dot_general(x: jax.Array, kernel: jax.Array, dims: Any, **_: Any) -> jax.Array:
        num = len(dims[0][0])
        inner = math.prod(kernel.shape[:num])
        kept = x.shape[: x.ndim - num]
        y_XJ = product(x.reshape(*kept, inner), kernel.reshape(inner, -1), half)
        return y_XJ.reshape(*kept, *kernel.shape[num:])

    return dot_general


def gelu(x: jax.Array) -> jax.Array:
    """x times the normal distribution function of x, by erf as BERT has it.

    `jax.nn.gelu` goes by erfc, which takes a CPU three times as long and its gradient eight.
    """
    return x * (0.5 + 0.5 * lax.erf(x * math.sqrt(0.5)))
