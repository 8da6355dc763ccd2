"""The command: what it prints, and what it refuses."""

import json
import os
import subprocess
import sys

import pytest

from grel import aot
from grel.devices import hlo, topologies
from grel.training.ahead import Program

TINY = [
    *("--config=configs/bert.py:nyt24", "--length=16", "--config.model.size=tiny"),
    *("--config.model.num_layers=1", "--config.model.hidden_size=16"),
    *("--config.tokenizer.vocab_size=100", "--config.train.batch_size=4"),
]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "grel.aot", *TINY, *arguments],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_step_as_json():
    done = command("--target=cpux2", "--programs=train", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["target"] == "cpux2"
    assert found["name"] == "train step, 4 rows of 16 tokens"
    assert {c["name"] for c in found["collectives"]} == {"all-reduce"}
    assert found["memory"] > found["arguments"] > 0


def test_what_cannot_be_is_told_in_one_line():
    done = command("--target=v9:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --target=v9:1: it must be KIND:TOPOLOGY")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_program_in_a_few_lines(exchanging):
    collectives = (hlo.Collective("all-reduce", 1_500_000, 7, False),) * 2 if exchanging else ()
    program = Program("name", 2**30, 2**30, 2**30, 2**29, 0, 8e12, collectives, 61.2)
    target = topologies.target("cpux4")
    lines = aot.shown(program, target._replace(memory=2**34)).splitlines()
    assert lines[:3] == [
        "name on 4 x cpu",
        "  1.50 of 16 GiB a device: arguments 1.00, temporary 0.50",
        "  2e+12 FLOPs a device by formula",
    ]
    told = "one group of all-reduces a step: 2 of 14 arrays, 3.0 MB"
    assert lines[3:] == [f"  {told if exchanging else 'no collectives'}", "  compiled in 61 s"]
