"""TPU VMs: the commands, and a whole run on pretended workers.

`gcloud` is one here that keeps the state of the request in a file, gives each of two workers a home
folder, and does there what `ssh` and `scp` are asked for; `systemctl` starts the unit's command.
Calls named in a file fail, once for each line.
"""

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.launch.scripts import AWKWARD, REPO, TRAIN, dry_run

WHERE = ["--tpu=pod", "--zone=z"]
KIND = ["--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite"]
QUEUED = "gcloud compute tpus queued-resources"
WORKERS = ("worker0", "worker1")

GCLOUD = r"""#!/usr/bin/env bash
set -eu
[[ "$1 $2 $3" == "compute tpus queued-resources" ]] || exit 99
echo "$4" >>"$FAKE/log"
if [[ -s $FAKE/faults && $(head -n 1 "$FAKE/faults") == "$4" ]]; then
  sed -i 1d "$FAKE/faults"
  exit 1
fi
state=$FAKE/state
workers=(worker0 worker1)
for arg; do [[ $arg == --worker=all ]] || [[ $arg != --worker=* ]] || workers=(worker0); done
case $4 in
  create) echo ACTIVE >"$state"; mkdir -p "$FAKE"/worker{0,1} ;;
  list) [[ ! -e $state ]] || cat "$state" ;;
  delete) rm -r "$state" "$FAKE"/worker{0,1} ;;
  scp)
    for worker in "${workers[@]}"; do
      for arg; do [[ $arg != runs/* ]] || cp "$arg" "$FAKE/$worker/"; done
    done ;;
  ssh)
    for arg; do [[ $arg != --command=* ]] || command=${arg#*=}; done
    status=0
    for worker in "${workers[@]}"; do
      (cd "$FAKE/$worker" && HOME=$PWD bash -c "$command") || status=$?
    done
    exit "$status" ;;
  *) exit 98 ;;
esac
"""

# The unit runs to its end when it is started; $FAKE/endings has a status for each time.
SYSTEMCTL = r"""#!/usr/bin/env bash
set -eu
case $1 in
  restart)
    status=0
    bash -c "$(sed -n 's/^ExecStart=//p' "$HOME/unit")" || status=$?
    echo "$status" >"$HOME/status" ;;
  daemon-reload) [[ -e $HOME/unit ]] || rm -f "$HOME/status" ;;
  show)
    [[ -e $HOME/status ]] || { [[ $3 != --property=ActiveState ]] || echo inactive; exit 0; }
    case $3 in
      --property=ActiveState) [[ $(<"$HOME/status") == 0 ]] && echo inactive || echo failed ;;
      --property=LoadState) echo loaded ;;
      --property=ExecMainStartTimestamp) echo Fri ;;
      --property=ExecMainStatus) cat "$HOME/status" ;;
    esac ;;
esac
"""
SUDO = """#!/usr/bin/env bash
case $1 in
  mv) mv "$2" "$HOME/unit" ;;
  rm) rm -f "$HOME/unit" ;;
  *) "$@" ;;
esac
"""


# In place of waiting; what is never done ends in a failure.
_SOME_WAITS = "echo >>$FAKE/waits; [ $(wc -l <$FAKE/waits) -lt 10 ]"


class Pod:
    """A checkout with a commit, and a cloud of two workers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkout = folder / "checkout"
        shutil.copytree(REPO / "launch", self.checkout / "launch")
        # Set-up leaves a Python that writes down what it is given, and fails where it is to, once.
        python = f"""printf '%s\\0' "$@" >"$HOME/arguments"
echo run >>"$HOME/runs"
exit "$(cat {folder}/status)"
"""
        (self.checkout / "launch/setup.sh").write_text(
            'if rm "$HOME/fault" 2>/dev/null; then exit 1; fi\n'
            f"mkdir -p .venv/bin && cat >.venv/bin/python <<'END'\n#!/bin/sh\n{python}END\n"
            'chmod +x .venv/bin/python\necho "$@" >$HOME/setup\n'
        )
        identity = ["-c", "user.name=a", "-c", "user.email=b"]
        for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "a"]):
            subprocess.run(["git", *arguments], cwd=self.checkout, check=True)
        self.ending(0)
        tools = folder / "bin"
        tools.mkdir()
        texts = {"gcloud": GCLOUD, "systemctl": SYSTEMCTL, "sudo": SUDO}
        texts["sleep"] = f"#!/bin/sh\nexec bash {folder}/meanwhile\n"
        for name, text in texts.items():
            (tools / name).write_text(text)
            (tools / name).chmod(stat.S_IRWXU)
        self.environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
        self.environment |= {"FAKE": str(folder)}

    def ending(self, status: int) -> None:
        """With what status the run is to end from now on."""
        (self.folder / "status").write_text(str(status))

    def failing(self, *calls: str) -> None:
        """Which calls of gcloud are to fail, in the order in which they come."""
        (self.folder / "faults").write_text("".join(f"{call}\n" for call in calls))

    def do(self, *arguments: str, meanwhile: str = "exit 1") -> subprocess.CompletedProcess:
        """Runs the script; `meanwhile` happens in place of each time that it waits."""
        (self.folder / "meanwhile").write_text(meanwhile)
        return subprocess.run(
            ["bash", "launch/tpu_pod.sh", *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def arguments(self, worker: str) -> list[str]:
        """What the run was given."""
        return (self.folder / worker / "arguments").read_text().split("\0")[:-1]


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


def test_create_requests_and_waits():
    create, wait = dry_run("tpu_pod.sh", "create", *WHERE, *KIND, "--spot", "--internal-ips")
    flags = f"--zone=z --node-id=pod {' '.join(KIND)} --spot --internal-ips"
    assert create == f"{QUEUED} create pod {flags}"
    assert shlex.split(wait)[4] == "list"
    create, _ = dry_run("tpu_pod.sh", "create", *WHERE, *KIND, "--reserved", "--slices=2")
    assert create.endswith(f"--zone=z --node-count=2 --node-prefix=pod {' '.join(KIND)} --reserved")


@pytest.mark.parametrize("reach", ["--internal-ip", "--tunnel-through-iap"])
@pytest.mark.parametrize("action", ["start", "logs", "status", "stop"])
def test_every_connection_goes_the_way_that_was_asked_for(action, reach):
    lines = dry_run("tpu_pod.sh", action, *WHERE, "--project=p", reach)
    connections = [line for line in lines if " ssh " in line or " scp " in line]
    assert connections
    assert all(f"--zone=z --project=p {reach} --node=" in line for line in connections)


def test_logs_are_those_of_one_worker():
    [line] = dry_run("tpu_pod.sh", "logs", *WHERE, "--node=1", "--worker=3")
    assert " --node=1 --worker=3 " in line


def test_stop_lets_nothing_start_again_and_delete_asks_nobody():
    [line] = dry_run("tpu_pod.sh", "stop", *WHERE)
    assert line.endswith("--node=all --worker=all '--command=sudo systemctl disable --now grel'")
    assert dry_run("tpu_pod.sh", "delete", *WHERE) == [
        f"{QUEUED} delete pod --zone=z --force --quiet"
    ]


def test_a_run_from_request_to_end(pod):
    assert pod.do("create", *WHERE, *KIND).returncode == 0
    prepare = pod.folder / "mount it"
    prepare.write_text("touch mounted\n")
    started = pod.do("start", *WHERE, f"--prepare={prepare}", *AWKWARD)
    assert started.returncode == 0, started.stderr
    for worker in WORKERS:
        home = pod.folder / worker
        assert (home / "setup").read_text() == "--jax=tpu --uv\n"
        assert pod.arguments(worker) == [
            *("-m", "grel.main", "--mode=train", "--distributed"),
            *AWKWARD,
        ]
        assert (home / "grel" / "mounted").exists()
        unit = (home / "unit").read_text()
        assert "\nRestart=on-failure\n" in unit
        assert "\nRestartPreventExitStatus=2\n" in unit
        assert "\nWantedBy=multi-user.target\n" in unit
    assert pod.do("delete", *WHERE).returncode == 0
    assert not (pod.folder / "worker0").exists()


def test_a_preempted_pod_is_requested_and_started_again(pod):
    """Twice it is gone before the run has ended, once with a request that failed."""
    pod.ending(69)
    script = """
    echo >>$FAKE/waits
    case $(wc -l <$FAKE/waits) in
      3) echo SUSPENDED >$FAKE/state ;;
      5) echo FAILED >$FAKE/state ;;
      6) echo 0 >$FAKE/status ;;
      20) exit 1 ;;
    esac
    """
    # As long as it has not ended well, systemd has it activating.
    systemctl = pod.folder / "bin/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo failed", "echo activating"))
    done = pod.do("watch", *WHERE, *KIND, "--spot", *AWKWARD, meanwhile=script)
    assert done.returncode == 0, done.stderr
    assert pod.arguments("worker1")[4:] == AWKWARD
    calls = (pod.folder / "log").read_text().split()
    assert calls.count("create") == 3
    assert calls.count("delete") == 2
    assert "pod is ACTIVE, its run finished" in done.stderr


def test_watch_ends_with_a_run_that_will_not_start_again(pod):
    pod.ending(2)
    done = pod.do("watch", *WHERE, *KIND, "--config=x", meanwhile="true")
    assert done.returncode == 1
    assert "its run ended with status 2; see" in done.stderr
    assert (pod.folder / "worker0/runs").read_text() == "run\n"


def test_watch_begun_again_leaves_a_run_alone(pod):
    pod.do("create", *WHERE, *KIND)
    pod.do("start", *WHERE, "--config=x")
    assert pod.do("watch", *WHERE, *KIND, "--config=x").returncode == 0
    assert (pod.folder / "worker0/runs").read_text() == "run\n"


def test_watch_outlives_a_cloud_that_does_not_answer(pod):
    gcloud = pod.folder / "bin/gcloud"
    gcloud.rename(pod.folder / "gcloud")
    gcloud.write_text("#!/bin/sh\nexit 1\n")
    gcloud.chmod(stat.S_IRWXU)
    back = f"mv {pod.folder}/gcloud {gcloud} 2>/dev/null || true"
    assert pod.do("watch", *WHERE, *KIND, "--config=x", meanwhile=back).returncode == 0


def test_watch_tries_again_where_a_request_or_its_deletion_failed(pod):
    pod.do("create", *WHERE, *KIND)
    (pod.folder / "state").write_text("FAILED\n")
    pod.failing("delete", "create")
    done = pod.do("watch", *WHERE, *KIND, "--config=x", meanwhile=_SOME_WAITS)
    assert done.returncode == 0, done.stderr
    assert "could not delete pod; trying again\n" in done.stderr
    assert "could not request pod; trying again\n" in done.stderr


def test_watch_tries_again_where_a_copy_to_the_workers_failed(pod):
    """Nor does it go on with what they have from an earlier start."""
    pod.do("create", *WHERE, *KIND)
    old = pod.do("start", *WHERE, "--config=old")
    assert old.returncode == 0, old.stderr
    for worker in WORKERS:
        for name in ("grel", "unit", "status", "runs"):
            shutil.move(pod.folder / worker / name, pod.folder / f"{worker}-{name}")
    pod.failing("scp")
    done = pod.do("watch", *WHERE, *KIND, "--config=new", meanwhile=_SOME_WAITS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("could not start the run; trying again") == 1
    for worker in WORKERS:
        assert pod.arguments(worker)[4:] == ["--config=new"]
        assert (pod.folder / worker / "runs").read_text() == "run\n"


def test_watch_tries_again_where_one_worker_was_not_set_up(pod):
    """The first one runs, and waits for the other."""
    pod.ending(69)
    systemctl = pod.folder / "bin/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo failed", "echo activating"))
    pod.do("create", *WHERE, *KIND)
    (pod.folder / "worker1/fault").touch()
    script = f"echo 0 >$FAKE/status; {_SOME_WAITS}"
    done = pod.do("watch", *WHERE, *KIND, "--config=x", meanwhile=script)
    assert done.returncode == 0, done.stderr
    assert (pod.folder / "worker0/runs").read_text() == "run\nrun\n"
    assert (pod.folder / "worker1/runs").read_text() == "run\n"


def test_watch_takes_no_earlier_run_for_one_that_could_not_be_started(pod):
    pod.do("create", *WHERE, *KIND)
    pod.do("start", *WHERE, "--config=old")
    pod.failing("scp")
    assert pod.do("start", *WHERE, "--config=new").returncode == 1
    assert pod.do("watch", *WHERE, *KIND, "--config=new", meanwhile=_SOME_WAITS).returncode == 0
    assert pod.arguments("worker1")[4:] == ["--config=new"]


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["running", "none"], "none"),
        (["finished", "none"], "none"),
        (["running", "ended with status 1"], "ended with status 1"),
        (["finished", "running"], "finished"),
        (["running", "running"], "running"),
        (["running", "exit 255"], "unreachable"),
        (["finished", "exit 255"], "finished"),
        (["true", "true"], "unreachable"),
    ],
)
def test_the_state_of_a_run_is_that_of_all_workers(pod, words, state):
    pod.do("create", *WHERE, *KIND)
    for worker, word in zip(WORKERS, words, strict=True):
        node = pod.folder / worker / "grel/launch/tpu_node.sh"
        node.parent.mkdir(parents=True)
        node.write_text(word if word in ("exit 255", "true") else f"echo {word}")
    done = pod.do("watch", *WHERE, *KIND, "--config=x")
    assert f"pod is ACTIVE, its run {state}\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tpu=pod"], "the first argument is '--tpu=pod'; it must be create, start"),
        (["start", "--tpu=pod"], "--tpu=NAME and --zone=ZONE"),
        (["create", *WHERE, *KIND[:1]], "--runtime-version=... is missing"),
        (["create", *WHERE, *KIND, "--slices=two"], "--slices=two: it must be a number"),
        (["start", *WHERE, "--prepare=none"], "--prepare=none: there is no such file"),
        (["stop", *WHERE, "--now"], "unknown argument --now"),
        (["status", *WHERE, "--worker=1"], "--worker=1: logs are those of one worker, but status"),
        (["delete", *WHERE, "--node=1"], "--node=1: logs are those of one worker, but delete"),
        (["start", *WHERE, "--worker=1"], "--worker=1: logs are those of one worker, but start"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments, message):
    command = ["bash", "launch/tpu_pod.sh", *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tpu_pod: error: {message}")
    assert done.stderr.count("\n") == 1


def test_a_worker_shows_what_it_would_do(tmp_path):
    (tmp_path / "grel").mkdir()
    shutil.copytree(REPO / "launch", tmp_path / "grel/launch")
    (tmp_path / "grel.args").write_text("".join(f"{argument}\0" for argument in AWKWARD))
    command = ["bash", tmp_path / "grel/launch/tpu_node.sh", "--dry_run"]
    start, run = (
        subprocess.run([*command, action], capture_output=True, text=True, check=True).stdout
        for action in ("start", "run")
    )
    assert start.startswith("bash launch/setup.sh --jax=tpu --uv\n[Unit]\n")
    assert f'ExecStart="/bin/bash" "{tmp_path}/grel/launch/tpu_node.sh" run\n' in start
    assert start.endswith("sudo systemctl restart grel\n")
    assert shlex.split(run) == [*shlex.split(TRAIN), "--distributed", *AWKWARD]
