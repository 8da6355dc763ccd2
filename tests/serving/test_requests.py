"""Whatever a body is, it is a question or refused in one line; of arbitrary JSON and bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.serving.limits import Limits, Refused
from grel.serving.model import Kind
from grel.serving.requests import FIELDS, Question, parse
from tests.fakes import BORN, LIVES
from tests.files.test_parsing import JSON_VALUES
from tests.serving.served import FakeModel

LIMITS = Limits(texts=3, characters=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def _parse(data, model=None):
    return parse(data, LIMITS, model or FakeModel())


@given(
    st.lists(TEXTS, max_size=3),
    st.none() | st.lists(st.sampled_from([LIVES, BORN]), min_size=1),
    st.none() | st.floats(0, 1) | st.sampled_from([0, 1]),
    st.booleans(),
)
def test_a_question_is_read_as_it_was_meant(texts, relations, min_score, trace):
    raw = {"texts": texts, "relations": relations, "min_score": min_score, "trace": trace}
    found = _parse(json.dumps(raw).encode())
    assert [document.text for document in found.documents] == texts
    assert [document.id for document in found.documents] == [str(n) for n in range(len(texts))]
    assert found.kind == Kind(relations and tuple(sorted(set(relations))), trace)
    assert found.min_score == (min_score or 0)


def _question_or_one_line(data):
    try:
        found = _parse(data)
    except Refused as refused:
        found = refused
    if isinstance(found, Refused):
        assert found.status in (400, 413, 422)
        (line,) = found.reason.splitlines()
        assert len(line) < 300
    else:
        assert isinstance(found, Question)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES) | JSON_VALUES)
def test_other_json_is_refused_in_one_line(value):
    _question_or_one_line(json.dumps(value).encode())


@given(st.binary())
def test_other_bytes_are_refused_in_one_line(data):
    _question_or_one_line(data)


def test_without_a_least_score_that_of_the_model_holds():
    model = FakeModel()
    model.min_score = 0.3
    assert _parse(b'{"texts": []}', model).min_score == 0.3
    assert _parse(b'{"texts": [], "min_score": 0}', model).min_score == 0


def test_texts_may_be_as_long_as_they_may():
    assert _parse(json.dumps({"texts": ["\U0001f600" * 20]}).encode())
    with pytest.raises(Refused, match="21 characters; at most 20"):
        _parse(json.dumps({"texts": ["\U0001f600" * 21]}).encode())
