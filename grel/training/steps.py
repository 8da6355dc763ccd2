"""The train step, and the state that it changes.

A step computes sums and counts, adds them over accumulation slices and over the devices of all
processes, and divides once, so that loss and gradients are those of the whole batch however it was
spread. Source: METHOD section 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from grel import parallel
from grel.models.losses import COUNTED, Sums

# (params, batch, mask key, dropout key) -> sums and counts; see `families.base.Trained.loss`.
LossFn = Callable[..., Sums]


class TrainState(flax.struct.PyTreeNode):
    """All that training changes.

    Attributes:
        key: the seed that every step's randomness is derived from.
        average: moving average of the parameters; None where none is kept.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    key: jax.Array
    average: Any = None

    @property
    def evaluated(self) -> Any:
        """The parameters that validation, evaluation and extraction use."""
        return self.params if self.average is None else self.average

    def split(self) -> tuple[Any, TrainState]:
        """`evaluated` and the rest, to be saved apart."""
        if self.average is None:
            return self.params, dataclasses.replace(self, params=None)
        return self.average, dataclasses.replace(self, average=None)

    def joined(self, evaluated: Any) -> TrainState:
        """The inverse of `split`, on the rest."""
        if self.params is None:
            return dataclasses.replace(self, params=evaluated)
        return dataclasses.replace(self, average=evaluated)


def init_state(
    init: Callable[[jax.Array], Any],
    tx: optax.GradientTransformation,
    seed: int,
    params: Any = None,
    averages: bool = False,
) -> TrainState:
    """The state before the first step, the same for a seed on any number of devices.

    It has the fresh parameters that `init` gives for a key, where no others are given. With
    `averages` it keeps a moving average.
    """
    init_key, key = jax.random.split(jax.random.PRNGKey(seed))
    if params is None:
        params = init(init_key)
    average = jax.tree.map(jnp.copy, params) if averages else None
    return TrainState(jnp.int32(0), params, tx.init(params), key, average)


def train_step(
    loss: LossFn,
    tx: optax.GradientTransformation,
    accumulation: int,
    ema_decay: float = 0.0,
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """The step of one device, to be mapped by `parallel.on_rows`; `loss` is that of a system.

    `accumulation` slices of the device's rows go through the model one after the other. Metrics
    come back as means over the whole batch, with `grad_norm` before clipping. A state that keeps an
    average moves it by 1 - `ema_decay`, and faster in the first steps, so that it forgets where it
    started.

    A step whose loss or gradient is not finite is skipped: it changes nothing but the number of the
    step, and the metric `skipped` is 1 instead of 0.
    """

    def step_fn(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        mask_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))

        def sums_of(params: Any, batch: Any) -> tuple[jax.Array, Sums]:
            sums = loss(params, batch, mask_key, dropout_key)
            return sums["loss"][0], sums

        total = _over_slices(jax.grad(sums_of, has_aux=True), state.params, batch, accumulation)
        gradient, sums = parallel.sum_over_devices(total)
        count = jnp.maximum(sums["loss"][1], 1)
        gradient = jax.tree.map(lambda g: g / count, gradient)
        metrics = means(sums) | {"grad_norm": optax.tree.norm(gradient)}

        def updated(state: TrainState) -> TrainState:
            updates, opt_state = tx.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            average = state.average
            if average is not None:
                step = state.step.astype(jnp.float32)
                rate = 1 - jnp.minimum(ema_decay, (1 + step) / (10 + step))
                average = optax.incremental_update(params, average, rate)
            return dataclasses.replace(state, params=params, opt_state=opt_state, average=average)

        is_finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
        # Choosing between new and old entry by entry would copy all of the state.
        state = jax.lax.cond(is_finite, updated, lambda state: state, state)
        state = dataclasses.replace(state, step=state.step + 1)
        metrics["skipped"] = 1 - is_finite.astype(jnp.int32)
        return state, metrics

    return step_fn


def _over_slices(
    gradient_of: Callable[[Any, Any], Any], params: Any, batch: Any, accumulation: int
) -> Any:
    """What `gradient_of` gives for the slices of a batch, one after the other, added up."""
    if accumulation == 1:  # a loop of one would copy all that it adds to
        return gradient_of(params, batch)
    slices = jax.tree.map(lambda x: x.reshape(accumulation, -1, *x.shape[1:]), batch)
    first = jax.tree.map(lambda x: x[0], slices)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient_of, params, first)
    )

    def add_slice(total, batch):
        return jax.tree.map(jnp.add, total, gradient_of(params, batch)), None

    return jax.lax.scan(add_slice, zeros, slices)[0]


def loss_step(loss: LossFn, seed: int) -> Callable:
    """Sums over one batch without dropout, to be mapped; masks are the same at every call."""

    def step_fn(params: Any, batch: Any) -> tuple[Any, Sums]:
        sums = loss(params, batch, jax.random.PRNGKey(seed))
        return (), parallel.sum_over_devices(sums)

    return step_fn


def means(sums: Sums) -> dict[str, jax.Array]:
    """Sums divided by their counts; what was only counted stays a count."""
    return {
        name: total if name in COUNTED else total / jnp.maximum(count, 1)
        for name, (total, count) in sums.items()
    }
