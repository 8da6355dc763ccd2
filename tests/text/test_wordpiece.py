"""Reserved ids that no text yields, offsets, relations, and vocabularies from files and texts."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from grel.names import plain
from grel.text.linearize import RelationError
from grel.text.wordpiece import (
    NUM_UNKNOWN,
    SPECIAL,
    VocabularyError,
    Wordpiece,
    read_vocabulary,
    train_vocabulary,
)

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
UNILM = SHARED / "unilm-cased" / "unilm-base-cased-vocab.txt"
needs_unilm = pytest.mark.skipif(
    not UNILM.is_file(), reason="the vocabulary of ../shared/data is not here"
)

_CHARS = "".join(map(chr, range(33, 127))) + "éßØл中"
# The slots are neither at the beginning nor in the order of their numbers.
VOCABULARY = (
    *("[PAD]", "[unused7]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "capital", "##s"),
    *("[unused3]", "of", "un", "##used", "MA", "##SK", "SE", "##P", "[unused5]"),
    *_CHARS,
    *(f"##{c}" for c in _CHARS if c.isalnum() and c != "s" and c != "P"),
)
RELATIONS = ("/location/country/capital", "/location/us_state/capital", "/people/person/children")


@pytest.fixture(scope="module")
def wordpiece():
    return Wordpiece(VOCABULARY, RELATIONS)


def _pieces(wordpiece, text):
    return [wordpiece.vocabulary[i] for i in wordpiece.encode(text).ids]


def test_ids_have_names(wordpiece):
    assert wordpiece.vocabulary == VOCABULARY
    ids = ("pad_id", "unk_id", "cls_id", "sep_id", "mask_id", "part_end_id", "triple_end_id")
    tokens = [VOCABULARY[getattr(wordpiece, name)] for name in ids]
    assert tokens == [*SPECIAL, "[unused7]", "[unused3]"]
    excluded = [VOCABULARY[i] for i in wordpiece.excluded_ids]
    assert excluded == ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[unused7]", "[unused3]"]


_RESERVED = st.sampled_from(
    [*SPECIAL, "[unused3]", "[unused7]", "[unused0]", ";", "|", " ; ", " | ", "##", "[", "]"]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(st.text(max_size=6), _RESERVED), max_size=6).map("".join))
@example("[SEP] [MASK][unused3] a[PAD]b;|[CLS] [unused7] [UNK]")
def test_no_text_yields_a_reserved_id(wordpiece, text):
    reserved = {i for i, token in enumerate(VOCABULARY) if re.fullmatch(r"\[\w+\]", token)}
    assert len(reserved) == 8
    assert not (reserved - {*wordpiece.unknown_ids}) & set(wordpiece.encode(text).ids)


def test_a_special_token_in_a_text_is_text(wordpiece):
    text = "[SEP];[MASK] | [UNK]"
    expected = "[ SE ##P ] ; [ MA ##SK ] | [ U ##N ##K ]"
    assert " ".join(_pieces(wordpiece, text)) == expected


@settings(deadline=None, max_examples=400)
@given(st.text(st.one_of(st.characters(exclude_categories=["C"]), st.sampled_from(_CHARS))))
@example("the United capitals, 中é中  \u3000 Øß")
def test_offsets_spell_the_pieces(wordpiece, text):
    ids, offsets = wordpiece.encode(text)[:2]
    assert len(ids) == len(offsets)
    end = 0
    for i, span in zip(ids, offsets, strict=True):
        assert end <= span[0] < span[1] <= len(text)
        assert not text[end : span[0]].strip()
        end = span[1]
        if i not in wordpiece.unknown_ids:
            assert text[slice(*span)] == wordpiece.vocabulary[i].removeprefix("##")
    assert not text[end:].strip()


@settings(deadline=None, max_examples=400)
@given(st.booleans(), st.lists(st.one_of(st.text(), _RESERVED)).map("".join))
@example(True, "[SEP] 中É\u0301 [unused3]a\x00b\t" + 101 * "c")
def test_pieces_are_those_of_transformers(lowercase, text):
    ids = {token: i for i, token in enumerate(VOCABULARY)}
    reference = BertTokenizer(vocab=ids, do_lower_case=lowercase).backend_tokenizer
    reference.encode_special_tokens = True
    expected = reference.encode(text, add_special_tokens=False)
    wordpiece = Wordpiece(VOCABULARY, RELATIONS, lowercase=lowercase, num_unknown=1)
    assert wordpiece.encode(text)[:2] == (expected.ids, expected.offsets)


def test_offsets_are_those_of_the_text_as_it_was_given():
    folding = Wordpiece([*VOCABULARY, "medellin", "cali"], RELATIONS, lowercase=True)
    text = "𝔘 Medellín , CA\u0301li"
    ids, offsets = folding.encode(text)[:2]
    assert [VOCABULARY[i] for i in ids[:1]] == ["[UNK]"]
    assert [text[slice(*span)] for span in offsets[:3]] == ["𝔘", "Medellín", ","]
    assert [folding.vocabulary[i] for i in ids[1:]] == ["medellin", ",", "cali"]
    assert plain(text[slice(*offsets[3])]) == "cali"


def test_case_and_accents_are_kept_unless_told_otherwise(wordpiece):
    folding = Wordpiece(VOCABULARY, RELATIONS, lowercase=True)
    assert _pieces(wordpiece, "Thé") == ["T", "##h", "##é"]
    assert _pieces(folding, "Thé") == ["the"]


def _unknown(wordpiece, *numbers):
    return [wordpiece.unknown_ids[number] for number in numbers]


def test_unknown_words_are_told_apart_in_each_text():
    slots = [f"[unused{n}]" for n in range(100, 104)]
    wordpiece = Wordpiece([*VOCABULARY, *slots], RELATIONS)
    tokens = [wordpiece.vocabulary[i] for i in wordpiece.unknown_ids]
    assert tokens == ["[UNK]", "[unused5]", *slots]
    the, of = (VOCABULARY.index(word) for word in ("the", "of"))
    text = "the 😀 of 😎 the 😀"
    first, second, third, last = _unknown(wordpiece, 0, 1, 2, -1)
    assert wordpiece.encode(text).ids == [the, first, of, second, the, first]
    assert wordpiece.encode_batch(["😎", "the 日 本 é本"])[0].ids == [first]
    for name, ids in (
        ("😎", [second]),
        ("😀 of 😎", [first, of, second]),
        ("🐍 😀 🐍", [third, first, third]),
        ("the", [the]),
        ("", []),
    ):
        encoding = wordpiece.encode_name(name, text)
        assert encoding.ids == ids
        assert encoding.offsets == wordpiece.encode(name).offsets
        assert wordpiece.holds_unknown(ids) == (not {first, second}.isdisjoint(ids))
    assert wordpiece.decode([the, first, second]) == "the [UNK] [UNK]"
    # There are six numbers; the others share the last.
    assert wordpiece.encode("日 月 火 水 木 金 土 月").ids == [
        *wordpiece.unknown_ids,
        *(last, wordpiece.unknown_ids[1]),
    ]


@pytest.mark.parametrize("lowercase", [False, True])
def test_an_unknown_word_is_one_word_in_all_its_spellings(lowercase):
    wordpiece = Wordpiece(VOCABULARY, RELATIONS, lowercase=lowercase)
    first, second = _unknown(wordpiece, 0, 1)
    assert wordpiece.encode("ж\u00ad\u0439 ж\u0438\u0306").ids == [first, first]
    assert wordpiece.encode("жо Жо").ids == [first, first if lowercase else second]


def test_relation_tokens_come_before_unknown_words():
    vocabulary = [*VOCABULARY, *(f"[unused{n}]" for n in range(100, 120))]
    by_words = Wordpiece(vocabulary, RELATIONS)
    by_token = Wordpiece(vocabulary, RELATIONS, relation_as="token")
    assert [vocabulary[i] for (i,) in by_token.relation_ids.values()] == [
        *("[unused5]", "[unused100]", "[unused101]")
    ]
    assert by_words.unknown_ids[1] == vocabulary.index("[unused5]")
    assert by_token.unknown_ids[1] == vocabulary.index("[unused102]")
    assert len(by_words.unknown_ids) == len(by_token.unknown_ids) == NUM_UNKNOWN
    assert Wordpiece(vocabulary, RELATIONS, num_unknown=1).unknown_ids == (by_words.unk_id,)


def test_a_tokenizer_of_before_knows_one_unknown_token(wordpiece):
    stored = json.loads(wordpiece.to_json())
    del stored["num_unknown"]
    before = Wordpiece.from_json(json.dumps(stored))
    assert before.encode("😀 😎").ids == [wordpiece.unk_id] * 2
    assert before.fingerprint != wordpiece.fingerprint


def test_a_batch_is_encoded_text_by_text(wordpiece):
    texts = ["the capitals", "", "of 中中", "[SEP]" * 50, "the"]
    assert wordpiece.encode_batch(texts) == [wordpiece.encode(text) for text in texts]
    assert wordpiece.encode_batch([]) == []


def test_decode(wordpiece):
    assert wordpiece.decode(wordpiece.encode("the unused capitals").ids) == "the unused capitals"
    assert wordpiece.decode([VOCABULARY.index("##s"), VOCABULARY.index("of")]) == "s of"
    assert wordpiece.decode([VOCABULARY.index("#"), VOCABULARY.index("a")]) == "# a"
    assert wordpiece.decode([]) == ""


def test_relations_as_words(wordpiece):
    names = ("country capital", "us_state capital", "children")
    expected = {r: tuple(wordpiece.encode(n).ids) for r, n in zip(RELATIONS, names, strict=True)}
    assert wordpiece.relation_ids == expected
    for relation, ids in expected.items():
        assert wordpiece.relation(list(ids)) == relation
    assert wordpiece.relation(wordpiece.encode("capital").ids) is None
    assert wordpiece.relation([]) is None


def test_relations_as_tokens():
    vocabulary = [*VOCABULARY, "[unused1]", "[unused2]"]
    wordpiece = Wordpiece(vocabulary, RELATIONS, relation_as="token")
    written = {r: [vocabulary[i] for i in ids] for r, ids in wordpiece.relation_ids.items()}
    # After the separators, in ascending order of ids, by the name of the relation.
    assert written == dict(
        zip(RELATIONS, (["[unused5]"], ["[unused1]"], ["[unused2]"]), strict=True)
    )
    assert all(wordpiece.relation(ids) == r for r, ids in wordpiece.relation_ids.items())


def test_a_schema_is_a_set():
    shuffled = Wordpiece(VOCABULARY, [*RELATIONS[::-1], RELATIONS[1]])
    assert shuffled.relations == tuple(sorted(RELATIONS))
    assert shuffled.fingerprint == Wordpiece(VOCABULARY, RELATIONS).fingerprint


@pytest.mark.parametrize(
    ("vocabulary", "relations", "relation_as", "message"),
    [
        ([*VOCABULARY, "the"], (), "words", "holds token 'the' twice, in lines"),
        ([t for t in VOCABULARY if t not in ("[CLS]", "[MASK]")], (), "words",
         r"lacks \[CLS\], \[MASK\]: not a BERT vocabulary"),
        (["[UNK]", "a"], (), "words", r"lacks \[PAD\], \[CLS\], \[SEP\], \[MASK\]"),
        ([*SPECIAL, "[unused0]"], (), "words", "has 1 .* slots and 2 are needed"),
        (VOCABULARY, RELATIONS, "token", "has 3 .* slots and 5 are needed"),
        (VOCABULARY, RELATIONS, "tokens", "relation_as is 'tokens'; it can be words or token"),
        (VOCABULARY, ["/a/中日", "/a/中本"], "words",
         "relations '/a/中日' and '/a/中本' have the same wordpieces .*relation_as='token'"),
        (VOCABULARY, ["ma mb", "ma  mb"], "words",
         "have the same wordpieces .*: they differ only in blanks or case; write them one way"),
        (VOCABULARY, ["a", "/\u200b"], "words", "has no wordpieces; .*relation_as='token'"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_refused(vocabulary, relations, relation_as, message):
    with pytest.raises(ValueError, match=message):
        Wordpiece(vocabulary, relations, relation_as=relation_as)


def test_relations_without_words_can_be_tokens():
    relations = ["a/b", "/a/b"]
    with pytest.raises(RelationError, match="relation_as='token'"):
        Wordpiece([*VOCABULARY, "[unused1]"], relations)
    by_token = Wordpiece([*VOCABULARY, "[unused1]"], relations, relation_as="token")
    assert len(set(by_token.relation_ids.values())) == 2


@pytest.mark.parametrize("relation_as", ["words", "token"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_json_builds_the_same_tokenizer(lowercase, relation_as):
    vocabulary = [*VOCABULARY, "[unused1]", "[unused2]"]
    one = Wordpiece(vocabulary, RELATIONS, lowercase=lowercase, relation_as=relation_as)
    other = Wordpiece.from_json(one.to_json())
    same = {name: v for name, v in vars(one).items() if name != "_backend"}
    assert {name: vars(other)[name] for name in same} == same
    text = "The CAPITALS of Usé中 [MASK]"
    assert other.encode(text) == one.encode(text)
    assert other.fingerprint == one.fingerprint


def test_the_fingerprint_tells_tokenizers_apart():
    larger = [*VOCABULARY, "[unused1]", "[unused2]"]
    swapped = [*larger[:-2], *larger[:-3:-1]]
    tokenizers = [
        Wordpiece(larger, RELATIONS),
        Wordpiece(swapped, RELATIONS),
        Wordpiece(VOCABULARY, RELATIONS),
        Wordpiece(larger, RELATIONS[:2]),
        Wordpiece(larger, RELATIONS, lowercase=True),
        Wordpiece(larger, RELATIONS, relation_as="token"),
    ]
    assert len({tokenizer.fingerprint for tokenizer in tokenizers}) == len(tokenizers)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_vocabulary_file_has_a_token_a_line(tmp_path, end, last):
    # Line ends of Unicode's own are characters like others.
    tokens = [*SPECIAL, "é", "\u2028", "\x85", "##ing"]
    data = end.join(tokens) + (end if last else "")
    for mark in ("", "\ufeff"):
        (tmp_path / "vocab.txt").write_bytes((mark + data).encode())
        assert read_vocabulary(tmp_path / "vocab.txt") == tokens


def test_special_tokens_of_mpnet_have_the_names_of_bert(tmp_path):
    theirs = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join([*theirs, "[unused0]", "[unused1]", "<mask>"]))
    tokens = read_vocabulary(tmp_path / "vocab.txt")
    wordpiece = Wordpiece(tokens, [], num_unknown=1)
    w = wordpiece
    assert (w.cls_id, w.pad_id, w.sep_id, w.unk_id, w.mask_id) == (0, 1, 2, 5, 12)
    assert tokens[4:9] == ["<pad>", "[UNK]", "<s>", "</s>", "<mask>"], "BERT's have no use there"
    # A vocabulary that happens to hold some of them is BERT's still.
    tokens = [*SPECIAL, "<s>", "</s>"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    assert read_vocabulary(tmp_path / "vocab.txt") == tokens


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[PAD]\na\n\nb\n", "vocab.txt:3: an empty line"),
        (b"[PAD]\r\n\r\nb\r\n", "vocab.txt:2: an empty line"),
        (b"", "vocab.txt:1: an empty line"),
        (b"\xff\n", "vocab.txt: cannot read the vocabulary: .*utf-8"),
        (None, "vocab.txt: cannot read the vocabulary: .*No such file"),
        (
            "\n".join([*SPECIAL, "the", "a", "the"]).encode(),
            "vocab.txt: the vocabulary holds token 'the' twice, in lines 6 and 8; remove one",
        ),
        (b"[PAD]\n[UNK]\na\n", r"vocab.txt: the vocabulary lacks \[CLS\], \[SEP\], \[MASK\]: not"),
    ],
)
def test_a_faulty_vocabulary_file(tmp_path, data, message):
    if data is not None:
        (tmp_path / "vocab.txt").write_bytes(data)
    with pytest.raises(VocabularyError, match=message):
        read_vocabulary(tmp_path / "vocab.txt")


def _texts():
    """Words with many ties in their counts, over letters of several scripts."""
    rng = random.Random(0)
    letters = "abcdeABCéöлж中文αβ"
    words = ["".join(rng.choices(letters, k=rng.randint(1, 7))) for _ in range(400)]
    return [" ".join(rng.choices(words, k=8)) for _ in range(120)]


def test_a_learned_vocabulary():
    texts = _texts()
    vocabulary = train_vocabulary(texts, 150, num_reserved=3)
    assert len(vocabulary) == 150
    assert vocabulary[:8] == [*SPECIAL, "[unused0]", "[unused1]", "[unused2]"]
    wordpiece = Wordpiece(vocabulary, ["abc"])
    encoded = wordpiece.encode_batch(texts)
    used = {i for encoding in encoded for i in encoding.ids}
    assert wordpiece.unk_id not in used
    assert any(len(vocabulary[i].removeprefix("##")) > 1 for i in used)
    num_letters = sum(len(text.replace(" ", "")) for text in texts)
    assert sum(len(encoding.ids) for encoding in encoded) < 0.9 * num_letters


def test_a_frequent_word_becomes_a_token_with_its_pieces_marked():
    vocabulary = train_vocabulary(["abcab abcab", "xb"], 64)
    assert vocabulary[7:11] == ["a", "x", "##a", "##b"]
    assert "abcab" in vocabulary
    assert train_vocabulary(["Ab É"] * 2, 64, lowercase=True)[7:] == ["a", "e", "##b", "ab"]
    # Beyond the basic plane there is no room: such a word is unknown.
    assert train_vocabulary(["a𝔘 b"] * 2, 64)[7:] == ["b"]
    assert train_vocabulary([], 64) == [*SPECIAL, "[unused0]", "[unused1]"]


def test_a_vocabulary_must_hold_all_characters():
    with pytest.raises(VocabularyError, match=r"10 tokens .* 4 characters .*vocab_size to 11"):
        train_vocabulary(["abcd"], 10)
    assert len(train_vocabulary(["abcd"] * 2, 11)) == 11


_LEARN = """
import json, sys
from grel.text.wordpiece import train_vocabulary
texts = json.load(sys.stdin)
print(json.dumps([train_vocabulary(texts, n, lowercase=n == 120) for n in (90, 120, 250)]))
"""


def test_the_same_texts_give_the_same_vocabulary_in_every_process():
    processes = []
    for seed in ("1", "2"):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", _LEARN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env=os.environ | {"PYTHONHASHSEED": seed},
            )
        )
    texts = json.dumps(_texts()).encode()
    one, other = (process.communicate(texts)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert one == other
    assert [len(vocabulary) for vocabulary in json.loads(one)] == [90, 120, 250]


def _greedy(vocabulary, text):
    """Wordpieces of ASCII text by the book: the longest token first, word by word."""
    pieces = []
    for word in re.findall(r"[^\W_]+|[^\w\s]|_", text):
        start, found = 0, []
        while start < len(word):
            ends = range(len(word), start, -1)
            candidates = (("##" if start else "") + word[start:end] for end in ends)
            token = next((c for c in candidates if c in vocabulary), None)
            if token is None:
                found = ["[UNK]"]
                break
            found.append(token)
            start += len(token.removeprefix("##")) if start else len(token)
        pieces += found
    return pieces


@needs_unilm
def test_the_vocabulary_of_unilm():
    relations = ["/location/location/contains"]
    wordpiece = Wordpiece(read_vocabulary(UNILM), relations)
    assert len(wordpiece.vocabulary) == 28996
    special = (wordpiece.pad_id, wordpiece.unk_id, wordpiece.cls_id, wordpiece.sep_id)
    assert (*special, wordpiece.mask_id) == (0, 100, 101, 102, 103)
    assert (wordpiece.part_end_id, wordpiece.triple_end_id) == (19, 20)
    assert wordpiece.decode(wordpiece.relation_ids[relations[0]]) == "contains"
    vocabulary = set(wordpiece.vocabulary)
    for path in ("nyt24/dev.sent", "nyt29/dev.sent"):
        texts = (SHARED / path).read_text(encoding="utf-8").splitlines()[:400]
        for text, encoding in zip(texts, wordpiece.encode_batch(texts), strict=True):
            if text.isascii():
                tokens = [wordpiece.vocabulary[i] for i in encoding.ids]
                assert tokens == _greedy(vocabulary, text)
    with pytest.raises(VocabularyError, match=r"has 83 .* slots and 218 are needed"):
        Wordpiece(wordpiece.vocabulary, [f"r{n}" for n in range(216)], relation_as="token")
