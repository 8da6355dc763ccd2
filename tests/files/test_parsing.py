"""Strict JSON: what it allows is parsed as ever, and what it does not is told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.files.faults import Fault
from grel.files.parsing import MAX_LINE_BYTES, member, parse_object

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab[]{},\n"), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES))
def test_what_json_allows_is_parsed_as_json_does(value):
    for ascii_only in (False, True):
        assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "blank"),
        (b" \t", "blank"),
        (b"[1]", "must be an object, not [1]"),
        (b"null", "must be an object, not None"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes at column 2; it ends"),
        (
            b'{"a": 1',
            "Expecting ',' delimiter at column 8; it ends too early: here a record is one line",
        ),
        (b'{"a": nil}', "not JSON: Expecting value at column 7"),
        (b"{} {}", "not JSON: Extra data at column 4"),
        (b'{"a": "\t"}', "not JSON"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 0xe9 at byte 8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}', "key 'c' stands more than once"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": "\\ud83d"}', "surrogate"),
        (b'{"a": "\\uDFFF"}', "surrogate"),
        (b'{"\\uDE00\\uD83D": 1}', "surrogate"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "an integer of 5000 digits"),
        (b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}', f"longer than {MAX_LINE_BYTES:,} bytes"),
    ],
)
def test_faults_of_json(data, reason):
    with pytest.raises(Fault) as info:
        parse_object(data)
    assert reason in str(info.value)


def test_a_key_that_stands_twice_is_found_in_one_pass():
    """To look for each of these keys among all others would take many minutes."""
    keys = [*range(200_000), 199_999]
    data = "{" + ",".join(f'"{key}":0' for key in keys) + "}"
    with pytest.raises(Fault, match="key '199999' stands more than once"):
        parse_object(data.encode())


def test_a_line_may_have_the_full_length():
    data = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 8) + b'"}'
    assert len(parse_object(data)["a"]) == MAX_LINE_BYTES - 8


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        ({}, ""),
        ({"a": [], "b": [1]}, "; there are ['a', 'b']"),
        ({"a": [], "b": [{"c": 1}]}, "; there are ['a', 'b']"),
        ({"b": {"x": 1}}, "; there are ['b']"),
        ({"a": 1, "b": [{"x": 1}, {}]}, "; 'b' is a list of records with it: let the file be that"),
    ],
)
def test_a_field_that_is_missing_is_told_with_what_is_there(record, hint):
    with pytest.raises(Fault) as info:
        member(record, "x", int)
    assert str(info.value).startswith(f"field 'x' is missing{hint}")
    assert hint or str(info.value).endswith("missing")
