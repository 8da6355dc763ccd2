"""The optimizer: AdamW behind global-norm clipping, with a warm-up and a schedule.

Source: METHOD section 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warm-up, decay and clipping; the defaults are the paper's.

    Attributes:
        learning_rate: at the end of the warm-up.
        warmup_steps, num_steps: from 0 up to the rate, then on to `num_steps`.
        schedule: a name in `config.SCHEDULES`: how it goes on.
        weight_decay: decoupled; not on biases and layer norms.
        clip_norm: global norm that gradients are scaled down to.
        b1, b2: decay of Adam's moments; lower the second for runs of few steps.
    """

    learning_rate: float
    warmup_steps: int
    num_steps: int
    schedule: str = "linear"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.999


# After the warm-up: (peak, number of steps) -> rate by step.
_DECAYS: dict[str, Callable[[float, int], optax.Schedule]] = {
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
    "cosine": optax.cosine_decay_schedule,
    "constant": lambda peak, steps: optax.constant_schedule(peak),
}


def schedule(config: OptimizerConfig) -> optax.Schedule:
    """Learning rate by step: up from 0 to the peak at `warmup_steps`, then as it is configured."""
    decay_steps = max(1, config.num_steps - config.warmup_steps)
    return optax.join_schedules(
        [
            optax.linear_schedule(0.0, config.learning_rate, max(1, config.warmup_steps)),
            _DECAYS[config.schedule](config.learning_rate, decay_steps),
        ],
        [config.warmup_steps],
    )


def make(config: OptimizerConfig) -> optax.GradientTransformation:
    """AdamW behind global-norm clipping."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            schedule(config),
            b1=config.b1,
            b2=config.b2,
            weight_decay=config.weight_decay,
            mask=decayed,
        ),
    )


def configured(train: ml_collections.ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """The optimizer of a run of so many steps, as `config.train` says."""
    return make(
        OptimizerConfig(
            learning_rate=train.learning_rate,
            warmup_steps=round(train.warmup_fraction * num_steps),
            num_steps=num_steps,
            schedule=train.schedule,
            weight_decay=train.weight_decay,
            clip_norm=train.clip_norm,
            b1=train.adam_b1,
            b2=train.adam_b2,
        )
    )


def decayed(params: Any) -> Any:
    """Which parameters decay: kernels and embeddings, not biases and layer-norm scales."""

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        name = path[-1].key
        return not (name == "scale" or name.endswith("bias"))

    return jax.tree_util.tree_map_with_path(decays, params)
