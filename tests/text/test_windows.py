"""Windows: where sentences end, and that every wordpiece is in a window that is not too long."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.text.windows import sentence_ends, windows


def _sentences(text):
    cuts = [0, *sentence_ends(text), len(text)]
    return [text[i:j].strip() for i, j in itertools.pairwise(cuts)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["He left.", "Why?", "At 3.30 p.m. she did"],
        ["Ann Moore lives in Oslo .", "Bo does not ."],
        ["“Stop!”", "(She did.)", "…", "And so on ..."],
        ["Cats, e.g. lions, roar.", "7 do not."],
        ["В Осло.", "Да!", "Нет"],
        ["他来了。", "她走了！", "「好。」", "是"],
        ["वह आया।", "वह गई।", "हाँ"],
        ["متى؟", "غدا."],
        ["A heading", "and a paragraph"],
        ["no end at all"],
    ],
)
def test_sentences_of_many_scripts(sentences):
    space = "" if "。" in sentences[0] else " " if "heading" not in sentences[0] else "\n \n"
    assert _sentences(space.join(sentences)) == sentences


def test_a_line_break_is_no_end_but_an_empty_line_is():
    assert _sentences("over two\nLines.\n\nand more") == ["over two\nLines.", "and more"]


def test_docstring_examples():
    assert sentence_ends("He left. Why? At 3.30 p.m. she did") == [8, 13]
    assert _windows("A b c d. A b. A b c d e. A b c.", 8) == [
        slice(0, 6),
        slice(4, 11),
        slice(11, 14),
    ]


@pytest.mark.parametrize("text", ["", ".", " . ", "。。", "\n\n", ". ? ! ", "!" * 9])
def test_no_sentence_is_empty(text):
    assert [end for end in sentence_ends(text) if not 0 < end < len(text)] == []


@pytest.mark.parametrize("unit", [".", "。", ". ", "\n ", ".)", " ", ".\n"])
def test_time_grows_with_the_length_only(unit):
    """A pattern that tries again from every place would take hours here."""
    sentence_ends(unit * 200_000)


def _offsets(text):
    return [match.span() for match in re.finditer(r"\w|[^\w\s]+", text)]


def _windows(text, limit):
    return windows(text, [m.span() for m in re.finditer(r"\w\.?", text)], limit)


def test_a_text_that_fits_is_one_window():
    text = "A b. C d."
    for limit in (4, 5, 100):
        assert _windows(text, limit) == [slice(0, 4)]
    assert _windows("", 4) == [slice(0, 0)]


def test_sentences_stay_whole_where_they_fit():
    assert _windows("A b c. D e f. G h i. J k l.", 7) == [slice(0, 6), slice(6, 12)]


def test_an_overlong_sentence_is_cut_at_spaces():
    """Into pieces of a quarter of the window, the last of which the next window repeats."""
    text = "ab cde fg hij klm"
    offsets = [m.span() for m in re.finditer(r"\w", text)]
    cut = windows(text, offsets, 12)
    assert [text[offsets[w.start][0] : offsets[w.stop - 1][1]] for w in cut] == [
        "ab cde fg hij",
        "hij klm",
    ]


def test_an_overlong_sentence_without_spaces_is_cut_anywhere():
    offsets = [(i, i + 1) for i in range(20)]
    assert windows("x" * 20, offsets, 12) == [slice(0, 12), slice(9, 20)]


TEXTS = st.text("ab. A!\n。", max_size=60)


@given(TEXTS, st.integers(1, 12))
def test_windows_cover_everything_in_order(text, limit):
    offsets = _offsets(text)
    found = windows(text, offsets, limit)
    assert all(w.start < w.stop <= w.start + limit for w in found) or not offsets
    assert {i for w in found for i in range(w.start, w.stop)} == set(range(len(offsets)))
    for before, after in itertools.pairwise(found):
        assert before.start < after.start <= before.stop < after.stop
        assert before.stop - after.start <= limit // 4


@given(TEXTS, st.integers(1, 12))
def test_a_sentence_that_fits_is_whole_in_some_window(text, limit):
    offsets = _offsets(text)
    found = windows(text, offsets, limit)
    cuts = [0, *sentence_ends(text), len(text)]
    for start, end in itertools.pairwise(cuts):
        inside = [i for i, (begin, _) in enumerate(offsets) if start <= begin < end]
        if len(inside) <= limit:
            assert any(set(inside) <= set(range(w.start, w.stop)) for w in found)


def test_a_window_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="window of 0"):
        _windows("a b", 0)
