"""Standard error of native code: passed on, but for the dump with which JAX ends a pod."""

import subprocess
import sys

import pytest

_NOTE = "E1127 15:19:38.777373   20046 coordination_service_agent.cc:289] Polled an error.\n1\n"
_FATAL = (
    "F1127 15:19:38.777424   20046 client.h:80] Terminating process because the JAX distributed "
    "service detected fatal errors. This most likely. absl::Status: UNAVAILABLE: no answer.\n"
    "Additional GRPC error information\n"
)
_STACK = "*** Check failure stack trace: ***\n    @     0x7f5530420634  absl::SendToLog()\n"


def _stderr(*steps):
    """What is on standard error of a process that does this once the pipe is in place."""
    code = "\n".join(("import os, sys", "from grel.pods import aborts", "aborts.start()", *steps))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stderr, done.returncode


def _native(*messages):
    return [f"os.write(2, {message.encode()!r})" for message in messages]


def test_what_python_and_native_code_write_goes_on():
    written, status = _stderr(
        "print('python', file=sys.stderr)",
        *_native("native\n", "no line end\r", "E1127 15:19:38.777373 1 other.cc:1] also\n"),
        "os.abort()",
    )
    assert sorted(written.splitlines()) == [
        "E1127 15:19:38.777373 1 other.cc:1] also",
        "native",
        "no line end",
        "python",
    ]
    assert status == -6


@pytest.mark.parametrize("at_once", [True, False])
def test_the_dump_becomes_a_line(at_once):
    messages = ["before\n", _NOTE, _FATAL, _STACK]
    written, status = _stderr(
        *_native(*(["".join(messages)] if at_once else messages)), "os.abort()"
    )
    assert status == -6
    before, line = written.splitlines()
    assert before == "before"
    assert line.startswith("error: JAX lost the other processes of the pod (UNAVAILABLE: no answer")
    assert line.endswith("start all again")


def test_the_dump_is_nothing_where_the_process_has_told():
    tells = "aborts.told(); print('error: told', file=sys.stderr)"
    assert _stderr(*_native(_NOTE, _FATAL), tells, *_native(_STACK), "os.abort()") == (
        "error: told\n",
        -6,
    )


def test_logging_goes_past_the_pipe():
    code = (
        "import logging, os, sys\nfrom absl import logging as absl_logging\n"
        "from grel.pods import aborts\nabsl_logging.use_absl_handler()\naborts.start()\n"
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\nlogging.getLogger('grel').warning('here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.endswith("] here\n")
