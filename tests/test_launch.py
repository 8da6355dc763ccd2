"""The launch scripts: what --dry_run prints, and that set-up repairs whatever it finds.

Set-up runs here against a Python whose `venv` and `pip` only write down that they were called, so
that every way of being interrupted can be tried in no time and without a network.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import stat
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from grel import recipes
from grel.config import CORPORA, get_config
from grel.errors import UsageError
from grel.fields import leaves
from grel.training import signals

REPO = Path(__file__).parents[1]
TRAIN = ".venv/bin/python -m grel.main --mode=train"

# Runs `-c` on the real Python, with whatever the test says about it; `-m venv` makes a folder with
# a link to this script; `-m pip` does what $FAKE_PIP says. Calls of the two go to $FAKE_LOG.
FAKE_PYTHON = """\
#!/usr/bin/env bash
me=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
case "$1 $2" in
  "-m venv")
    echo "$*" >>"$FAKE_LOG"
    venv=${*: -1}
    mkdir -p "$venv/bin"
    ln -s "$FAKE_SOURCE" "$venv/bin/python" && ln -s python "$venv/bin/python3" ;;
  "-m pip")
    echo "$*" >>"$FAKE_LOG"
    eval "$FAKE_PIP" ;;
  "-c "*)
    exec "$REAL_PYTHON" -I -S -c "import sys
sys.version_info, sys.executable = (3, $FAKE_MINOR, 0), '$me'
sys.modules.update({'pip': sys} | dict.fromkeys('$FAKE_LACKS'.split()))
$2" ;;
  *) exit 99 ;;
esac
"""


class Checkout:
    """A copy of what set-up needs, with a PATH whose only Python is the fake one."""

    def __init__(self, folder: Path):
        self.folder = folder / "a checkout"
        (self.folder / "tests").mkdir(parents=True)
        shutil.copytree(REPO / "launch", self.folder / "launch")
        for name in ("requirements.txt", "tests/requirements.txt"):
            (self.folder / name).write_text(f"pins of {name}\n")
        tools = folder / "bin"
        tools.mkdir()
        for name in ("bash", "basename", "cat", "cksum", "dirname", "env", "grep", "ln", "mkdir"):
            (tools / name).symlink_to(shutil.which(name))
        for name in ("mv", "rm"):
            (tools / name).symlink_to(shutil.which(name))
        self.python = tools / "python3"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self.log = folder / "log"
        self.environment = {
            "PATH": str(tools),
            "REAL_PYTHON": sys.executable,
            "FAKE_SOURCE": str(self.python),
            "FAKE_LOG": str(self.log),
            "FAKE_PIP": "true",
            "FAKE_MINOR": "12",
            "FAKE_LACKS": "",
        }

    @property
    def command(self) -> list[str]:
        return [shutil.which("bash"), "launch/setup.sh"]

    def setup(self, *args: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.command, *args],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @contextlib.contextmanager
    def setup_in_background(self, **environment: str) -> Iterator[subprocess.Popen]:
        """Set-up under way; what is left of it at the end is killed."""
        process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def calls(self) -> list[str]:
        """What was asked of `venv` and `pip` since the last look."""
        if not self.log.exists():
            return []
        calls = self.log.read_text().splitlines()
        self.log.unlink()
        return calls


VENV = "-m venv .venv"
PIP = "-m pip install --quiet --disable-pip-version-check -r requirements.txt"


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def succeed(result: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert result.returncode == 0, result.stderr
    return result


def one_error_line(result: subprocess.CompletedProcess) -> str:
    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if "error:" in line]
    return line


def test_setup_installs_once_and_then_does_nothing(checkout):
    succeed(checkout.setup())
    assert checkout.calls() == [VENV, PIP]
    again = succeed(checkout.setup())
    assert checkout.calls() == []
    assert again.stdout + again.stderr == ""


def test_setup_adds_to_a_complete_venv(checkout):
    succeed(checkout.setup())
    checkout.calls()
    succeed(checkout.setup("--tests"))
    assert checkout.calls() == [f"{PIP} -r tests/requirements.txt"]
    succeed(checkout.setup())
    succeed(checkout.setup("--tests"))
    assert checkout.calls() == []
    succeed(checkout.setup("--jax=tpu"))
    assert checkout.calls() == [f"{PIP} jax[tpu]"]


def test_setup_with_changed_test_requirements_installs_them(checkout):
    succeed(checkout.setup("--tests"))
    checkout.calls()
    (checkout.folder / "tests/requirements.txt").write_text("other pins\n")
    succeed(checkout.setup())
    assert checkout.calls() == []
    succeed(checkout.setup("--tests"))
    assert checkout.calls() == [f"{PIP} -r tests/requirements.txt"]


def _python_gone(venv: Path) -> None:
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(venv / "no such python")


def _pins_changed(venv: Path) -> None:
    (venv.parent / "requirements.txt").write_text("other pins\n")


def _stamp_empty(venv: Path) -> None:
    (venv / ".complete").write_text("")


def _venv_is_a_file(venv: Path) -> None:
    shutil.rmtree(venv)
    venv.write_text("")


@pytest.mark.parametrize("harm", [_python_gone, _pins_changed, _stamp_empty, _venv_is_a_file])
def test_setup_makes_a_broken_venv_anew(checkout, harm):
    succeed(checkout.setup("--tests"))
    checkout.calls()
    harm(checkout.folder / ".venv")
    succeed(checkout.setup("--tests"))
    assert checkout.calls() == [VENV, f"{PIP} -r tests/requirements.txt"]


def test_setup_makes_the_venv_of_another_python_version_anew(checkout):
    succeed(checkout.setup())
    checkout.calls()
    succeed(checkout.setup(FAKE_MINOR="13"))
    assert checkout.calls() == [VENV, PIP]


def test_setup_after_a_failed_pip(checkout):
    failed = checkout.setup(FAKE_PIP="echo 'no space left' >&2; false")
    assert "pip failed" in one_error_line(failed)
    assert "no space left" in failed.stderr
    leftover = checkout.folder / ".venv/half a package"
    leftover.touch()
    checkout.calls()
    succeed(checkout.setup())
    assert checkout.calls() == [VENV, PIP]
    assert not leftover.exists()


@pytest.mark.parametrize("before", [[], ["setup"]], ids=["new", "complete"])
def test_setup_after_being_killed(checkout, before):
    for _ in before:
        succeed(checkout.setup())
    killed = checkout.setup("--tests", FAKE_PIP="kill -KILL $PPID")
    assert killed.returncode == -signal.SIGKILL
    checkout.calls()
    succeed(checkout.setup())
    assert checkout.calls() == [VENV, PIP]


@pytest.mark.parametrize(
    ("ending", "status", "num_installs"), [("", 0, 1), ("kill -KILL $PPID;", -signal.SIGKILL, 2)]
)
def test_a_second_setup_waits_for_the_first_ones_pip(
    checkout, tmp_path, ending, status, num_installs
):
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    os.mkfifo(started)
    os.mkfifo(go_on)
    pip = f"{ending} echo >'{started}'; cat '{go_on}'"
    with checkout.setup_in_background(FAKE_PIP=pip) as first:
        started.read_text()
        with checkout.setup_in_background() as second:
            assert "waiting" in second.stderr.readline()
            go_on.write_text("")
            assert first.wait(60) == status
            assert second.wait(60) == 0
    assert checkout.calls() == [VENV, PIP] * num_installs


def test_setup_can_replace_the_active_venv(checkout):
    succeed(checkout.setup())
    _pins_changed(checkout.folder / ".venv")
    active = f"{checkout.folder}/.venv/bin:{checkout.environment['PATH']}"
    succeed(checkout.setup(PATH=active))
    assert checkout.calls() == [VENV, PIP] * 2


def test_setup_needs_a_recent_python(checkout):
    error = one_error_line(checkout.setup(FAKE_MINOR="10"))
    assert "no Python 3.11 or newer" in error
    assert "python3.11" in error
    checkout.python.rename(checkout.python.with_name("python3.11"))
    succeed(checkout.setup(FAKE_SOURCE=str(checkout.python.with_name("python3.11"))))


def test_setup_takes_the_python_that_is_named_or_none(checkout):
    assert "tried /no/python;" in one_error_line(checkout.setup(PYTHON="/no/python"))
    other = checkout.python.rename(checkout.folder / "my python")
    succeed(checkout.setup(PYTHON=str(other), FAKE_SOURCE=str(other)))


def test_setup_without_ensurepip_takes_the_pip_there_is(checkout):
    succeed(checkout.setup(FAKE_LACKS="ensurepip"))
    assert checkout.calls() == [
        "-m venv --without-pip .venv",
        "-m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip",
        PIP,
    ]


@pytest.mark.parametrize("lacks", ["venv", "ensurepip pip"])
def test_setup_says_what_python_lacks(checkout, lacks):
    assert "apt-get install python3-venv" in one_error_line(checkout.setup(FAKE_LACKS=lacks))
    assert checkout.calls() == []


def test_setup_refuses_unknown_arguments(checkout):
    assert "unknown argument --jax=gpu" in one_error_line(checkout.setup("--jax=gpu"))


def test_setup_dry_run_does_nothing(checkout):
    result = succeed(checkout.setup("--tests", "--dry_run"))
    assert result.stdout.splitlines() == [
        "rm -rf .venv",
        f"{checkout.python} -m venv .venv",
        "rm -f .venv/.complete",
        f".venv/bin/python {PIP} -r tests/requirements.txt",
    ]
    assert not (checkout.folder / ".venv").exists()
    assert checkout.calls() == []


def dry_run(script: str, *args: str) -> list[str]:
    """The lines that a script of the checkout prints, run from elsewhere."""
    result = subprocess.run(
        ["bash", REPO / "launch" / script, "--dry_run", *args],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return succeed(result).stdout.splitlines()


def test_local_dry_run():
    lines = dry_run("local.sh", "--workdir=runs/my demo", "--config.seed=3")
    assert lines[0] == "bash launch/setup.sh"
    assert lines[1] == f"{TRAIN} --config=configs/demo.py '--workdir=runs/my demo' --config.seed=3"
    settings = [line.split("demo'")[1] for line in lines if "--mode=eval" in line]
    off = " --config.decoding.copy=off --config.decoding.structure=off"
    assert settings == [f"{off} --config.eval.name=test_copy_off", ""]
    assert lines[-1] == ".venv/bin/python launch/summary.py 'runs/my demo'"


def test_local_refuses_what_would_train_in_one_folder_and_evaluate_another():
    command = ["bash", REPO / "launch/local.sh", "--dry_run", "--workdir", "runs/other"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "unknown argument --workdir" in result.stderr


def test_summary_shows_scores_and_triples(tmp_path):
    for evaluation, score in (("test", 0.975), ("test_copy_off", 0.25)):
        folder = tmp_path / "eval" / evaluation
        folder.mkdir(parents=True)
        metrics = {"precision": score, "recall": score + 0.01, "f1": score + 0.005}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    triple = {"head": "Zoë", "relation": "born in", "tail": "Oslo"}
    record = {"id": "0", "text": "Zoë is from Oslo .", "triples": [triple]}
    text = json.dumps(record, ensure_ascii=False) + "\n"
    (tmp_path / "extracted.jsonl").write_text(text, encoding="utf-8")
    command = [sys.executable, REPO / "launch/summary.py", tmp_path]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    lines = succeed(result).stdout.splitlines()
    assert lines[2].split() == ["copy", "mechanism", "on", "0.9750", "0.9850", "0.9800"]
    assert lines[3].split() == ["copy", "mechanism", "off", "0.2500", "0.2600", "0.2550"]
    assert lines[-2:] == ["Zoë is from Oslo .", "    (Zoë; born in; Oslo)"]


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
    assert all("--universal" in line and "--upgrade" in line for line in lines)


def test_tpu_pod_dry_run():
    *_, copy, train = dry_run("tpu_pod.sh", "--tpu=pod", "--zone=z", "--workdir=/mnt/a b")
    assert copy.startswith("gcloud compute tpus tpu-vm scp ")
    assert train.startswith("gcloud compute tpus tpu-vm ssh pod --zone=z --worker=all ")
    assert "bash launch/setup.sh --jax=tpu && " in train
    assert train.endswith(rf"{TRAIN} --distributed --workdir=/mnt/a\ b'")


def test_slurm_dry_run():
    setup, train = dry_run("slurm.sbatch", "--jax=cuda12", "--workdir=runs/x")
    assert setup == "bash launch/setup.sh --jax=cuda12"
    assert train.startswith("srun ")
    assert " env JAX_LOCAL_DEVICE_IDS=0,1,2,3,4,5,6,7 " in train
    assert train.endswith(f"{TRAIN} --distributed --workdir=runs/x")


@pytest.mark.parametrize(
    ("status", "requeue", "calls"), [(75, True, 1), (75, False, 0), (1, True, 0), (0, True, 0)]
)
def test_slurm_puts_a_run_that_saved_back_into_the_queue(tmp_path, status, requeue, calls):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "seq"):
        (tools / name).symlink_to(shutil.which(name))
    for name, text in (("srun", f"exit {status}"), ("scontrol", f'echo "$@" >>{tmp_path}/calls')):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "setup.sh").write_text("")
    shutil.copy(REPO / "launch" / "dry_run.sh", tmp_path / "launch")
    result = subprocess.run(
        ["bash", REPO / "launch" / "slurm.sbatch", *(["--requeue"] if requeue else []), "--x=y"],
        env={"PATH": str(tools), "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == status, result.stderr
    log = tmp_path / "calls"
    assert (log.read_text() if log.exists() else "") == "requeue 7\n" * calls


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


def test_slurm_asks_for_one_process_per_node():
    text = (REPO / "launch/slurm.sbatch").read_text()
    assert "#SBATCH --ntasks-per-node=1\n" in text
    first_command = text.index("\nset -euo pipefail")
    assert text.rindex("#SBATCH") < first_command  # SLURM reads no further


def test_gke_manifest_agrees_with_itself():
    values = {"NUM_NODES": "2", "GPUS_PER_NODE": "8", "CONFIG": "c.py", "WORKDIR": "runs/x"}
    text = string.Template((REPO / "launch/gke.yaml").read_text()).substitute(values)
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    environment = {entry["name"]: entry for entry in container["env"]}

    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    assert environment["JAX_NUM_PROCESSES"]["value"] == "2"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    host = f"{job['metadata']['name']}-0.{pod['subdomain']}"
    port = container["ports"][0]["containerPort"]
    assert environment["JAX_COORDINATOR_ADDRESS"]["value"] == f"{host}:{port}"
    assert "JAX_PROCESS_ID" in environment
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    # A pod that saved and stopped is started again, however often.
    [rule] = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert rule["onExitCodes"]["values"] == [signals.STATUS]
    assert pod["restartPolicy"] == "Never"  # which the policy asks for
    [script] = container["args"]
    assert script.endswith(f"{TRAIN} --distributed --config=c.py --workdir=runs/x")


SCRIPTS = {
    "paper_tables.sh",
    "local.sh",
    "pin.sh",
    "setup.sh",
    "slurm.sbatch",
    "test.sh",
    "tpu_pod.sh",
}


def test_no_script_is_missing_here():
    others = {"dry_run.sh", "summary.py", "gke.yaml"}
    assert {path.name for path in (REPO / "launch").iterdir()} == SCRIPTS | others


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_has_help_that_tells_of_dry_run(script):
    lines = dry_run(script, "--help")
    assert any(script in line for line in lines)
    assert any("--dry_run" in line for line in lines)
    assert not any("set -euo" in line or "#" in line for line in lines)


def test_ci_runs_the_tests():
    assert (REPO / ".ci/run").read_text().endswith("exec bash launch/test.sh\n")


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
