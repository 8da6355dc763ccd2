"""Timing of alternatives in turn, so that whatever else the machine does falls on all alike."""

import statistics
import time
from collections.abc import Callable, Mapping


def in_turn(alternatives: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, in `rounds` rounds over all alternatives after one to warm up.

    Every other round goes through them backwards.
    """
    names = list(alternatives)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            start = time.perf_counter()
            alternatives[name]()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(seconds: Mapping[str, list[float]], base: str) -> str:
    """Median seconds of each, and its ratio to `base` by round: median and range."""
    lines = []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds[base], strict=True)]
        lines.append(
            f"{name:<24} median {statistics.median(times):8.4f} s   "
            f"ratio to {base}: {statistics.median(ratios):6.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
    return "\n".join(lines)
