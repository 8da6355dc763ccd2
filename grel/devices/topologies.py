"""Devices that this machine does not have, as a compiler needs them.

XLA compiles for a topology: kind and arrangement of devices, without any being there. What knows
the kind is a package outside requirements.txt: libtpu for TPUs, JAX's CUDA plugin and ptxas for
GPUs.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax.experimental import topologies

from grel.devices.kinds import KINDS
from grel.errors import UsageError, UserError

# What XLA asks of a GPU: the limits of compute capability 9.0 in NVIDIA's CUDA programming guide,
# and figures of the data sheets of the two.
_HOPPER = """
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}"
gpu_device_info {{
  cuda_compute_capability {{ major: 9 minor: 0 }}
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 l2_cache_size: 52428800
  memory_bandwidth: {bandwidth} device_memory_size: {memory}
  name: "{name}" driver_version: "13.0.0" runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
}}
"""
_GPUS = {
    "h100": {"name": "NVIDIA H100 80GB HBM3", "bandwidth": 3_350_000_000_000},
    "h200": {"name": "NVIDIA H200", "bandwidth": 4_800_000_000_000},
}


class Target(NamedTuple):
    """What to compile for.

    Attributes:
        name: as it was given.
        devices: of one process.
        memory: bytes of a device; None where it is not known.
    """

    name: str
    devices: Sequence[jax.Device]
    memory: int | None


def target(name: str) -> Target:
    """The devices of a target: `v5e:4x4`, `v5p:2x2x2`, `h100x8`, or `cpux8`, those of this machine.

    Raises UsageError where there is no such target, and UserError where a package for it lacks.
    """
    tpu = re.fullmatch(r"(v\d\w?):([1-9]\d*(?:x[1-9]\d*){1,2})", name)
    others = re.fullmatch(r"([a-z]+\d*)x([1-9]\d*)", name)
    if tpu and tpu[1] in KINDS:
        return Target(name, _tpus(name), KINDS[tpu[1]].memory)
    if others and others[1] in _GPUS:
        kind, count = others[1], int(others[2])
        return Target(name, _gpus(name, kind, count), KINDS[kind].memory)
    if others and others[1] == "cpu":
        return Target(name, _cpus(name, int(others[2])), None)
    tpus = ", ".join(kind for kind in KINDS if kind.startswith("v"))
    raise UsageError(
        f"--target={name}: it must be KIND:TOPOLOGY of TPUs ({tpus}), such as v5e:4x4, or "
        f"KINDxNUMBER of a host's devices ({', '.join(_GPUS)}, cpu), such as h100x8"
    )


def _tpus(name: str) -> Sequence[jax.Device]:
    _need(name, {"libtpu": f"'jax[tpu]=={jax.__version__}'"})
    # There is no machine to ask what it is.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    return _devices(name, "tpu")


def _gpus(name: str, kind: str, count: int) -> Sequence[jax.Device]:
    version = jax.__version__
    # Nor a driver, whose version it could ask.
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    _need(
        name,
        {
            "jax_plugins.xla_cuda13": f"jax-cuda13-plugin=={version} jax-cuda13-pjrt=={version}",
            "nvidia.cu13": "nvidia-cuda-nvcc",
        },
    )
    spec = _HOPPER.format(memory=KINDS[kind].memory, **_GPUS[kind])
    return _devices(name, "cuda", topology=f"1x1x{count}", target_config=spec)


def _cpus(name: str, count: int) -> Sequence[jax.Device]:
    devices = jax.devices("cpu")
    if len(devices) < count:
        raise UsageError(
            f"--target={name}: there are {len(devices)}; set JAX_NUM_CPU_DEVICES={count}"
        )
    return devices[:count]


def _need(name: str, packages: dict[str, str]) -> None:
    """Raises UserError where a module lacks; `packages` says what brings each."""
    lacking = [packages[module] for module in packages if not _is_there(module)]
    if lacking:
        raise UserError(
            f"--target={name}: a package lacks that knows such devices: pip install "
            f"{' '.join(lacking)} (into a .venv of its own, if you like)"
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _devices(name: str, platform: str, **options: str) -> Sequence[jax.Device]:
    try:
        found = topologies.get_topology_desc(name, platform, **options)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--target={name}: {str(error).splitlines()[0]}") from None
    return found.devices
