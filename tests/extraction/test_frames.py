"""Triples as a table: every field in its place, also where nothing is."""

import dataclasses
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grel
from grel.errors import MissingLibraryError
from grel.records import Document, Triple

SURE = Triple("Ann Moore", "lives_in", "Oslo", (0, 9), (19, 23), 0.5, 0.75)
BARE = Triple("Oslo", "in", "Norway")
TYPES = ["string"] * 4 + ["Int64"] * 4 + ["Float64"] * 2


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")


def test_a_triple_is_a_row(pandas):
    documents = [Document("a", "x", (SURE, BARE)), Document("b", "y"), Document("c", "z", (SURE,))]
    frame = grel.to_frame(iter(documents))
    assert frame.dtypes.map(str).tolist() == TYPES
    assert frame["id"].tolist() == ["a", "a", "c"]
    first = ["a", "Ann Moore", "lives_in", "Oslo", 0, 9, 19, 23, 0.5, 0.75]
    assert frame.iloc[0].tolist() == first
    assert frame.iloc[1].tolist() == ["a", "Oslo", "in", "Norway"] + [pandas.NA] * 6
    assert frame[frame["score"] > 0.6].empty


@pytest.mark.parametrize("triples", [(), (BARE,)])
def test_columns_and_types_do_not_depend_on_what_is_there(pandas, triples):
    frame = grel.to_frame([Document("a", "x", triples)])
    assert frame.dtypes.map(str).tolist() == TYPES
    assert len(frame) == len(triples)


span = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))
score = st.none() | st.floats(0, 1)
# pandas keeps its strings in UTF-8, as records do.
text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.builds(Triple, text, text, text, span, span, score, score), max_size=3))
def test_nothing_is_lost(triples):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    frame = grel.to_frame([Document("a", "x", tuple(triples))])
    columns = [None if value is pandas.NA else value for row in frame.values for value in row]
    expected = []
    for triple in triples:
        spans = [*(triple.head_span or (None, None)), *(triple.tail_span or (None, None))]
        scores = [triple.score, triple.score_per_token]
        expected += ["a", triple.head, triple.relation, triple.tail, *spans, *scores]
    assert columns == expected
    assert {field.name for field in dataclasses.fields(Triple)} - {"head_spans", "tail_spans"} == {
        *("head", "relation", "tail", "head_span", "tail_span", "score", "score_per_token")
    }


def test_without_pandas_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingLibraryError, match="to_frame needs pandas: pip install pandas"):
        grel.to_frame([])
