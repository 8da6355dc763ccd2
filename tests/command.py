"""The command line of grel.main without a new process for each: imports take seconds.

One process runs all command lines one after the other. Its three streams are real files, and its
flags are forgotten in between, so that to the command it looks like a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags

ROOT = Path(__file__).parent.parent

_SERVE = """
import json, os, sys, tempfile, traceback
from tests.command import forget_flags

requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
from grel import main

for line in requests:
    argv, stdin = json.loads(line)
    streams = [tempfile.TemporaryFile() for _ in range(3)]
    streams[0].write(stdin.encode())
    streams[0].seek(0)
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
    sys.argv = ["main.py", *argv]
    try:
        status = main.main()
    except SystemExit as stopped:
        status = stopped.code
    except BaseException:
        traceback.print_exc()
        status = 1
    forget_flags()
    written = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for stream in streams[1:]:
        stream.seek(0)
        written.append(stream.read().decode())
    print(json.dumps([status, *written]), file=replies, flush=True)
"""


def forget_flags():
    """Makes a process ready for another command line, whose flags are the process's."""
    for name in list(flags.FLAGS):
        if name.split(".")[0] == "config":
            delattr(flags.FLAGS, name)
        else:
            flags.FLAGS[name].value = flags.FLAGS[name].default
            flags.FLAGS[name].present = 0
    flags.FLAGS.unparse_flags()


class Done(NamedTuple):
    """What `subprocess.run` tells of a command."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """Runs command lines of grel.main on one device; to be used in a `with` block.

    Args:
        first: what the process does before it.
    """

    def __init__(self, first: str = ""):
        self._first = first

    def __enter__(self):
        env = {
            **os.environ,
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{self._first}\n{_SERVE}"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __call__(self, *argv, stdin="", expect=0) -> Done:
        """What came of a command line, which must end with this status."""
        print(json.dumps([argv, stdin]), file=self._process.stdin, flush=True)
        done = Done(*json.loads(self._process.stdout.readline()))
        assert done.returncode == expect, done.stderr[-2000:]
        return done
