"""What is known of kinds of devices: memory, and the most operations a second.

The figures are those that the makers publish: dense products of bfloat16 matrices, no sparsity.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 2**30


class Kind(NamedTuple):
    """A kind of device.

    Attributes:
        names: how `jax.Device.device_kind` begins, in lower case.
        memory: bytes of a device.
        peak_flops: most operations a second in bfloat16.
    """

    names: tuple[str, ...]
    memory: int
    peak_flops: float


# Longer names first where one begins another.
KINDS = {
    "v4": Kind(("tpu v4",), 32 * GIB, 275e12),
    "v5e": Kind(("tpu v5 lite", "tpu v5e"), 16 * GIB, 197e12),
    "v5p": Kind(("tpu v5p", "tpu v5"), 95 * GIB, 459e12),
    "v6e": Kind(("tpu v6 lite", "tpu v6e"), 32 * GIB, 918e12),
    "a100": Kind(("nvidia a100",), 80 * GIB, 312e12),
    "h200": Kind(("nvidia h200",), 141 * GIB, 989e12),
    "h100": Kind(("nvidia h100",), 80 * GIB, 989e12),
}


def peak_flops(device_kind: str) -> float | None:
    """Most operations a second of a device that JAX calls so; None where it is not known."""
    name = device_kind.lower()
    for kind in KINDS.values():
        if name.startswith(kind.names):
            return kind.peak_flops
    return None
