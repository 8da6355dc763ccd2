"""Signals that ask a run to stop, and the exit status of one that did.

Clusters send SIGTERM before they take a machine away, a terminal SIGINT for Ctrl-C and SIGHUP when
it is closed. A run that was asked saves and ends with a status of its own, so that no script takes
it for one that finished: 75, which sysexits.h calls EX_TEMPFAIL, "try again later".
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

from grel import parallel

STATUS = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(SystemExit):
    """A run that was asked to stop has saved; ends the process with `STATUS` if not caught."""

    def __init__(self):
        super().__init__(STATUS)


class StopRequests:
    """Notes signals instead of dying of them, within a `with` block in the main thread.

    The first one asks, and a second one ends the process at once. Signals that the process was
    started to ignore, as by nohup, stay ignored. In a pod SIGTERM is left to JAX, through which the
    processes agree on a step to stop at, and the others are passed on as SIGTERM.

    Attributes:
        asked: whether one came.
    """

    def __enter__(self) -> StopRequests:
        self.asked = False
        self._in_pod = parallel.process()[1] > 1
        noted = [s for s in _SIGNALS if not (self._in_pod and s == signal.SIGTERM)]
        before = {number: signal.getsignal(number) for number in noted}
        self._before = {n: handler for n, handler in before.items() if handler != signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        for noted in self._before:
            signal.signal(noted, signal.SIG_DFL)
        if self._in_pod:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.asked = True
