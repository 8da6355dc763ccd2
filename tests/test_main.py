"""The command line, as a user runs it: train, eval from the checkpoint alone, predict."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grel.records import read_jsonl
from grel.report.__main__ import main as report_main
from grel.runs import digests
from grel.tables.__main__ import main as tables_main
from tests import tiny
from tests.command import Command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run():
    """Runs a command line; see `tests.command`."""
    with Command() as command:
        yield command


def test_the_command_in_a_process_of_its_own():
    command = [sys.executable, "-m", "grel.main", "--mode=eval", "--workdir=/nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: /nowhere/best: no such folder; train first, or check --workdir\n"


@pytest.fixture(scope="module")
def run_dir(run, tmp_path_factory):
    """A run by command line, from a recipe with fields set by flags."""
    fields = "--config.train.num_epochs=1.0", "--config.seed=5"
    return tiny.train(run, tmp_path_factory.mktemp("main"), *fields)


def test_eval_runs_from_the_checkpoint_alone(run, run_dir):
    done = run("--mode=eval", f"--workdir={run_dir}", "--config.decoding.copy=off")
    shown = json.loads(done.stdout)
    assert {"precision", "recall", "f1"} <= shown.keys()
    folder = run_dir / "eval" / "test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["f1"] == shown["f1"]
    assert metrics["unseen"]["f1"] == shown["unseen_f1"]
    # Training had every triple of this corpus.
    assert (metrics["unseen"]["gold"], metrics["seen"]["gold"]) == (0, metrics["gold"])
    assert metrics["config"]["seed"] == 5
    assert metrics["config"]["decoding"]["copy"] == shown["copy"] == "off"
    gold, predicted = (list(read_jsonl(folder / f"{n}.jsonl")) for n in ("gold", "predictions"))
    assert [d.id for d in gold] == [d.id for d in predicted]
    assert all(t.score is not None for d in predicted for t in d.triples)


def test_a_balance_is_tuned_kept_with_the_checkpoint_and_used(run, run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    workdir = f"--workdir={tmp_path}/run"
    done = run("--mode=predict", workdir, "--tuned", stdin="Ann lives .\n", expect=1)
    assert "error: this checkpoint was not tuned: python -m grel.main --mode=tune" in done.stderr
    tuned = json.loads(run("--mode=tune", workdir, "--config.eval.end_biases=(0.0,-3.0)").stdout)
    assert tuned["end_bias"] in (0, -3)
    first, second = map(json.loads, run("--mode=eval", workdir).stdout.splitlines())
    assert {name: second[name] for name in ("tuned", "end_bias", "min_score")} == {
        "tuned": True,
        "end_bias": tuned["end_bias"],
        "min_score": tuned["min_score"],
    }
    metrics = json.loads((tmp_path / "run" / "eval" / "test" / "metrics.json").read_text())
    assert (metrics["f1"], metrics["tuned"]["f1"]) == (first["f1"], second["f1"])
    done = run("--mode=eval", workdir, "--config.decoding.copy=off")
    assert len(done.stdout.splitlines()) == 1
    assert "without tuned scores: this checkpoint was tuned with another copy" in done.stderr


def test_a_run_folder_does_not_say_where_things_are_written(run, run_dir, tmp_path):
    """It may be a stranger's; where it has things read is told first."""
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "precious.json").write_text("mine")
    for about in (tmp_path / "run" / "best").glob("*/about/metadata"):
        content = json.loads(about.read_text())
        config = json.loads(content["config"])
        config["data"] |= {"data_dir": f"{tmp_path}/victim", "cache_dir": f"{tmp_path}/victim"}
        content["config"] = json.dumps(config)
        del content["digest"]
        content["digest"] = digests.of_json(content)
        about.write_text(json.dumps(content))
    folder = tmp_path / "run" / "eval" / "test"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "metrics.json").symlink_to(tmp_path / "precious.json")
    done = run("--mode=eval", f"--workdir={tmp_path}/run")
    assert f"reading jsonl in {run_dir.parent}/corpus\n" in done.stderr
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / "precious.json").read_text() == "mine"
    assert not (folder / "metrics.json").is_symlink()


@pytest.mark.parametrize("name", ["eval", "best", "run.json"])
def test_a_run_folder_does_not_lead_elsewhere(run, run_dir, tmp_path, name):
    (tmp_path / "run" / "eval").mkdir(parents=True)
    shutil.copytree(run_dir / "best", tmp_path / "run" / "best")
    shutil.copy(run_dir / "run.json", tmp_path / "run")
    (tmp_path / "run" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    there = sorted((tmp_path / "elsewhere").rglob("*"))
    done = run("--mode=eval", f"--workdir={tmp_path}/run", expect=1)
    assert done.stderr.startswith(f"error: {tmp_path}/run/{name}: is a link, and links below")
    assert done.stderr.count("\n") == 1
    assert sorted((tmp_path / "elsewhere").rglob("*")) == there


def test_what_a_checkpoint_does_not_know_of_training_is_said_to_be_unknown(run, run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    for about in (tmp_path / "run" / "best").glob("*/about/metadata"):
        content = json.loads(about.read_text())
        del content["seen_triples"], content["digest"]
        content["digest"] = digests.of_json(content)
        about.write_text(json.dumps(content))
    done = run("--mode=eval", f"--workdir={tmp_path}/run")
    assert json.loads(done.stdout)["unseen_f1"] is None
    assert "F1 on unseen triples is unknown" in done.stderr
    metrics = json.loads((tmp_path / "run" / "eval" / "test" / "metrics.json").read_text())
    assert not {"unseen", "seen"} & metrics.keys()


def test_the_look_up_is_a_run_like_any_other(run, tmp_path):
    workdir = f"--workdir={tmp_path}/run"
    run(
        *("--mode=train", "--config=configs/lookup.py", workdir),
        f"--config.data.manual_dir={tiny.write_corpus(tmp_path / 'corpus')}",
        f"--config.data.data_dir={tmp_path / 'tfds'}",
        "--config.eval.checkpoint=latest",  # is for evaluation to say, and is not remembered
    )
    shown = json.loads(run("--mode=eval", workdir).stdout)
    assert (shown["f1"], shown["unseen_f1"], shown["copy"]) == (1, 0, None)
    assert json.loads(run("--mode=tune", workdir).stdout)["end_bias"] == 0
    text = "Bo Li lives in Cairo .\n"
    found = run(
        "--mode=predict", workdir, "--relations=/people/person/place_lived", "--tuned", stdin=text
    )
    (triple,) = json.loads(found.stdout)["triples"]
    assert (triple["tail"], triple["tail_spans"]) == ("Cairo", [[15, 20]])
    done = run("--mode=eval", workdir, "--config.decoding.copy=off", expect=2)
    assert "error: --config.decoding.copy: there is no such field" in done.stderr
    # The fields are those of the family, however the command names the run.
    (tmp_path / "flags").write_text(f"{workdir}\n")
    for named in (["--workdir", f"{tmp_path}/run"], [f"--flagfile={tmp_path}/flags"]):
        done = run("--mode=eval", *named, "--config.decoding.copy=off", expect=2)
        assert "error: --config.decoding.copy: there is no such field" in done.stderr
    done = run("--mode=predict", workdir, f"--trace={tmp_path}/trace", stdin=text, expect=1)
    assert "error: this family has no steps to trace; leave out --trace" in done.stderr
    assert tables_main([f"--workdirs={tmp_path}/run", f"--output={tmp_path}/tables"]) == 0
    assert report_main([f"--workdir={tmp_path}/run", f"--output={tmp_path}/report.html"]) == 0


def test_predict_reads_text_lines_and_records(run, run_dir, tmp_path):
    texts = "Ann Moore lives in Oslo .\nBo Li , born in Lima , lives in Rome .\n"
    done = run("--mode=predict", f"--workdir={run_dir}", stdin=texts)
    records = [{"id": n, "text": text} for n, text in enumerate(texts.splitlines(), start=1)]
    (tmp_path / "in.jsonl").write_bytes(gzip.compress(json.dumps(records).encode()))
    output = tmp_path / "out.jsonl"
    run(
        *("--mode=predict", f"--workdir={run_dir}"),
        *(f"--input={tmp_path}/in.jsonl", f"--output={output}"),
    )
    assert output.read_text() == done.stdout
    assert [d.text for d in read_jsonl(output)] == texts.splitlines()


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--mode=eval", "--workdir=/nowhere/at/all"], 1, "no such folder"),
        (["--mode=train", "--config.model.size=huge"], 1, "config.model.size is 'huge'; one of"),
        (["--mode=train", "--config.data.name=nyt24"], 1, "nyt24/official: no manual_dir"),
        (["--mode=train", "--config.model.sice=huge"], 2, "did you mean model.size?"),
        (["--mode=fly"], 2, "flag --mode=fly: value should be one of <train|tune|eval|predict>"),
        (["--mode=train", "--config=configs/minilm.py:nyt25"], 2, "'nyt25'; one of nyt24, nyt24"),
        (["--mode=train", "--config.data.variant=x"], 1, "no config 'x'; one of official, red"),
        (["--mode=predict", "--tuned", "--min_score=0.5"], 2, "tuned has a least score of its"),
        (["--mode=predict", "--shard=4/4"], 2, "--shard: shard is '4/4'; it must be INDEX/COUNT"),
        (["--mode=predict", "--shard=auto"], 2, "--shard: shard is auto, and nothing in the envi"),
        (["--mode=eval", "--config.seed=3"], 2, "config.seed is part of the trained model"),
        (["--mode=eval", "--config.data.num_validation=3"], 2, "num_validation is part of the tr"),
        (["--mode=eval", "--min_score=0"], 2, "--min_score is a flag of --mode=predict; leave it"),
        (["--mode=train", "--nowindows"], 2, "--windows is a flag of --mode=predict; leave it out"),
        (["--mode=tune", "--profile=3"], 2, "--profile is a flag of --mode=train; leave it out"),
        (
            ["--mode=train", "--config=configs/lookup.py", "--profile=3"],
            2,
            "--profile: lookup trains in no steps; leave it out",
        ),
        (["--mode=train", "--workdir="], 2, "flag --workdir=: it is empty; name a path"),
        (["--mode=predict", "--input="], 2, "flag --input=: it is empty; name a path"),
        (
            ["--mode=train", "--workdir=gs://b/run"],
            2,
            "--workdir=gs://b/run: files and folders are",
        ),
    ],
)
def test_mistakes_are_one_line(run, args, status, message, tmp_path):
    (tmp_path / "flags").write_text("--workdir=s3://b/run\n")
    args = [arg.replace("FLAGS", f"{tmp_path}/flags") for arg in args]
    if not any(arg.startswith(("--workdir", "--flagfile")) for arg in args):
        args = [*args, f"--workdir={tmp_path}/run"]
    done = run(*args, expect=status)
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    # What is looked at before anything is written; a run's lock comes before its data.
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert all(path.name == ".lock" for path in written)
