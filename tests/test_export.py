"""The command that exports: mistakes told in one line, and a run that leaves grel both ways."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "tests" / "extraction" / "old_runs"
LOOKUP, BERT = f"--workdir={RUNS / 'lookup'}", f"--workdir={RUNS / 'bert'}"
# Flags belong to a process, and importing takes seconds: all command lines share one.
SHOW = """
import contextlib, io, json, sys
from tests.command import forget_flags
from grel import export

for argv in json.loads(sys.argv[1]):
    if "--without_flatbuffers" in argv:
        argv.remove("--without_flatbuffers")
        sys.modules["flatbuffers"] = None
    sys.argv = ["export.py", *argv]
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        status = export.main()
    print(json.dumps([status, err.getvalue()]), flush=True)
    forget_flags()
"""


def _run(*command_lines):
    """(status, standard error) of each."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, json.dumps([list(argv) for argv in command_lines])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("[")]


def test_mistakes_are_told_in_one_line(tmp_path):
    taken, output = f"--output={tmp_path}", f"--output={tmp_path / 'new'}"
    hf, stablehlo = "--to=hf", "--to=stablehlo"
    decoding = "--config.decoding.structure=on"
    bad = {
        (): (2, "Flag --"),
        (BERT, output, "--to=onnx"): (2, "--to=onnx"),
        (BERT, "--output=", hf): (2, "it is empty; name a path"),
        (BERT, taken, hf): (1, f"{tmp_path}: is there already; name another --output"),
        ("--workdir=/no/such", output, hf): (1, "/no/such/best: no such folder; train first"),
        (LOOKUP, output, hf): (1, "the run is of family lookup; only bert can be exported"),
        (BERT, output, hf, decoding): (2, "and config.decoding are for --to=stablehlo"),
        (BERT, output, hf, "--buckets=32"): (2, "--buckets, --batch_size, --tuned and config"),
        (BERT, output, hf, "--config.eval.checkpoint=x"): (1, "checkpoint is 'x'; one of"),
        (BERT, output, hf, "--config.seed=1"): (
            2,
            "--config.seed: only config.decoding and config.eval.checkpoint can be set",
        ),
        (BERT, output, hf, "--tuned"): (2, "--tuned and config.decoding are for --to=stablehlo"),
        (BERT, output, stablehlo, "--without_flatbuffers"): (1, "flatbuffers is not installed"),
    }
    for (argv, (status, message)), told in zip(bad.items(), _run(*bad), strict=True):
        assert told[0] == status, (argv, told)
        assert message in told[1], (argv, told)
        assert told[1].count("\n") == 1, (argv, told)
    assert not list(tmp_path.iterdir())


def _run_exported(script, programs, folder):
    """What a script without grel says of two texts, in a folder where no grel is to be found."""
    ran = subprocess.run(
        [sys.executable, script, programs],
        cwd=folder,
        input="Ann Moore lives in Oslo .\n\nBo Li lives in Rome .\n",
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_a_run_leaves_both_ways(tmp_path):
    pytest.importorskip("flatbuffers", reason="needs flatbuffers: launch/setup.sh --tests")
    hf, programs = tmp_path / "hf", tmp_path / "programs"
    sizes = ("--buckets=24", "--batch_size=2")
    done = _run(
        (BERT, "--to=hf", f"--output={hf}"),
        (BERT, "--to=stablehlo", f"--output={programs}", "--buckets=24,x"),
        (BERT, "--to=stablehlo", f"--output={programs}", "--buckets=1000"),
        (BERT, "--to=stablehlo", f"--output={programs}", "--tuned"),
        (BERT, "--to=stablehlo", f"--output={programs}", *sizes, "--config.decoding.structure=on"),
    )
    assert [status for status, _ in done] == [0, 2, 1, 1, 0], done
    assert "--buckets=24,x: they are lengths, such as 64,128" in done[1][1]
    assert "a bucket of 1000 cannot be" in done[2][1]
    assert "this checkpoint was not tuned" in done[3][1]
    assert {path.name for path in hf.iterdir()} == {
        *("config.json", "model.safetensors", "grel.json"),
        *("vocab.txt", "tokenizer.json", "tokenizer_config.json"),
    }
    schema = json.loads((programs / "grel.json").read_text())
    assert schema["programs"] == {"24": "decode_24.jaxexport"}
    assert schema["decoding"]["structure"] == "on"
    said, said_shortly = (
        _run_exported(ROOT / "docs" / name, programs, tmp_path)
        for name in ("run_exported.py", "run_exported_short.py")
    )
    assert said == said_shortly
    texts = ["Ann Moore lives in Oslo .", "", "Bo Li lives in Rome ."]
    assert [one["text"] for one in said] == texts
    assert said[1]["triples"] == []
