"""Limits that could serve nobody are refused before anything is loaded."""

import math

import pytest

from grel.errors import UsageError
from grel.serving.limits import Limits


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"texts": 0}, r"^--max_texts is 0; it must be more than 0$"),
        ({"seconds": -1.0}, "--max_seconds is -1"),
        ({"seconds": math.inf}, "--max_seconds is inf; it must be at most "),
        ({"seconds": 1e300}, r"--max_seconds is 1e\+300; it must be at most "),
        ({"seconds": math.nan}, "--max_seconds is nan"),
        ({"body_bytes": 1 << 25}, "--max_body_bytes is 33,554,432; it must be at most 16,777,216"),
        ({"texts": 9, "waiting": 8}, "--max_texts is 9 and --max_waiting 8: "),
    ],
)
def test_impossible_limits(limits, message):
    with pytest.raises(UsageError, match=message):
        Limits(**limits)


def test_the_usual_ones_are_possible_and_bound_the_memory():
    limits = Limits()
    assert limits.requests * limits.body_bytes <= 1 << 27
    assert limits.waiting * limits.characters <= 1 << 24
