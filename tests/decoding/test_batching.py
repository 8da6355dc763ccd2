"""Sources in batches of like length, against what is asked of them one by one."""

import numpy as np
import pytest

from grel.decoding.batching import in_batches, pad


@pytest.mark.parametrize("seed", range(20))
def test_every_source_is_run_once_beside_others_of_like_length(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, rng.integers(0, 9)).tolist()
    buckets, batch_size = (4, 6, 10), int(rng.integers(1, 4))
    started = []

    def start(places, width):
        started.append(places)
        longest = max(lengths[place] for place in places)
        assert width == min([b for b in buckets if b >= longest], default=buckets[-1])
        return [lengths[place] for place in places]

    found = {}
    for number, (places, lengths_found) in enumerate(
        in_batches(lengths, batch_size, buckets, start, lambda places, given: given)
    ):
        # The next batch is under way.
        assert len(started) == min(number + 2, -(-len(lengths) // batch_size))
        assert len(places) <= batch_size
        found |= dict(zip(places, lengths_found, strict=True))
    assert found == dict(enumerate(lengths))
    assert [lengths[place] for places in started for place in places] == sorted(lengths)


def test_rows_are_padded_and_cut():
    np.testing.assert_array_equal(pad([[1, 2, 3], []], 3, 2, 9), [[1, 2], [9, 9], [9, 9]])
    padded = pad([np.ones((1, 4)), np.ones((3, 4))], 2, 2)
    assert padded.shape == (2, 2, 4)
    assert padded.sum(axis=(1, 2)).tolist() == [4, 8]
