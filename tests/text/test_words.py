"""The word-level tokenizer: ids, numbers of unknown words, characters, places of names."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grel.text.wordpiece import VocabularyError
from grel.text.words import EOS, PAD, PART_END, SOS, TRIPLE_END, UNK, WORD_LENGTH, Words, word_span

RELATIONS = ("/people/person/place_lived", "/location/location/contains")
TEXTS = ("Ann lives in Ulm", "Ann lives in Rome ; Bo lives", "in \u200b Rome")


@pytest.fixture(scope="module")
def words():
    """Two numbers for unknown words; `in` and `lives` three times, `Ann` and `Rome` twice."""
    return Words.train(TEXTS, RELATIONS, num_unknown=2)


def test_ids_are_reserved_then_numbers_then_relations_then_words(words):
    assert words.vocabulary == (
        *("[PAD]", "[UNK]", "[SOS]", "[EOS]", ";", "|", "[UNK]", "[UNK]"),
        *sorted(RELATIONS),
        *("in", "lives", "Ann", "Rome"),
    )
    assert words.words == words.vocabulary[words.first_word_id :]
    special = words.pad_id, words.unk_id, words.sos_id, words.eos_id
    assert special == (PAD, UNK, SOS, EOS) == (0, 1, 2, 3)
    assert (words.part_end_id, words.triple_end_id) == (PART_END, TRIPLE_END) == (4, 5)
    assert words.unknown_ids == (6, 7, UNK)
    assert words.relation_ids == {RELATIONS[1]: (8,), RELATIONS[0]: (9,)}
    assert words.relation([9]) == RELATIONS[0]
    assert words.relation([9, 9]) is words.relation([10]) is None
    assert (words.form.part_end, words.form.triple_end) == (4, 5)


def test_words_are_learned_where_they_are_frequent_and_characters_always():
    learned = Words.train(TEXTS, RELATIONS, min_count=3)
    assert learned.words == ("in", "lives")
    assert set(learned.chars) == set("".join(TEXTS)) - {" ", "\u200b"}
    assert Words.train(TEXTS, RELATIONS, min_count=1).words == (
        *("in", "lives", "Ann", "Rome", ";", "Bo", "Ulm"),
    )
    assert Words.train([], []).words == ()


def test_unknown_words_are_numbered_in_each_text(words):
    lives, rome = words.first_word_id + 1, words.first_word_id + 3
    text = "Eva lives Rome Oslo Eva Lima Oslo"
    assert words.encode(text).ids == [6, lives, rome, 7, 6, UNK, 7]
    assert [e.ids for e in words.encode_batch(["Oslo Eva", "Eva"])] == [[6, 7], [6]]
    assert words.encode_name("Oslo", text).ids == [7]
    assert words.encode_name("Cairo", "Eva lives").ids == [7]
    assert words.encode_name("Cairo", text).ids == [UNK]
    assert words.holds_unknown([7])
    assert words.holds_unknown([lives, UNK])
    assert not words.holds_unknown([lives, rome])


def test_without_numbers_all_unknown_words_are_one():
    words = Words.train(TEXTS, RELATIONS, num_unknown=0)
    assert words.unknown_ids == (UNK,)
    assert words.encode("Eva Oslo Eva").ids == [UNK] * 3


def test_canonically_equal_words_are_one_word():
    words = Words.train(["Jos\u00e9 Jose\u0301"], RELATIONS)
    assert words.words == ("Jos\u00e9",)
    encoding = words.encode("x Jose\u0301")
    assert encoding.ids[1] == words.first_word_id
    assert encoding.offsets == [(0, 1), (2, 7)]
    assert np.count_nonzero(encoding.chars[1]) == 4


_TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \t\u200b")))


@given(_TEXT)
@example("[PAD] [UNK] ; | [SOS] /people/person/place_lived")
@example(" a\u200bb \n")
def test_offsets_spell_the_words_and_no_text_yields_a_reserved_id(words, text):
    ids, offsets, chars, *_ = words.encode(text)
    assert [text[a:b] for a, b in offsets] == text.replace("\u200b", " ").split()
    assert len(ids) == len(chars)
    assert not set(ids) & {PAD, SOS, EOS, PART_END, TRIPLE_END, 8, 9}


def test_characters_are_cut_and_padded(words):
    ids = {char: n for n, char in enumerate(words.chars, start=2)}
    chars = words.encode("Rome Xi " + "n" * 12).chars
    assert chars.shape == (3, WORD_LENGTH)
    assert chars[0].tolist() == [*(ids[c] for c in "Rome"), *[0] * 6]
    assert chars[1].tolist() == [UNK, ids["i"], *[0] * 8]
    assert chars[2].tolist() == [ids["n"]] * WORD_LENGTH
    assert words.encode("").chars.shape == (0, WORD_LENGTH)
    assert words.num_chars == 2 + len(words.chars)


def test_decode_looks_up_what_the_vocabulary_lacks(words):
    source = words.encode("Ada in Ulm Lima")
    first = words.first_word_id
    # The example of the docstring.
    assert words.decode([7, first], source) == "Ulm in"
    assert words.decode([UNK], source, [0]) == "Ada"
    assert words.decode([UNK, first, UNK, 6], source, [3, 0, -1, 2]) == "Lima in [UNK] Ada"
    assert words.decode([9, 4, 6, UNK]) == "/people/person/place_lived ; [UNK] [UNK]"
    assert words.decode([7], words.encode("Ada")) == "[UNK]"


@given(st.lists(st.sampled_from(["in", "Rome", *"abcd"]), max_size=9), st.data())
def test_a_part_is_numbered_as_a_text_of_its_own(words, chosen, data):
    start = data.draw(st.integers(0, len(chosen)))
    stop = data.draw(st.integers(start, len(chosen)))
    part = words.encode(" ".join(chosen)).part(slice(start, stop))
    alone = words.encode(" ".join(chosen[start:stop]))
    assert (part.ids, part.words) == (alone.ids, alone.words)
    assert part.chars.tolist() == alone.chars.tolist()
    assert words.decode(part.ids, part, range(len(part.ids))) == " ".join(part.words)


def test_json_brings_the_same_tokenizer(words):
    again = Words.from_json(words.to_json())
    assert again.vocabulary == words.vocabulary
    assert again.fingerprint == words.fingerprint
    assert again.encode("Ann Eva Bo").ids == words.encode("Ann Eva Bo").ids
    others = [
        Words(words.words[:-1], words.chars, words.relations, num_unknown=2),
        Words(words.words, words.chars[:-1], words.relations, num_unknown=2),
        Words(words.words, words.chars, words.relations[:-1], num_unknown=2),
        Words(words.words, words.chars, words.relations, num_unknown=3),
    ]
    assert len({words.fingerprint, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ["a", "a"]}, "a word twice"),
        ({"words": ["a b"]}, "'a b' in the vocabulary is not one word"),
        ({"words": [""]}, "is not one word"),
        ({"words": ["e\u0301"]}, "is not one word"),
        ({"words": [3]}, "3 in the vocabulary is not one word"),
        ({"chars": "aba"}, "each of them once"),
        ({"chars": ["a"]}, "must be a text"),
        ({"relations": [""]}, "'' is not the name of a relation"),
        ({"num_unknown": -1}, "num_unknown is -1"),
        ({"num_unknown": True}, "num_unknown is True"),
    ],
)
def test_what_training_would_not_have_made_is_refused(words, change, message):
    stored = json.loads(words.to_json()) | change
    with pytest.raises(VocabularyError, match=message):
        Words.from_json(json.dumps(stored))


def test_fields_that_are_not_known_are_refused(words):
    with pytest.raises(TypeError):
        Words.from_json(json.dumps({**json.loads(words.to_json()), "lowercase": True}))


@pytest.mark.parametrize(
    ("name", "text", "span", "expected"),
    [
        ("York", "New York , York", None, (1, 2)),
        ("York", "New York , York", (11, 15), (3, 4)),
        ("New York", "in  New\u00a0York", None, (1, 3)),
        ("New York", "New Rome New York", None, (2, 4)),
        # A span inside a word, over a word's part, or backwards decides nothing.
        ("York", "Yorkers York", (0, 4), (1, 2)),
        ("York", "York-based York", (5, 15), (1, 2)),
        ("York", "York York", (5, 4), (0, 1)),
        ("Jose\u0301", "x Jos\u00e9", None, (1, 2)),
        ("York", "Yorkers", None, None),
        ("York", "", None, None),
        ("", "York", None, None),
    ],
)
def test_where_a_name_stands(words, name, text, span, expected):
    assert word_span(name, text, words.encode(text).offsets, span) == expected
