"""Devices and processes: the only file that knows how work is spread over them.

Everything is data parallel through `jax.pmap`: parameters on every device, the rows of a batch
divided over processes and then over each process's devices. Callers pass and receive arrays whose
rows run through the whole local batch; the device axis never leaves this file.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import jax_utils
from jax.experimental import multihost_utils

from grel.pods import aborts, watch

_AXIS = "device"

Devices = Sequence[jax.Device]


def initialize(heartbeat_timeout: float = 60) -> None:
    """Joins the processes of a pod; must come before anything touches a device.

    When one of them ends without a word, or hangs for so many seconds, the others end in one line
    with status `watch.STATUS`; see `run_joined` for one that fails.

    JAX recognizes TPU pods, SLURM and MPI by itself. Elsewhere three variables say where the others
    are: JAX_COORDINATOR_ADDRESS, which it reads, JAX_NUM_PROCESSES and JAX_PROCESS_ID, which it
    does not.

    Raises PodError where they do not come together, or a variable is no number.
    """
    global _watch
    num_processes, process_id = map(_number_in, ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    stderr = aborts.start()
    # JAX's handler would keep SIGTERM for good; `agree_to_stop` does what it is for.
    jax.config.update("jax_enable_preemption_service", False)
    timeout = math.ceil(heartbeat_timeout) + _JAX_WAITS_LONGER
    try:
        jax.distributed.initialize(
            num_processes=num_processes,
            process_id=process_id,
            heartbeat_timeout_seconds=timeout,
        )
    except (ValueError, RuntimeError) as error:
        raise watch.PodError(f"--distributed: cannot join the others: {error}") from None
    index, count = process()
    if count == 1:
        return
    host = os.environ.get("JAX_COORDINATOR_ADDRESS", "").rpartition(":")[0]
    listener, invitation = watch.listen(*([host] if host else [])) if index == 0 else (None, None)
    sent = gather_bytes(invitation.to_bytes() if invitation else b"")[0]

    def tell(line: str) -> None:
        aborts.told()
        # Below a progress bar, which is drawn into log files too.
        os.write(stderr, f"\n{line}".encode())

    invitation = watch.Invitation.from_bytes(sent)
    _watch = watch.Watch(index, count, heartbeat_timeout, invitation, listener, tell)
    # Before JAX's own, which waits for all and then closes the connections.
    atexit.register(_watch.done)


def _number_in(variable: str) -> int | None:
    """The number in an environment variable, None where it is not set; raises PodError."""
    text = os.environ.get(variable)
    if text is not None and not text.strip().isdecimal():
        raise watch.PodError(f"--distributed: {variable}={text!r}: set it to a number, or unset it")
    return None if text is None else int(text)


# Seconds, for the watch to be first.
_JAX_WAITS_LONGER = 30
_watch: watch.Watch | None = None


def run_joined(command: Callable[[], int]) -> int:
    """The exit status of a command that may `initialize`; raises what it raises.

    Where it fails in a pod, the others are told, and end with the same status. The process ends
    here: at a usual exit JAX waits for all, and they may wait for this one.
    """
    try:
        status = command()
    except Exception:
        if _watch is None:
            raise
        _watch.wait_for_verdict()
        traceback.print_exc()
        status = 1
    if status and _watch is not None:
        _watch.failed(status)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)
    return status


def process() -> tuple[int, int]:
    """(index of this process, number of processes)."""
    return jax.process_index(), jax.process_count()


def in_pod() -> bool:
    """Whether there are other processes."""
    return process()[1] > 1


def own_part(num_items: int) -> slice:
    """The items of this process, where items are divided into equal runs, one a process."""
    index, count = process()
    return slice(num_items * index // count, num_items * (index + 1) // count)


def own_devices() -> Devices:
    """The devices of this process, for work in which the processes need not keep step."""
    return jax.local_devices()


def on_rows(fn: Callable, *, devices: Devices | None = None, donate: bool = False) -> Callable:
    """Maps `fn(replicated, rows) -> (replicated, out)` over the devices of all processes.

    Every process must call it as often as the others; each gives and gets the rows of its own
    devices. With `devices` it runs on these alone: see `own_devices`.

    `replicated` is a tree from `replicate`; `rows` a tree of host arrays whose first axis is
    divided over the devices. What comes back stays on the devices, so that the call does not wait:
    read it with `unreplicate` (the same on every device) or `merge_rows`. With `donate` the
    buffers of `replicated` are reused for the result.

    Raises ValueError where the rows do not divide over the devices.
    """
    mapped = _mapped(fn, devices, donate)
    num_devices = len(devices or own_devices())

    def divide(x: np.ndarray) -> np.ndarray:
        if len(x) % num_devices:
            raise ValueError(f"{len(x)} rows do not divide over {num_devices} devices")
        return x.reshape(num_devices, -1, *x.shape[1:])

    return lambda replicated, rows: mapped(replicated, jax.tree.map(divide, rows))


def _mapped(fn: Callable, devices: Devices | None, donate: bool) -> Any:
    return jax.pmap(fn, axis_name=_AXIS, devices=devices, donate_argnums=(0,) if donate else ())


def compiled_for(
    fn: Callable, devices: Devices, replicated: Any, rows: Any, *, donate: bool = False
) -> jax.stages.Compiled:
    """What `on_rows` would run on these devices, which need not be there.

    `replicated` and `rows` are trees of shapes (`jax.ShapeDtypeStruct`): of one copy, and of all
    rows.
    """
    num_devices = len(devices)

    def divided(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((num_devices, x.shape[0] // num_devices, *x.shape[1:]), x.dtype)

    def copied(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((num_devices, *x.shape), x.dtype)

    lowered = _mapped(fn, devices, donate).lower(
        jax.tree.map(copied, replicated), jax.tree.map(divided, rows)
    )
    return lowered.compile()


def merge_rows(tree: Any) -> Any:
    """The rows that `on_rows` divided, together again, as numpy arrays."""
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree)


def replicate(tree: Any, devices: Devices | None = None) -> Any:
    """Puts a tree on every local device, as `on_rows` takes it."""
    # With its axis name the copies get the sharding that pmap wants, and the step compiles once.
    return jax_utils.replicate(tree, devices or own_devices(), axis_name=_AXIS)


def unreplicate(tree: Any) -> Any:
    """One copy of a replicated tree, as numpy arrays on the host."""
    # flax.jax_utils.unreplicate goes by the devices of the process, not by those in use.
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


def sum_over_devices(tree: Any) -> Any:
    """Inside a mapped function: the sum over all devices of all processes."""
    # On one device it would be a copy.
    return tree if jax.lax.axis_size(_AXIS) == 1 else jax.lax.psum(tree, _AXIS)


def wait_for_all(name: str) -> None:
    """Returns when all processes have called it, each with the same name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def refuse_other_facts(facts_fn: Callable[[], Mapping[str, Any]]) -> None:
    """Raises PodError, in all processes of a pod, where one has other facts than the first one.

    All must call it. `facts_fn` gives by name what all should have alike, as JSON takes it, and is
    called only where there are others: digests of weights take a while. Else a host with an old
    copy of a file, or another flag, would train or evaluate the one model in its own way, or wait
    for the others for ever where that makes another number of batches.
    """
    if not in_pod():
        return
    first, *others = map(json.loads, gather_bytes(json.dumps(facts_fn()).encode()))
    differing: dict[str, list[str]] = {}
    for index, other in enumerate(others, start=1):
        for name in {**first, **other}:
            # As JSON has them, in which a number that is none is like itself.
            if json.dumps(other.get(name)) != json.dumps(first.get(name)):
                differing.setdefault(name, []).append(str(index))
    told = [f"{name} (process {', '.join(found)})" for name, found in differing.items()]
    if told:
        raise watch.PodError(
            f"--distributed: not as in process 0: {', '.join(told)}; give all processes the same "
            "flags and files, and a --workdir that all see"
        )


def agree_to_stop(step: int, asked: bool) -> bool:
    """Whether to stop after this step: where one process of a pod was asked, all do, at one step.

    All must call it after each step.
    """
    return asked if _watch is None else _watch.agree_to_stop(step, asked)


def gather_processes(tree: Any) -> Any:
    """Host arrays of the same shape in every process, stacked on a new first axis."""
    return multihost_utils.process_allgather(tree)


def gather_bytes(data: bytes) -> list[bytes]:
    """What each process gives, in the order of the processes; all get the same."""
    lengths = gather_processes(np.array([len(data)]))[..., 0].reshape(-1)
    padded = np.zeros(int(lengths.max(initial=0)), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    gathered = gather_processes(padded).reshape(len(lengths), -1)
    return [row[:length].tobytes() for row, length in zip(gathered, lengths, strict=True)]
