"""The SLURM script: its commands, and when a job goes back into the queue."""

import shlex
import shutil
import subprocess

import pytest

from grel.pods import watch
from grel.training import signals
from tests.launch.scripts import AWKWARD, REPO, TRAIN, dry_run


def test_slurm_dry_run():
    setup, train = dry_run("slurm.sbatch", "--jax=cuda12", "--workdir=runs/x")
    assert setup == "bash launch/setup.sh --jax=cuda12"
    assert train.startswith("srun ")
    assert " env JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7 " in train
    assert train.endswith(f"{TRAIN} --distributed --workdir=runs/x")


CONTAINERS = {
    "/my/grel.sif": f"apptainer exec --nv --bind {REPO},/data --pwd {REPO} /my/grel.sif python",
    "registry#grel:1": "python",
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_slurm_takes_packages_from_a_container(container):
    [train] = dry_run("slurm.sbatch", f"--container={container}", "--mounts=/data", "--workdir=x")
    words = shlex.split(train)
    command = f"{CONTAINERS[container]} -m grel.main --mode=train --distributed --workdir=x"
    assert " ".join(words).endswith(f" {command}")
    mounts = f"--container-mounts={REPO}:{REPO},/data:/data"
    assert (mounts in words) == (CONTAINERS[container] == "python")


def run(tmp_path, status, *arguments, losses=0):
    """The script with a SLURM that ends so: its result, and what became of $tmp_path/calls."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "seq"):
        (tools / name).symlink_to(shutil.which(name))
    srun = f"""printf '%s\\0' "$@" >{tmp_path}/arguments; exit {status}"""
    for name, text in (("srun", srun), ("scontrol", f'echo "$@" >>{tmp_path}/calls')):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "setup.sh").write_text("")
    shutil.copy(REPO / "launch" / "dry_run.sh", tmp_path / "launch")
    environment = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7"}
    if losses:
        (tmp_path / "slurm-7.losses").write_text("69\n" * losses)
    result = subprocess.run(
        ["bash", REPO / "launch" / "slurm.sbatch", *arguments],
        # SLURM counts restarts for whatever reason.
        env=environment | {"PATH": str(tools), "SLURM_RESTART_COUNT": "40"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == status, result.stderr
    log = tmp_path / "calls"
    return result, log.read_text() if log.exists() else ""


@pytest.mark.parametrize(
    ("status", "requeued"),
    [(signals.STATUS, True), (watch.STATUS, True), (137, True), (2, False), (1, False), (0, False)],
)
def test_slurm_puts_a_run_that_saved_or_was_lost_back_into_the_queue(tmp_path, status, requeued):
    _, calls = run(tmp_path, status, "--requeue", "--x=y")
    assert calls == "requeue 7\n" * requeued


def test_slurm_puts_nothing_back_unasked(tmp_path):
    assert run(tmp_path, signals.STATUS, "--x=y")[1] == ""


@pytest.mark.parametrize(
    ("status", "losses", "requeued"),
    [(signals.STATUS, 20, True), (watch.STATUS, 19, True), (watch.STATUS, 20, False)],
)
def test_slurm_does_not_go_on_with_losses_for_ever(tmp_path, status, losses, requeued):
    result, calls = run(tmp_path, status, "--requeue", losses=losses)
    assert calls == "requeue 7\n" * requeued
    assert ("not put back" in result.stderr) != requeued
    counted = (tmp_path / "slurm-7.losses").read_text().split()
    assert len(counted) == losses + (status == watch.STATUS)


def test_slurm_puts_nothing_back_whose_losses_it_cannot_count(tmp_path):
    (tmp_path / "slurm-7.losses").mkdir()
    result, calls = run(tmp_path, watch.STATUS, "--requeue")
    assert calls == ""
    assert "which slurm-7.losses counts: not put back" in result.stderr


def test_slurm_passes_overrides_untouched(tmp_path):
    run(tmp_path, 0, *AWKWARD)
    arguments = (tmp_path / "arguments").read_text().split("\0")[:-1]
    assert arguments[-len(AWKWARD) :] == AWKWARD


def test_slurm_asks_for_what_the_run_relies_on():
    text = (REPO / "launch/slurm.sbatch").read_text()
    for option in ("--ntasks-per-node=1", "--requeue", "--open-mode=append"):
        assert f"#SBATCH {option}\n" in text
    first_command = text.index("\nset -euo pipefail")
    assert text.rindex("#SBATCH") < first_command  # SLURM reads no further
