"""Shards by number, and by what starts many processes; test_predict.py joins their outputs."""

import itertools

import pytest

from grel.extraction.shards import Shard

IN_A_SCRIPT = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}


def _array(task, first, last, num_tasks, **step):
    numbers = {"ID": task, "MIN": first, "MAX": last, "COUNT": num_tasks}
    array = {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}
    return {**IN_A_SCRIPT, **array, **step}


def _step(rank, num_tasks):
    return {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(num_tasks)}


def test_shards_are_told_by_index_and_count():
    assert (Shard.parse("0/1"), Shard.parse("3/16")) == (Shard(), Shard(3, 16))
    for text in ("4/4", "1", "-1/4", "a/b", "1/4 ", "", "0/0", "123456/999999", "auto/", "auto/0"):
        with pytest.raises(ValueError, match=r"must be INDEX/COUNT"):
            Shard.parse(text)


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("auto", _array(2, 0, 3, 4), Shard(2, 4)),
        ("auto", _array(4, 1, 4, 4), Shard(3, 4)),
        ("auto", _step(1, 2), Shard(1, 2)),
        ("auto/2", _step(1, 2), Shard(1, 2)),
        ("auto", {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, Shard(3, 4)),
        ("auto", {"PMI_RANK": "3", "PMI_SIZE": "4"}, Shard(3, 4)),
        ("auto", {"JAX_PROCESS_ID": "3", "JAX_NUM_PROCESSES": "4"}, Shard(3, 4)),
        # mpirun in an allocation starts a process a node by srun, and these the ranks.
        ("auto", {**_step(1, 2), "PMI_RANK": "5", "PMI_SIZE": "8"}, Shard(5, 8)),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, Shard(3, 4)),
        # Tasks 2 and 5 of eight again.
        ("auto/8", _array(5, 2, 5, 2), Shard(5, 8)),
        ("auto/8", _array(2, 2, 2, 1), Shard(2, 8)),
    ],
)
def test_the_environment_numbers_a_process(text, environment, expected):
    assert Shard.parse(text, environment) == expected


def test_all_processes_of_all_tasks_of_an_array_do_all_parts():
    tasks = itertools.product(range(1, 4), range(2))
    found = [Shard.parse("auto", _array(task, 1, 3, 3, **_step(rank, 2))) for task, rank in tasks]
    assert found == [Shard(index, 6) for index in range(6)]


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("auto", {}, "nothing in the environment says it: none of SLURM_ARRAY_TASK_ID, JAX"),
        # A script of sbatch is one process, whatever the number of its tasks.
        ("auto", IN_A_SCRIPT, "nothing in the environment says it"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "does not tell how many there are: auto/COUNT"),
        ("auto/3", {"JOB_COMPLETION_INDEX": "3"}, "makes this process number 3, from 0, of 3"),
        ("auto", _array(5, 2, 5, 2), "the tasks of the array are not 0-N or 1-N"),
        ("auto", _array(4, 0, 6, 4), "the tasks of the array are not 0-N or 1-N"),
        ("auto", _array(1, 1, 1, 1), "the tasks of the array are not 0-N or 1-N"),
        ("auto/8", _array(8, 1, 8, 8), "makes this process number 8, from 0, of 8"),
        ("auto/8", _step(1, 4), "auto/8, and by SLURM_PROCID there are 4 processes"),
        ("auto", {"PMI_RANK": "x", "PMI_SIZE": "4"}, "PMI_RANK is 'x' in the environment"),
        ("auto", {"PMI_RANK": "4", "PMI_SIZE": "4"}, "makes this process number 4, from 0, of 4"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "4"}, "SLURM_ARRAY_TASK_MIN is .. in the environment"),
    ],
)
def test_what_would_leave_parts_out_is_refused(text, environment, message):
    with pytest.raises(ValueError, match=message):
        Shard.parse(text, environment)
