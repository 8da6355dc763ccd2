"""Counts the steps of a run that were skipped, because a loss or gradient was not finite."""

from __future__ import annotations

from typing import Any

from grel import parallel


class Skipped:
    """Of a step its own word is read when the next one is under way, so that no device waits.

    Attributes:
        in_row: how many steps up to `last_step` were skipped one after the other.
        last_step: the last one that is counted.
    """

    def __init__(self):
        self.in_row = 0
        self.last_step = 0
        self._since_taken = 0
        self._pending: tuple[int, Any] | None = None

    def add(self, step: int, skipped: Any) -> None:
        """Takes the metric of a step, as it is on the devices, and counts the one before."""
        self._count()
        self._pending = step, skipped

    def take(self) -> int:
        """How many steps were skipped since this was last asked, waiting for the newest."""
        self._count()
        taken, self._since_taken = self._since_taken, 0
        return taken

    def _count(self) -> None:
        if self._pending is None:
            return
        (self.last_step, skipped), self._pending = self._pending, None
        skipped = int(parallel.unreplicate(skipped))
        self._since_taken += skipped
        self.in_row = self.in_row + 1 if skipped else 0
