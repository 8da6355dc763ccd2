"""Signals: the first asks, the second ends the process, and ignored ones stay ignored."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from grel.training.signals import STATUS, Stopped, StopRequests

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _nothing_is_ignored():
    """As nohup, or a shell that runs the tests in the background, may have it."""
    usual = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_to_stop(number):
    before = signal.getsignal(number)
    with StopRequests() as requests:
        assert not requests.asked
        os.kill(os.getpid(), number)
        assert requests.asked
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number):
    code = (
        "import os\nfrom grel.training.signals import StopRequests\nwith StopRequests():\n"
        f"    os.kill(os.getpid(), {number:d})\n    print('first', flush=True)\n"
        f"    os.kill(os.getpid(), {number:d})\n    print('second', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "first\n"
    assert done.returncode == -number
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def _begun(code):
    """A process that runs this, once it has said so."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "begun\n"
        yield process


def test_a_second_signal_ends_a_process_that_waits_in_native_code():
    # As in a collective: to lock a mutex twice waits for ever, and no signal interrupts it.
    code = (
        "import ctypes\nfrom grel.training.signals import StopRequests\n"
        "libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "libc.pthread_mutex_init(mutex, None)\nwith StopRequests():\n"
        "    libc.pthread_mutex_lock(mutex)\n    print('begun', flush=True)\n"
        "    libc.pthread_mutex_lock(mutex)\n"
    )
    with _begun(code) as process:
        time.sleep(0.5)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("waits", [False, True])
def test_a_terminal_that_is_closed_may_hang_up_twice(waits):
    """From the shell and from the system; a run that saves because of the first goes on saving."""
    code = (
        "import os, signal, time\nfrom grel.training.signals import StopRequests\n"
        "with StopRequests() as requests:\n    print('begun', flush=True)\n"
        "    while not requests.asked: time.sleep(.01)\n"
        "    time.sleep(1)\n    print('saved', flush=True)\n"
    )
    with _begun(code) as process:
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.1 * waits)
        assert process.stdout.read() == "saved\n"
        assert process.wait(timeout=30) == 0


def test_requests_leave_nothing_behind():
    before = signal.set_wakeup_fd(-1), threading.active_count(), os.listdir("/dev/fd")
    for _ in range(3):
        with StopRequests():
            pass
    after = signal.set_wakeup_fd(before[0]), threading.active_count(), os.listdir("/dev/fd")
    assert after == (-1, *before[1:])


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests() as requests:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not requests.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_status_is_documented():
    assert STATUS == os.EX_TEMPFAIL == 75
    with pytest.raises(SystemExit) as ended:
        raise Stopped
    assert ended.value.code == 75
