"""A trace of a few steps, as TensorBoard's "Profile" shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from grel.runs import layout


class Profile:
    """Traces steps from the second on, which compile nothing in most runs; to be used in `with`.

    Args:
        workdir: the run; the trace goes below its `tensorboard/`.
        first_step: of the run, from where it goes on.
        num_steps: how many to trace; 0 is none.
    """

    def __init__(self, workdir: Path, first_step: int, num_steps: int):
        self._folder = layout.inside(workdir, layout.TENSORBOARD)
        self._first = first_step + 2  # the first one compiles
        self._last = self._first + num_steps - 1
        self._running = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()

    def before(self, step: int) -> None:
        """Begins with this step, where it is the first to be traced."""
        if step == self._first <= self._last:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def after(self, step: int, metrics: Any) -> None:
        """Ends behind this step, where it is the last one, and then waits for it."""
        if self._running and step == self._last:
            jax.block_until_ready(metrics)
            self.__exit__()
