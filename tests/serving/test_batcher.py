"""Batches of what waits: order, kinds, room, failures and the end; no test waits for a clock."""

import contextlib
import threading
from concurrent.futures import CancelledError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grel.serving.batcher import Batcher, Closed, Full

FOREVER = 1e6
FIRST = object()


class Run:
    """Remembers its batches, and does not end that of `FIRST` before it is let go."""

    def __init__(self):
        self.batches = []
        self.has_first = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, items, kind):
        if FIRST in items:
            self.has_first.set()
            self.go_on.wait()
        else:
            self.batches.append((kind, list(items)))
        return [(item, kind) for item in items]


@contextlib.contextmanager
def at_work(run, **options):
    """A batcher that is at work with `FIRST`, so that all else waits until `run.go_on` is set."""
    options = {"size": 3, "window": 0.0, "max_waiting": 100, **options}
    try:
        with Batcher(run, **options) as batcher:
            batcher.submit([FIRST], "first")
            run.has_first.wait()
            yield batcher
            run.go_on.set()
    finally:
        run.go_on.set()


def _reference(items, size):
    """One batch after the other, to the letter."""
    left = list(items)
    while left:
        kind = left[0][1]
        chosen = [item for item in left if item[1] == kind][:size]
        left = [item for item in left if item not in chosen]
        yield kind, [item for item, _ in chosen]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=8), st.integers(1, 4))
def test_what_waits_goes_together_by_kind_and_in_order(requests, size):
    run = Run()
    submitted, futures = [], []
    with at_work(run, size=size) as batcher:
        for kind, number in requests:
            items = [len(submitted) + n for n in range(number)]
            submitted += [(item, kind) for item in items]
            futures += batcher.submit(items, kind)
        run.go_on.set()
        assert [future.result() for future in futures] == submitted
    assert run.batches == list(_reference(submitted, size))


def test_a_full_batch_does_not_wait_for_the_window_and_the_end_does_neither():
    run = Run()
    with Batcher(run, size=2, window=FOREVER, max_waiting=9) as batcher:
        (lonely,) = batcher.submit([1], "a")
        (other,) = batcher.submit([2], "a")
        assert (lonely.result(), other.result()) == ((1, "a"), (2, "a"))
        (left,) = batcher.submit([3], "a")
    assert run.batches == [("a", [1, 2])]
    with pytest.raises(CancelledError):
        left.result()
    with pytest.raises(Closed):
        batcher.submit([4], "a")
    assert not batcher.is_at_work


def test_there_is_room_for_all_items_or_for_none():
    run = Run()
    with at_work(run, max_waiting=3) as batcher:
        first = batcher.submit([1, 2], "a")
        with pytest.raises(Full):
            batcher.submit([3, 4], "a")
        assert batcher.num_waiting == 2
        assert first[0].cancel()
        # What is cancelled takes no room, and is not run.
        second = batcher.submit([5, 6], "a")
        with pytest.raises(Full):
            batcher.submit([7], "a")
        run.go_on.set()
        assert [future.result()[0] for future in (first[1], *second)] == [2, 5, 6]
    assert run.batches == [("a", [2, 5, 6])]


def test_all_may_be_cancelled_before_their_turn():
    run = Run()
    with at_work(run) as batcher:
        for future in batcher.submit([1, 2, 3], "a"):
            future.cancel()
        run.go_on.set()
        (last,) = batcher.submit([4], "b")
        assert last.result() == (4, "b")
    assert run.batches == [("b", [4])]


def test_an_item_fails_alone():
    def run(items, kind):
        return [1 / item for item in items]

    with Batcher(run, size=3, window=FOREVER, max_waiting=9) as batcher:
        half, fault, fourth = batcher.submit([2, 0, 4], None)
        assert (half.result(), fourth.result()) == (0.5, 0.25)
        with pytest.raises(ZeroDivisionError):
            fault.result()
        assert batcher.is_at_work


def test_results_for_fewer_items_are_a_failure():
    with Batcher(lambda items, kind: [], size=1, window=0.0, max_waiting=9) as batcher:
        (future,) = batcher.submit([1], None)
        with pytest.raises(ValueError, match="zip"):
            future.result()
        assert batcher.is_at_work


def test_threads_get_what_is_theirs_and_nothing_is_lost():
    sizes = []

    def run(items, kind):
        return [item * 2 for item in items]

    def client(number):
        for n in range(30):
            items = [number * 1000 + n * 10 + m for m in range(n % 4)]
            futures = batcher.submit(items, n % 2)
            found[number] += [future.result() for future in futures]
            expected[number] += [item * 2 for item in items]

    found, expected = [[] for _ in range(8)], [[] for _ in range(8)]
    with Batcher(
        run,
        size=4,
        window=0.0,
        max_waiting=100,
        observe=lambda size, seconds: sizes.append(size),
    ) as batcher:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == expected
    assert sum(sizes) == sum(map(len, expected))
    assert max(sizes) <= 4


def test_the_longer_the_queue_the_later_to_come_again():
    run = Run()
    with at_work(run, size=2) as batcher:
        batcher._last_seconds = 3.0
        assert batcher.seconds_to_wait() == 3
        batcher.submit([1, 2, 3], "a")
        assert batcher.seconds_to_wait() == 8
        batcher._last_seconds = 0.0
        assert batcher.seconds_to_wait() == 1
