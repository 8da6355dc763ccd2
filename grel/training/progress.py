"""What is logged of steps: read when the next one is under way, so that no device waits.

With it goes model FLOPs utilization (mfu), the share of the devices' peak in bfloat16 that the
operations of the steps since the line before have reached. Source: Chowdhery et al. (2022), "PaLM",
appendix B; operations are those of `models.flops`, of real tokens alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from grel import parallel
from grel.training.log import RunLog
from grel.training.skipped import Skipped


class Utilization:
    """Operations over time and peak, between two lines of the log.

    Args:
        peak: operations a second that the devices of this process can do; None where nobody knows.
        clock: seconds.
    """

    def __init__(self, peak: float | None, clock: Callable[[], float] = time.perf_counter):
        self._peak, self._clock = peak, clock
        self._start: float | None = None
        self._done = 0.0

    def add(self, count: Callable[[], float | None]) -> None:
        """A step of as many operations as `count` says, which is asked where that serves."""
        if self._peak is not None:
            self._done += count() or 0.0

    def take(self) -> dict[str, float]:
        """The metric since this was last asked, when all steps that were added are done.

        Nothing where there is no peak or no formula, and of the time before the first line.
        """
        now, start, done = self._clock(), self._start, self._done
        self._start, self._done = now, 0.0
        if self._peak is None or start is None or not done or now <= start:
            return {}
        return {"mfu": done / (now - start) / self._peak}

    def pause(self) -> None:
        """What comes now is no step: the next line is without."""
        self._start, self._done = None, 0.0


class StepLog:
    """The lines of a run's steps.

    Args:
        log: that they are written to.
        skipped: counts steps that changed nothing.
        utilization: of the devices.
    """

    def __init__(self, log: RunLog, skipped: Skipped, utilization: Utilization):
        self._log, self._skipped, self._utilization = log, skipped, utilization
        self._pending: tuple[int, Any] | None = None

    def add(self, step: int, metrics: Any) -> None:
        """Takes the metrics of a step that is to be logged, as they are on the devices."""
        self._pending = step, metrics

    def write(self) -> None:
        """Writes the line of the step that was taken, if any, and waits for that step."""
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        metrics = parallel.unreplicate(metrics) | {"skipped": self._skipped.take()}
        self._log.write("train", step, metrics | self._utilization.take())
