"""One line in place of the dump that JAX aborts with when it loses a process of a pod.

JAX's own watch ends a process from native code, which writes several messages and its stack to
standard error, and nothing in Python can keep it from that. So native code is given a pipe for its
standard error. What comes through goes on to where it belongs, but for those messages: from them a
line is made, unless the process has told already (`grel.pods.watch` does), why it ends.

This file is also the program at the end of the pipe. It must be one of its own: what is left in the
pipe when the process aborts is then still passed on.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys

# How a message of native code begins, and one from the parts of JAX that watch over a pod.
_MESSAGE = re.compile(rb"^(?=[IWEF]\d{4} \d\d:)", re.MULTILINE)
_OF_THE_POD = re.compile(rb"[WEF]\d{4} [^\]]*(coordination|preemption_sync|client\.h:)")
_FATAL = re.compile(rb"F.*JAX distributed service detected fatal errors.*absl::Status: ([^\n]*)")
_TOLD = b"\0"


def start() -> int:
    """Puts the pipe in place; returns a descriptor of the real standard error.

    `sys.stderr` and the handlers of `logging` write there as before, past the pipe.
    """
    real = os.dup(2)
    end_to_read, end_to_write = os.pipe()
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__], stdin=end_to_read, stdout=subprocess.DEVNULL
    )
    os.close(end_to_read)
    os.dup2(end_to_write, 2)
    os.close(end_to_write)
    before = sys.stderr
    sys.stderr = os.fdopen(
        os.dup(real), "w", buffering=1, encoding=before.encoding, errors="backslashreplace"
    )
    for handler in logging.getLogger().handlers:
        handler = getattr(handler, "python_handler", handler)  # absl has one within its own
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(sys.stderr)
    _READERS.append(reader)
    return real


_READERS: list[subprocess.Popen] = []  # kept, as they are not waited for


def told() -> None:
    """Says that this process has told why it ends, so that no line is to be made of an abort."""
    os.write(2, _TOLD)


def _pass_on() -> None:
    """The other end of the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the pipe does
    reason, is_told = None, False
    while data := os.read(0, 1 << 16):
        is_told |= _TOLD in data
        for message in _MESSAGE.split(data.replace(_TOLD, b"")):
            if found := _FATAL.match(message):
                reason = found[1].decode(errors="replace")
            if reason is None and message and not _OF_THE_POD.match(message):
                os.write(2, message)
    if reason is not None and not is_told:
        line = (
            f"error: JAX lost the other processes of the pod ({reason}): look at what they say, "
            "end what is left of them and start all again\n"
        )
        os.write(2, line.encode())


if __name__ == "__main__":
    _pass_on()
