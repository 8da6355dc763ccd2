"""Parts of an input, one a process, and which of them a process is to do.

Whoever starts many processes at once numbers them in their environment: Slurm its array tasks, MPI
and srun their ranks, Kubernetes the pods of an indexed job. `--shard=auto` goes by these numbers,
so that one command line serves all of them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping

_FORM = "INDEX/COUNT, from 0/4 to 3/4 for four, or auto, or auto/COUNT"
# Variables with the number of a process, from 0, and with how many there are. MPI stands before
# srun, by which it starts a process on each node that starts the others. A script of sbatch has a
# number too, but not the count of a step, for it is not one of several.
_RANKS = (
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
_ARRAY = tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT"))
_POD = "JOB_COMPLETION_INDEX"


@dataclasses.dataclass(frozen=True)
class Shard:
    """Part `index`, from 0, of `count` parts of the input.

    Parts are runs of records, so their outputs joined in order are the output of a single process:
    `cat OUT-*-of-00004 > OUT`.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Shard:
        """The shard that `INDEX/COUNT` says, such as `1/4`; raises ValueError.

        `auto` takes both numbers from the environment, and `auto/COUNT` the index alone: where
        nothing there tells the count, and where some tasks of an array are run again.
        """
        match = re.fullmatch(r"(auto|[0-9]{1,5})(?:/([1-9][0-9]{0,4}))?", text)
        if match is not None and match[1] == "auto":
            return _of_process(environment, int(match[2]) if match[2] else None)
        if match is None or match[2] is None or int(match[1]) >= int(match[2]):
            raise ValueError(f"shard is {text!r}; it must be {_FORM}")
        return cls(int(match[1]), int(match[2]))

    def path(self, target: str) -> str:
        """Where the output of this part goes: `OUT-00001-of-00004`, or `OUT` if it is all."""
        return target if self.count == 1 else f"{target}-{self.index:05d}-of-{self.count:05d}"

    def share(self, num_records: int) -> tuple[int, int]:
        """The first record of this part, and how many there are."""
        start, stop = (num_records * i // self.count for i in (self.index, self.index + 1))
        return start, stop - start


def _of_process(environment: Mapping[str, str], count: int | None) -> Shard:
    """The shard that the environment says; each process of each task of an array has its own."""
    total: int | None
    rank = next((pair for pair in _RANKS if environment.keys() >= set(pair)), None)
    if rank:
        where, index, total = rank[0], *(_number(environment, name) for name in rank)
    elif _POD in environment:
        where, index, total = _POD, _number(environment, _POD), None
    else:
        where, index, total = "", 0, 1
    if _ARRAY[0] in environment:
        where = _ARRAY[0]
        task, num_tasks = _array_task(environment, counted=count is None)
        per_task = total or 1
        index, total = task * per_task + index, num_tasks and num_tasks * per_task
    if not where:
        known = ", ".join([_ARRAY[0], *(name for name, _ in _RANKS), _POD])
        raise ValueError(f"shard is auto, and nothing in the environment says it: none of {known}")
    if count is not None and total not in (None, count):
        raise ValueError(f"shard is auto/{count}, and by {where} there are {total} processes")
    if (found := count or total) is None:
        raise ValueError(f"{_POD} does not tell how many there are: auto/COUNT does")
    if index >= found:
        raise ValueError(f"{where} makes this process number {index}, from 0, of {found}")
    return Shard(index, found)


def _array_task(environment: Mapping[str, str], *, counted: bool) -> tuple[int, int | None]:
    """Number and count of an array's tasks; as it stands, and no count, where that is given."""
    task, first, last, num_tasks = (_number(environment, name) for name in _ARRAY)
    if not counted:
        return task, None
    # An array that is run again in part looks like a smaller one.
    if first not in (0, 1) or num_tasks == 1 or num_tasks != last - first + 1:
        raise ValueError(
            "shard is auto, and the tasks of the array are not 0-N or 1-N; to run some of them "
            "again, number them from 0 and say auto/COUNT"
        )
    return task - first, num_tasks


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if re.fullmatch(r"[0-9]{1,9}", value) is None:
        raise ValueError(f"{name} is {value!r} in the environment, and no number")
    return int(value)
