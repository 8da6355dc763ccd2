"""Skipped steps are counted one step late, in a row and since they were last logged."""

import numpy as np

from grel import parallel
from grel.training.skipped import Skipped


def test_counts():
    skipped = Skipped()
    seen = []
    for step, value in enumerate([0, 1, 1, 0, 1], start=1):
        skipped.add(step, parallel.replicate(np.int32(value)))
        seen.append((skipped.last_step, skipped.in_row))
    assert seen == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 0)]
    assert skipped.take() == 3
    assert (skipped.last_step, skipped.in_row) == (5, 1)
    assert skipped.take() == 0
