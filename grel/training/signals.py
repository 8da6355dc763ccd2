"""Signals that ask a run to stop, and the exit status of one that did.

Clusters send SIGTERM before they take a machine away, a terminal SIGINT for Ctrl-C and SIGHUP when
it is closed. A run that was asked saves and ends with a status of its own, so that no script takes
it for one that finished: 75, which sysexits.h calls EX_TEMPFAIL, "try again later".
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

STATUS = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(SystemExit):
    """A run that was asked to stop has saved; ends the process with `STATUS` if not caught."""

    def __init__(self):
        super().__init__(STATUS)


class StopRequests:
    """Notes signals instead of dying of them, within a `with` block in the main thread.

    The first one asks, and a second one ends the process at once: but for SIGHUP, which comes twice
    where a terminal is closed, from the shell and from the system. Signals that the process was
    started to ignore, as by nohup, stay ignored.

    Python runs no handler while the main thread waits in native code, as for the other processes of
    a pod that may never come. So a thread counts what comes as well, and ends the process at the
    second with the status that a shell gives for a death by that signal.

    Attributes:
        asked: whether one came; see `parallel.agree_to_stop` for what a pod makes of it.
    """

    def __enter__(self) -> StopRequests:
        self.asked = False
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._before = {n: handler for n, handler in before.items() if handler != signal.SIG_IGN}
        reads, self._writes = os.pipe()
        os.set_blocking(self._writes, False)
        self._count = threading.Thread(target=self._counts, args=(reads,), daemon=True)
        self._count.start()
        self._woken_before = signal.set_wakeup_fd(self._writes)
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken_before)
        os.close(self._writes)
        self._count.join()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        for noted in self._before:
            signal.signal(noted, signal.SIG_IGN if noted == signal.SIGHUP else signal.SIG_DFL)
        self.asked = True

    def _counts(self, reads: int) -> None:
        """Reads the number of each signal that comes, a byte, until the other end is closed."""
        asked = False
        with os.fdopen(reads, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if asked and number[0] in self._before and number[0] != signal.SIGHUP:
                    os._exit(128 + number[0])
                asked |= number[0] in self._before
