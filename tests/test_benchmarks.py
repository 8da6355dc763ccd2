"""Benchmarks run through; what they say is for an idle machine."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_all_of_an_accelerator_runs_through_at_tiny_sizes():
    command = ["bash", "tests/benchmarks/accelerator.sh", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    named = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("== ")]
    if importlib.util.find_spec("torch") is None:
        named.insert(3, "decode_transformers")
    assert named == ["train_step", "train_step", "heads", "decode_transformers", "startup"]
    assert done.stdout.count("no attention dropout") == 2
    assert done.stdout.count(" examples/s") >= 4
