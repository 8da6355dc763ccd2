"""Texts of several clients go to the device together.

A batch takes about as long as its longest text, however many others are in it, so texts that come
in while the device is at work, or within a short window, share the next batch. One thread does all
of the work: a second one beside it would only take the device's memory.
"""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

ItemT = TypeVar("ItemT")
KindT = TypeVar("KindT", bound=Hashable)
FoundT = TypeVar("FoundT")


class Full(Exception):
    """There are as many items waiting as may."""


class Closed(Exception):
    """Nothing is taken on any more."""


class _Waiting(NamedTuple, Generic[ItemT, KindT, FoundT]):
    item: ItemT
    kind: KindT
    future: Future[FoundT]


class Batcher(Generic[ItemT, KindT, FoundT]):
    """Runs items in batches, in a thread of its own; to be used in a `with` block.

    Those of a batch are of one kind. The item that has waited longest decides which, and goes with
    the others of its kind in the order in which they came. An item whose future is cancelled
    before its turn is not run.

    Args:
        run: what becomes of each of some items of one kind. Where it fails for a batch, each item
            of it is run alone, so that no client's item fails by that of another.
        size: items of a batch, at most.
        window: seconds that an item waits for others while the device is idle.
        max_waiting: items that wait, at most.
        observe: is told the size and the seconds of each batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT], KindT], Sequence[FoundT]],
        *,
        size: int,
        window: float,
        max_waiting: int,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ):
        self._run, self._observe = run, observe
        self._size, self._window, self._max_waiting = size, window, max_waiting
        self._waiting: collections.deque[_Waiting[ItemT, KindT, FoundT]] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._last_seconds = 0.0
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    def __enter__(self) -> Batcher[ItemT, KindT, FoundT]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Drops what waits, and returns once the batch that is under way has ended."""
        with self._changed:
            self._closed = True
            for waiting in self._waiting:
                waiting.future.cancel()
            self._changed.notify()
        self._thread.join()

    @property
    def num_waiting(self) -> int:
        """Items that wait for their turn."""
        with self._changed:
            self._drop_cancelled()
            return len(self._waiting)

    @property
    def is_at_work(self) -> bool:
        """Whether items are still run."""
        return self._thread.is_alive() and not self._closed

    def seconds_to_wait(self) -> int:
        """After how many seconds those that wait now should be done, as the last batch went."""
        num_batches = self.num_waiting / self._size + 1
        return max(1, math.ceil(num_batches * self._last_seconds))

    def submit(self, items: Sequence[ItemT], kind: KindT) -> list[Future[FoundT]]:
        """Lets items wait for their turn, all of them or none.

        Raises Full where there is no room for them, Closed after the block.
        """
        with self._changed:
            if self._closed:
                raise Closed
            self._drop_cancelled()
            if len(self._waiting) + len(items) > self._max_waiting:
                raise Full
            added = [_Waiting[ItemT, KindT, FoundT](item, kind, Future()) for item in items]
            self._waiting += added
            self._changed.notify()
        return [waiting.future for waiting in added]

    def _drop_cancelled(self) -> None:
        self._waiting = collections.deque(w for w in self._waiting if not w.future.cancelled())

    def _work(self) -> None:
        while batch := self._next_batch():
            begin = time.monotonic()
            self._run_batch(batch)
            self._last_seconds = time.monotonic() - begin
            self._observe(len(batch), self._last_seconds)

    def _next_batch(self) -> list[_Waiting[ItemT, KindT, FoundT]]:
        """Waits for a batch; an empty one is the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                self._changed.wait_for(lambda: self._closed or self._is_full(), self._window)
                if self._closed:
                    return []
                if batch := self._take():
                    return batch

    def _is_full(self) -> bool:
        """Whether no more would go with the item that has waited longest."""
        kinds = [waiting.kind for waiting in self._waiting]
        return not kinds or kinds.count(kinds[0]) >= self._size

    def _take(self) -> list[_Waiting[ItemT, KindT, FoundT]]:
        self._drop_cancelled()
        batch: list[_Waiting[ItemT, KindT, FoundT]] = []
        left: collections.deque[_Waiting[ItemT, KindT, FoundT]] = collections.deque()
        for waiting in self._waiting:
            if len(batch) == self._size or waiting.kind != self._waiting[0].kind:
                left.append(waiting)
            elif waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
        self._waiting = left
        return batch

    def _run_batch(self, batch: Sequence[_Waiting[ItemT, KindT, FoundT]]) -> None:
        try:
            found = self._run([waiting.item for waiting in batch], batch[0].kind)
            answered = list(zip(batch, found, strict=True))
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for waiting in batch:
                    self._run_batch([waiting])
        else:
            for waiting, one in answered:
                waiting.future.set_result(one)
