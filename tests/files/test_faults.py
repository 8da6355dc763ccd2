"""What stands in messages."""

from hypothesis import example, given

from grel.files.faults import quote
from tests.files.test_parsing import JSON_VALUES


@given(JSON_VALUES)
@example("x" * 10_000)
@example([[["x" * 100] * 9] * 9, {"y" * 100: "z" * 100}])
def test_quotes_are_short_and_on_one_line(value):
    assert len(quote(value)) <= 120
    assert quote(value).isprintable()
