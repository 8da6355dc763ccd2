"""The script that trains and tables all systems: its commands, and what it refuses."""

import re
import shlex
import subprocess

import pytest

from grel import recipes
from grel.config import CORPORA, get_config
from grel.errors import UsageError
from grel.fields import leaves
from tests.launch.scripts import REPO, dry_run


def test_paper_tables_trains_evaluates_and_tables_every_system():
    arguments = ["--corpus=webnlg", "--data=a b", "--systems=lookup,lstm_copy,worddec"]
    arguments += ["--seeds=0,1", "--config.train.num_epochs=2.0", "--dry_run"]
    done = subprocess.run(
        ["bash", "launch/paper_tables.sh", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    trained = [line for line in lines if "--mode=train" in line]
    # The look-up has no seed, and none of the fields of models.
    assert len(trained) == 5
    assert "configs/lookup.py:webnlg" in trained[0]
    assert "seed" not in trained[0]
    assert "epochs" not in trained[0]
    assert "--config=configs/paper.py:lstm_copy-webnlg-small" in trained[1]
    assert all("'--config.data.manual_dir=a b'" in line for line in trained)
    assert [("seed=0" in line, "num_epochs=2.0" in line) for line in trained[1:]] == [
        (True, True),
        (True, True),
        (False, True),
        (False, True),
    ]
    evaluated = [line for line in lines if "--mode=eval" in line]
    assert (
        sum("--config.eval.name=test_lstm --config.decoding.copy=off" in e for e in evaluated) == 2
    )
    assert len(evaluated) == 7
    assert shlex.split(lines[-2])[1:] == [
        *("-m", "grel.corpora", "--config=configs/lookup.py:webnlg"),
        *("--config.data.manual_dir=a b", "--split=train", "--output=runs/paper/train.jsonl"),
    ]
    assert lines[-1].startswith(
        ".venv/bin/python -m grel.tables --workdirs=runs/paper/lookup-0/eval"
    )
    assert " --data=runs/paper/train.jsonl " in lines[-1]
    assert "5 of 6" in done.stderr


def _fields(line: str, mode: str) -> dict[str, str]:
    """The fields of the configuration that a command of grel.main of this mode sets."""
    words = shlex.split(line)
    assert words[3] == f"--mode={mode}"
    flags = (word.removeprefix("--config.") for word in words if word.startswith("--config."))
    return dict(flag.split("=", 1) for flag in flags)


def test_paper_tables_says_to_evaluations_too_where_data_lies_and_how_to_score():
    of_data = {"data.data_dir": "my data", "data.num_train": "9", "data.num_validation": "8"}
    of_data |= {"eval.checkpoint": "latest", "eval.protocol": "span"}
    given = of_data | {"data.buckets": "(9,)", "train.num_epochs": "2.0"}
    _, *commands, records, _ = dry_run(
        *("paper_tables.sh", "--corpus=jsonl", "--data=a b", "--systems=lookup,worddec"),
        *("--split=validation", *(f"--config.{name}={value}" for name, value in given.items())),
    )
    # Of the training records as many as a run reads.
    assert "--config.data.num_train=9" in records
    assert "'--config.data.data_dir=my data'" in records
    assert "num_validation" not in records
    modes = ("train", "eval", "train", "eval", "eval")
    found = [_fields(line, mode) for line, mode in zip(commands, modes, strict=True)]
    of_data |= {"data.manual_dir": "a b"}
    evaluated = {"eval.split": "validation", "eval.name": "validation"}
    assert found[:2] == [of_data, of_data | evaluated]  # the look-up
    assert found[2] == given | of_data | {"seed": "0"}
    evaluated = of_data | {"data.buckets": "(9,)"} | evaluated
    lstm = {"eval.name": "validation_lstm", "decoding.copy": "off"}
    assert found[3:] == [evaluated, evaluated | lstm]


def test_paper_tables_gives_the_look_up_the_fields_that_it_has():
    fields = [f"--config.{name}=x" for name in leaves(get_config())]
    arguments = ["--corpus=jsonl", "--data=x", "--systems=lookup", *fields]
    line = next(line for line in dry_run("paper_tables.sh", *arguments) if "=train" in line)
    others = {"model.family", "data.name", "data.variant", "decoding.relations"}
    others |= {"eval.name", "eval.split"}  # which the script sets
    assert _fields(line, "train").keys() == leaves(get_config("lookup")).keys() - others


def _paper_tables(*arguments: str) -> subprocess.CompletedProcess:
    command = ["bash", "launch/paper_tables.sh", "--dry_run", *arguments]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)


def _systems_of_the_paper() -> list[str]:
    """The systems that configs/paper.py has recipes of, as its error names them."""
    with pytest.raises(UsageError) as error_info:
        recipes.load(f"{REPO}/configs/paper.py:?")
    return str(error_info.value).partition("one of ")[2].split(", ")


@pytest.mark.parametrize("scale", ["full", "small"])
def test_paper_tables_names_recipes_that_exist(scale):
    """Of all systems that it knows, for every corpus that its help names."""
    named = " ".join(dry_run("paper_tables.sh", "--help")).partition("Corpora are ")[2]
    corpora = re.split(r", | and ", named.partition(". ")[0])
    assert set(corpora) == set(CORPORA) - {"synthetic"}
    done = _paper_tables("--corpus=webnlg", "--data=x", "--systems=?")
    known = done.stderr.partition("some of ")[2].strip().split(",")
    assert set(known) == {"lookup", "pretrained", *_systems_of_the_paper()}
    systems = ",".join(known)
    for corpus in corpora:
        lines = dry_run(
            *("paper_tables.sh", f"--corpus={corpus}", "--data=x", f"--systems={systems}"),
            f"--scale={scale}",
        )
        found = [re.findall(r"--config=(\S+)", line) for line in lines if "--mode=train" in line]
        assert len(found) == len(known)
        for [recipe] in found:
            data = recipes.load(str(REPO / recipe)).data
            assert "-".join(filter(None, (data.name, data.variant))) == corpus


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=x"], "--corpus=NAME is missing"),
        (["--corpus=webnlg"], "--data=DIR is missing"),
        (["--corpus=webnlg", "--sytems=x"], "unknown argument --sytems=x"),
        (["--corpus=webnlg", "--data=x", "--systems=ptdec,ptdek"], "there is no system 'ptdek'"),
        (["--corpus=webnlg", "--data=x", "--systems=ptdec,,mrmep"], "there is no system ''"),
        (["--corpus=webnlg", "--data=x", "--systems=mrmep ptdec"], "there is no system 'mrmep p"),
    ],
)
def test_paper_tables_tells_what_is_wrong(arguments, message):
    done = _paper_tables(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"paper_tables: error: {message}")
    assert done.stderr.count("\n") == 1
