"""Timing of alternatives in turn, so that whatever else the machine does falls on all alike.

And on what: two processors of as many cores can differ by three in what they multiply, and ratios
with them. So a benchmark tells what it runs on, as it was measured in the same minute.
"""

import functools
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

_INSTRUCTIONS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_bf16": "BF16",
    "avx512_fp16": "FP16",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "sve": "SVE",
}
_DTYPES = ("float32", "bfloat16")
_PEAK_ROUNDS = 20


class Machine(NamedTuple):
    """What a benchmark runs on.

    Attributes:
        name: the processor or accelerator, in words.
        peak: operations a second that large products reach on one device, by type of the numbers.
    """

    name: str
    peak: dict[str, float]

    def __str__(self) -> str:
        rates = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in self.peak.items())
        return f"{self.name}, jax {jax.__version__}; matrix products: {rates}"


def machine() -> Machine:
    """This one; takes seconds to measure."""
    devices = jax.local_devices()
    name = f"{len(devices)} x {devices[0].device_kind}"
    if jax.default_backend() == "cpu":
        name = _processor(Path("/proc/cpuinfo"))
    return Machine(name, {dtype: _peak(dtype) for dtype in _DTYPES})


def _processor(cpuinfo: Path) -> str:
    """Vendor, what it can do with vectors, and how many cores may be used."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    pairs = (line.partition(":") for line in reversed(lines))  # the first processor counts
    fields = {name.strip().lower(): value.split() for name, _, value in pairs}
    model = re.sub(r"\(\w+\)", "", " ".join(fields.get("model name", [platform.machine()])))
    words = [w for w in model.split() if w.isalpha() and w not in ("CPU", "Gen", "Processor")]
    known = {*fields.get("flags", []), *fields.get("features", [])}
    instructions = [name for flag, name in _INSTRUCTIONS.items() if flag in known]
    cores = f"{len(os.sched_getaffinity(0))} cores"
    return ", ".join(filter(None, [" ".join(words) or model, " ".join(instructions), cores]))


def _peak(dtype: str) -> float:
    """Operations a second of the fastest of several large square products."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((size, size), dtype)
    # Summed in float32: asked for sums in bfloat16, a CPU would not multiply in it either.
    multiply = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    runs = {dtype: lambda: jax.block_until_ready(multiply(x, x))}
    return 2 * size**3 / min(in_turn(runs, _PEAK_ROUNDS)[dtype])


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


def report(
    seconds: Mapping[str, list[float]],
    base: str,
    flops: Mapping[str, float] | None = None,
    peak: float = 0.0,
) -> str:
    """Median seconds of each, and its ratio to `base` by round: median and range.

    With the operations that each takes on one device, also what share of `peak` the median reaches.
    """
    lines = []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds[base], strict=True)]
        line = (
            f"{name:<24} median {statistics.median(times):8.4f} s   "
            f"ratio to {base}: {statistics.median(ratios):6.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
        if flops is not None:
            line += f"   {flops[name] / statistics.median(times) / peak:.1%} of the peak"
        lines.append(line)
    return "\n".join(lines)
