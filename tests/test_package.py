"""The wheel, installed beside the packages of this Python: what a user has without a checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from grel import __version__

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, for setuptools writes beside what it packs."""
    pytest.importorskip(
        "setuptools", "77", reason="no setuptools to build with: bash launch/setup.sh --tests"
    )
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    for folder in ("grel", "configs"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "requirements.in"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-c", BUILD, target]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def grel(wheel, tmp_path_factory):
    """Runs the installed `grel`, or another program of its Python, in an empty folder."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    purelib = sysconfig.get_path("purelib", "venv", {"base": venv, "platbase": venv})
    Path(purelib, "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    folder = tmp_path_factory.mktemp("empty")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "JAX_NUM_CPU_DEVICES": "1",
    }

    def run(*argv, program="grel", stdin="", status=0):
        done = subprocess.run(
            [venv / "bin" / program, *argv],
            cwd=folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr[-2000:]
        return done.stdout + done.stderr if status else done.stdout

    return run


def test_the_wheel_has_all_files_and_one_package(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT)
        for folder in ("grel", "configs")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix != ".pyc"
    }
    recipes = {path for path in files if path.parts[0] == "configs"}
    assert names == {p.as_posix() for p in files - recipes} | {
        f"grel/{p.as_posix()}" for p in recipes
    }


def test_the_version_is_said_once(wheel, grel):
    assert wheel.name.startswith(f"grel-{__version__}-")
    assert grel("--version") == f"grel {__version__}\n"


@pytest.mark.slow
def test_without_a_checkout_a_recipe_is_found(grel, tmp_path):
    fields = [f"--config.data.num_{split}=20" for split in ("train", "validation")]
    run = tmp_path / "run"
    grel("train", "--config=configs/lookup.py:synthetic", f"--workdir={run}", *fields)
    assert (run / "best").is_dir()


@pytest.mark.slow
def test_spacy_finds_the_component_of_an_installed_grel(grel):
    pytest.importorskip("spacy", reason="spaCy is not installed: pip install spacy")
    run = ROOT / "tests/extraction/old_runs/lookup"
    code = f"""
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("grel", config={{"workdir": {str(run)!r}}})
print(*nlp("Bo Li lives in Cairo .")._.triples)
"""
    told = grel("-c", code, program="python")
    assert told.startswith("(Bo Li; /people/person/place_lived; Cairo)")


@pytest.mark.slow
def test_without_a_checkout_the_newcomer_s_road_is_walked(grel, tmp_path):
    run = f"--workdir={tmp_path}/run"
    fields = {"data.num_train": 64, "data.num_validation": 8, "train.num_epochs": 1.0}
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    grel("train", "--config=configs/demo.py", run, *flags)
    grel("eval", run, "--config.eval.split=validation")
    evaluation = tmp_path / "run/eval/validation"
    pair = f"--gold={evaluation}/gold.jsonl", f"--pred={evaluation}/predictions.jsonl"
    assert json.loads(grel("score", *pair, "--json"))["gold"] > 0
    text = "Ann Moore lives in Oslo ."
    assert json.loads(grel("extract", run, stdin=f"{text}\n"))["text"] == text
    told = grel("train", "--config=configs/none.py", "--workdir=run", status=2)
    assert "there is no file 'configs/none.py'; grel has configs/bert.py, " in told
    assert told.count("\n") == 1
