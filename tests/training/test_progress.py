"""Lines are written one step late, and say what share of the peak steps reached."""

import numpy as np
import pytest

from grel import parallel
from grel.training.progress import StepLog, Utilization
from grel.training.skipped import Skipped


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_utilization_is_operations_over_time_and_peak():
    clock = Clock()
    utilization = Utilization(1e3, clock)
    utilization.add(lambda: 7e9)  # which compiles
    assert utilization.take() == {}
    for _ in range(2):
        utilization.add(lambda: 2e3)
    clock.now = 10.0
    assert utilization.take() == {"mfu": pytest.approx(4e3 / 10 / 1e3)}
    utilization.add(lambda: 5e3)
    clock.now = 15.0
    assert utilization.take() == {"mfu": pytest.approx(1.0)}


def test_a_pause_is_not_counted():
    clock = Clock()
    utilization = Utilization(1.0, clock)
    utilization.take()
    utilization.add(lambda: 1.0)
    utilization.pause()
    clock.now = 100.0
    assert utilization.take() == {}
    utilization.add(lambda: 1.0)
    clock.now = 102.0
    assert utilization.take() == {"mfu": 0.5}


def test_where_peak_or_formula_lack_there_is_none():
    def never():
        raise AssertionError

    for peak, count in ((None, never), (1.0, lambda: None)):
        clock = Clock()
        utilization = Utilization(peak, clock)
        utilization.take()
        utilization.add(count)
        clock.now = 1.0
        assert utilization.take() == {}


class Log:
    def __init__(self):
        self.lines = []

    def write(self, split, step, metrics):
        self.lines.append((split, step, {name: float(value) for name, value in metrics.items()}))


def test_a_line_is_written_when_the_next_step_is_under_way():
    log, skipped = Log(), Skipped()
    lines = StepLog(log, skipped, Utilization(None))
    written = []
    for step, value in enumerate([0, 1, 1, 0], start=1):
        metrics = parallel.replicate({"loss": np.float32(step), "skipped": np.int32(value)})
        lines.write()
        skipped.add(step, metrics["skipped"])
        if step % 2 == 0:
            lines.add(step, metrics)
        written.append(len(log.lines))
    assert written == [0, 0, 1, 1]
    lines.write()
    lines.write()
    assert log.lines == [
        ("train", 2, {"loss": 2.0, "skipped": 1.0}),
        ("train", 4, {"loss": 4.0, "skipped": 1.0}),
    ]
