"""The watch over a pod, by itself: real processes that hold connections and do nothing else."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from grel.pods import watch

# Reads commands from standard input: a method of the watch and its arguments, or how to end.
_PROCESS = """
import os, sys, time
from grel.pods import watch
watch._GRACE = 1.0
index, count, timeout = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
listener = None
if index == 0:
    listener, invitation = watch.listen()
    print(invitation.to_bytes().decode(), flush=True)
else:
    invitation = watch.Invitation.from_bytes(sys.argv[4].encode())
own = watch.Watch(index, count, timeout, invitation, listener)
print("joined", flush=True)
for line in sys.stdin:
    name, *args = line.split()
    if name == "exit":
        own.failed(int(args[0])) if args else own.done()
        os._exit(int(*args or [0]))
    print(getattr(own, name)(*map(int, args)), flush=True)
time.sleep(100)
"""


class _Pod:
    """Processes that watch over each other."""

    def __init__(self, count=3, timeout=60.0):
        self.processes = []
        args = [str(count), str(timeout)]
        for index in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", _PROCESS, str(index), *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.processes.append(process)
            if index == 0:
                args.append(process.stdout.readline().strip())
        assert [process.stdout.readline() for process in self.processes] == ["joined\n"] * count

    def ask(self, index, command):
        print(command, file=self.processes[index].stdin, flush=True)

    def answer(self, index):
        return self.processes[index].stdout.readline().strip()

    def ends(self, but=()):
        """(exit status, standard error) of all but some."""
        rest = [p for index, p in enumerate(self.processes) if index not in but]
        return [(errors, p.returncode) for p in rest for _, errors in [p.communicate(timeout=20)]]


@pytest.fixture
def pod():
    started = []

    def start(**options):
        started.append(_Pod(**options))
        return started[0]

    yield start
    for process in started[0].processes:
        process.kill()
        process.communicate()


def _told(index, what, status=watch.STATUS):
    """How each of the others has to end: with one line that says what happened to which."""

    def holds(end):
        errors, ended = end
        line = errors.startswith(f"error: process {index} of 3 {what}") and errors.count("\n") == 1
        return line and "start all again" in errors and ended == status

    return holds


@pytest.mark.parametrize("lost", [0, 2])
def test_one_that_is_killed_ends_the_others_at_once(pod, lost):
    group = pod()
    begin = time.monotonic()
    group.processes[lost].kill()
    assert all(map(_told(lost, "ended without a word"), group.ends(but=[lost])))
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("hung", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_that_hangs_ends_the_others_within_the_bound(pod, hung):
    group = pod(timeout=2.0)
    time.sleep(2.5)  # all are alive, so nothing happens
    assert all(process.poll() is None for process in group.processes)
    begin = time.monotonic()
    group.processes[hung].send_signal(signal.SIGSTOP)
    assert all(map(_told(hung, "was silent for 2 s"), group.ends(but=[hung])))
    assert time.monotonic() - begin < 6
    # Should it wake, it ends as well.
    group.processes[hung].send_signal(signal.SIGCONT)
    assert group.processes[hung].wait(timeout=5) == watch.STATUS


@pytest.mark.parametrize("failed", [0, 1])
def test_one_that_fails_ends_the_others_unless_they_fail_by_themselves(pod, failed):
    group = pod()
    group.ask(failed, "exit 1")
    time.sleep(0.2)
    group.ask(2, "exit 2")
    ends = group.ends()
    assert (ends[failed], ends[2]) == (("", 1), ("", 2))
    assert _told(failed, "ended with an error", status=1)(ends[1 - failed])


@pytest.mark.parametrize("failed", [0, 1])
def test_all_end_with_the_status_of_one_that_fails(pod, failed):
    """Whatever it is: whoever starts pods again goes by it, and 69 means that one was lost."""
    assert watch.STATUS == 69
    group = pod()
    group.ask(failed, "exit 2")
    ends = group.ends()
    assert ends.pop(failed) == ("", 2)
    assert all(map(_told(failed, "ended with an error", status=2), ends))


def test_who_ends_because_one_failed_says_so_and_is_not_taken_for_lost():
    """Here the test is the first process, which may end later than those that it tells."""
    listener, invitation = watch.listen()
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, "1", "2", "60", invitation.to_bytes().decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with listener, process:
        (peer,) = watch._gather(listener, invitation, 2)
        peer.send(watch._FAILED, 0, 2)
        said = []
        while not peer.closed:
            said += [kind for kind, *_ in peer.receive()]
        assert said[-1] == watch._DONE
        assert process.wait(timeout=20) == 2


def test_one_that_is_lost_while_another_fails_is_a_loss(pod):
    group = pod()
    group.ask(1, "exit 1")
    time.sleep(0.2)
    group.processes[2].kill()
    first, failed, _ = group.ends()
    assert failed == ("", 1)
    assert _told(2, "ended without a word")(first)


def test_those_that_are_done_may_end_one_by_one(pod):
    group = pod()
    for index in (1, 0, 2):
        group.ask(index, "exit")
        assert group.processes[index].wait(timeout=5) == 0
    assert group.ends() == [("", 0)] * 3


@pytest.mark.parametrize("asked", [0, 1])
def test_all_stop_at_the_first_step_that_none_has_passed(pod, asked):
    group = pod()
    for step in range(1, 8):
        for index, last in enumerate((4, 5, 7)):
            if step <= last:
                group.ask(index, f"agree_to_stop {step} 0")
                assert group.answer(index) == "False"
    group.ask(asked, "agree_to_stop 6 1")
    assert group.answer(asked) == "False"
    for index in range(3):
        for step in (7, 8):
            group.ask(index, f"agree_to_stop {step} 0")
            assert group.answer(index) == str(step == 8)


def test_strangers_are_turned_away():
    listener, invitation = watch.listen()
    with socket.create_connection(("127.0.0.1", invitation.port)) as stranger:
        stranger.sendall(os.urandom(64))
        stranger.shutdown(socket.SHUT_WR)
        other = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, "1", "2", "60", invitation.to_bytes().decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        first = watch.Watch(0, 2, 60, invitation, listener)
        assert other.stdout.readline() == b"joined\n"
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    first.done()
    other.communicate(b"exit\n", timeout=5)
    assert other.returncode == 0


def test_without_a_way_to_the_first_one_line_says_what_to_look_at():
    listener, invitation = watch.listen("name.invalid")
    listener.close()
    with pytest.raises(watch.PodError, match=r"1 reaches process 0 at none of name\.invalid, .*"):
        watch.Watch(1, 2, 60, invitation)
