"""Sources in batches of like length, against what is asked of them one by one; eight devices."""

import numpy as np
import pytest

from grel import parallel
from grel.decoding.batching import in_batches, pad


@pytest.mark.parametrize("seed", range(20))
def test_every_source_is_run_once_beside_others_of_like_length(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, rng.integers(0, 60)).tolist()
    buckets, batch_size = (4, 6, 10), int(rng.integers(1, 25))
    size = next(rows for rows in (8, 16, 24) if rows >= batch_size)  # of the eight devices
    started, finished = [], []

    def start(places, num_rows, width):
        started.append(places)
        assert len(places) <= num_rows == size
        longest = max(lengths[place] for place in places)
        assert width == min([b for b in buckets if b >= longest], default=buckets[-1])
        return [lengths[place] for place in places]

    def finish(places, given):
        finished.append(places)
        # The next batch is under way.
        assert len(started) == min(len(finished) + 1, -(-len(lengths) // size))
        return given

    assert in_batches(lengths, batch_size, buckets, start, finish) == lengths
    assert finished == started
    assert [lengths[place] for places in started for place in places] == sorted(lengths)


@pytest.mark.parametrize(("num", "num_rows"), [(1, 32), (32, 32), (33, 64), (65, 64)])
def test_a_few_sources_take_a_small_batch(num, num_rows):
    """Of MIN_ROWS on each of the eight devices."""

    def start(places, rows, width):
        assert rows == num_rows
        return places

    same = list(range(num))
    assert in_batches([1] * num, 64, (1,), start, lambda places, given: given) == same


@pytest.mark.parametrize(("batch_size", "num_rows"), [(1, 8), (24, 8), (25, 16), (48, 16)])
def test_a_process_of_several_does_its_share_of_a_batch(monkeypatch, batch_size, num_rows):
    monkeypatch.setattr(parallel, "process", lambda: (1, 3))

    def start(places, rows, width):
        assert rows == num_rows
        return places

    same = list(range(40))
    assert in_batches([1] * 40, batch_size, (1,), start, lambda places, given: given) == same


def test_rows_are_padded_and_cut():
    np.testing.assert_array_equal(pad([[1, 2, 3], []], 3, 2, 9), [[1, 2], [9, 9], [9, 9]])
    padded = pad([np.ones((1, 4)), np.ones((3, 4))], 2, 2)
    assert padded.shape == (2, 2, 4)
    assert padded.sum(axis=(1, 2)).tolist() == [4, 8]
