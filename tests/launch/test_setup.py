"""Set-up repairs whatever it finds.

It runs here against a Python whose `venv` and `pip` only write down that they were called, so
that every way of being interrupted can be tried in no time and without a network.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch.scripts import REPO, succeed

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
  "-m uv")
    echo "$*" >>"$FAKE_LOG"
    "$0" -m venv .venv >/dev/null && [ -e "$PYTHONPATH/uv" ] ;;
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
        (self.folder / "tests/benchmarks").mkdir(parents=True)
        shutil.copytree(REPO / "launch", self.folder / "launch")
        for name in ("", "tests/", "tests/benchmarks/"):
            name += "requirements.txt"
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
    install = PIP.removesuffix(" -r requirements.txt")
    assert checkout.calls() == [PIP, f"{install} jax[tpu]"]
    succeed(checkout.setup("--torch"))
    assert checkout.calls() == [PIP, f"{install} -r tests/benchmarks/requirements.txt"]


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


def test_setup_lets_uv_bring_a_recent_python(checkout):
    uv = f"{checkout.folder}/home/.cache/grel/uv"
    into = f"-m pip install --quiet --disable-pip-version-check --upgrade --target={uv} uv"
    environment = {"FAKE_MINOR": "10", "HOME": f"{checkout.folder}/home"}
    # What pip installs is what makes the .venv, whose Python is recent.
    pip = f"mkdir -p '{uv}'; : >'{uv}/uv'"
    succeed(checkout.setup("--uv", FAKE_PIP=pip, **environment))
    *calls, _, install = checkout.calls()
    assert calls == [into, "-m uv venv --quiet --clear --seed --python=3.12 .venv"]
    assert install == PIP
    succeed(checkout.setup("--uv", **environment))
    assert checkout.calls() == []


def test_setup_asks_uv_for_nothing_where_a_python_is_recent(checkout):
    succeed(checkout.setup("--uv"))
    assert checkout.calls() == [VENV, PIP]


@pytest.mark.parametrize(
    ("pip", "message"),
    [("false", "pip cannot install uv"), ("true", "uv cannot bring Python 3.12")],
)
def test_setup_tells_where_uv_fails(checkout, pip, message):
    failed = checkout.setup("--uv", FAKE_MINOR="10", FAKE_PIP=pip, HOME=str(checkout.folder))
    assert message in one_error_line(failed)


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
