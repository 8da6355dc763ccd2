"""The command on a Ray cluster; tests/extraction/test_pool.py has what it is made of."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.command import Command

ROOT = Path(__file__).parents[1]

_LACKING = "import sys; sys.modules['ray'] = None; from grel import ray; sys.exit(ray.main())"

# A cluster of three machines, one of which was lost.
_LOST = """
import sys, types
from grel import ray
cluster, pool = (types.ModuleType(name) for name in ("ray", "pool"))
cluster.init = lambda **options: None
cluster.cluster_resources = lambda: {"CPU": 8.0}
cluster.nodes = lambda: [{"Alive": True}, {"Alive": False}, {"Alive": True}]
pool.Devices = lambda cpus, accelerator: types.SimpleNamespace(accelerator=accelerator)
def run(*files, num_actors, **options):
    print(num_actors)
    sys.exit()
pool.run = run
sys.modules |= {"ray": cluster, "grel.extraction.pool": pool}
ray.open_extractor = lambda **options: None
ray.main()
"""


def _command(*argv, start=("-m", "grel.ray")):
    return subprocess.run(
        [sys.executable, *start, *argv],
        cwd=ROOT,
        # Whatever else runs on this machine.
        env={**os.environ, "RAY_ADDRESS": "local"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_ray_one_line_says_how_to_get_it():
    files = ("--input=s3://b/x", "--output=gs://b/y")
    done = _command("--workdir=x", *files, start=("-c", _LACKING))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: grel.ray needs Ray")
    assert done.stderr.endswith("pip install 'ray[data]'\n")
    assert done.stderr.count("\n") == 1


def test_machines_that_are_gone_get_no_actor():
    done = _command("--workdir=x", "--input=x", "--output=y", start=("-c", _LOST))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "2 actors, CPU\n")


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_cpus_without_number_are_told_in_one_line(number):
    done = _command("--workdir=x", "--input=x", "--output=y", f"--cpus_per_actor={number}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: flag --cpus_per_actor={number}: it must be a finite number\n"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is an extra: pip install 'ray[data]'"
)
def test_the_command_writes_what_predict_writes(tmp_path):
    corpus, decoding = tmp_path / "corpus", "--config.decoding.structure=on"
    expected = []
    with Command() as main:
        workdir = f"--workdir={tiny.train(main, tmp_path)}"
        for file in sorted(corpus.glob("*.jsonl")):
            done = main("--mode=predict", workdir, f"--input={file}", decoding)
            expected += done.stdout.splitlines()
    output = tmp_path / "out"
    where = [f"--input={corpus}", f"--output={output}"]
    pool = ["--num_actors=2", "--cpus_per_actor=0.4"]
    done = _command(workdir, *where, *pool, decoding)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line for path in output.glob("documents-*") for line in path.read_text().splitlines()]
    # On one device and the other, scores differ in the last digits, as XLA divides work.
    assert sorted(map(_rounded, found)) == sorted(map(_rounded, expected))
    assert sum(len(json.loads(line)["triples"]) for line in found) > 20
    assert json.loads((output / "summary.json").read_text())["records"] == len(found)
    # The folder is taken now, and that is told before anything is extracted.
    again = _command(workdir, *where, *pool)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1] == f"error: {output}: is not empty; name another folder"


def _rounded(line):
    record = json.loads(line, parse_float=lambda digits: f"{float(digits):.4f}")
    return json.dumps(record, sort_keys=True)
