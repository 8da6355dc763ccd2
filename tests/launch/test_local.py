"""The main job: its commands, and what it shows at the end."""

import json
import os
import shutil
import subprocess
import sys

from grel.training import signals
from tests.launch.scripts import REPO, TRAIN, dry_run, succeed


def test_local_dry_run():
    lines = dry_run("local.sh", "--workdir=runs/my demo", "--config.seed=3")
    assert lines[0] == "bash launch/setup.sh"
    assert lines[1] == f"{TRAIN} --config=configs/demo.py '--workdir=runs/my demo' --config.seed=3"
    settings = [line.split("demo' ")[1] for line in lines if "--mode=eval" in line]
    off = "--config.decoding.copy=off --config.decoding.structure=off"
    # Both are said, since the run has what it was trained with (--config.eval.split=validation).
    assert settings == [
        f"--config.eval.split=test {off} --config.eval.name=test_copy_off",
        "--config.eval.split=test --config.eval.name=test",
    ]
    assert lines[-1] == ".venv/bin/python launch/summary.py 'runs/my demo'"


def test_local_refuses_what_would_train_in_one_folder_and_evaluate_another():
    command = ["bash", REPO / "launch/local.sh", "--dry_run", "--workdir", "runs/other"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "unknown argument --workdir" in result.stderr


def test_summary_shows_scores_and_triples(tmp_path):
    rows = ("test", "words", 0.975), ("test_copy_off", "off", 0.25)
    for evaluation, copy, score in rows:
        folder = tmp_path / "eval" / evaluation
        folder.mkdir(parents=True)
        metrics = {"precision": score, "recall": score + 0.01, "f1": score + 0.005}
        metrics["config"] = {"decoding": {"copy": copy}}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    triple = {"head": "Zoë", "relation": "born in", "tail": "Oslo"}
    record = {"id": "0", "text": "Zoë is from Oslo .", "triples": [triple]}
    text = json.dumps(record, ensure_ascii=False) + "\n"
    (tmp_path / "extracted.jsonl").write_text(text, encoding="utf-8")
    command = [sys.executable, REPO / "launch/summary.py", tmp_path]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    lines = succeed(result).stdout.splitlines()
    assert lines[2].split() == ["copy", "mechanism", "words", "0.9750", "0.9850", "0.9800"]
    assert lines[3].split() == ["copy", "mechanism", "off", "0.2500", "0.2600", "0.2550"]
    assert lines[-2:] == ["Zoë is from Oslo .", "    (Zoë; born in; Oslo)"]


def test_local_evaluates_nothing_after_a_training_that_was_stopped(tmp_path):
    """Status 75 is not 0."""
    (tmp_path / "launch").mkdir()
    for name in ("local.sh", "dry_run.sh"):
        shutil.copy(REPO / "launch" / name, tmp_path / "launch")
    (tmp_path / "launch" / "setup.sh").write_text("")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$3" >>{tmp_path}/calls\nexit {signals.STATUS}\n')
    python.chmod(0o755)
    command = ["bash", tmp_path / "launch" / "local.sh"]
    assert subprocess.run(command, timeout=60).returncode == 75
    assert (tmp_path / "calls").read_text() == "--mode=train\n"
