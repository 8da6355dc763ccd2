"""Known triples in a text: by example, and against literal references."""

import random
import re
import unicodedata

import numpy as np
import pytest

from grel.names import canonical
from grel.records import Document, Triple, check
from grel.text import known
from grel.text.known import BETWEEN_BLANKS, LETTERS_OR_SIGN, Index, Memory

RELATIONS = ["born", "lives", "left", "owns", "rules"]


def _places(text, *names):
    return Index({(name, "r", name): 1.0 for name in names}).places(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("York and New York", {"York": [(0, 4)], "New York": [(9, 17)]}),
        ("the New York Times", {"New York": [(4, 12)]}),
        ("New Yorkers", {}),
        ("New  York", {"New York": [(0, 9)]}),
        ("the New\n York of\u00a0York", {"New York": [(4, 13)], "York": [(17, 21)]}),
        ("New", {}),
        ("", {}),
    ],
)
def test_a_name_inside_of_a_longer_one_does_not_stand_there(text, expected):
    assert _places(text, "New York", "York") == expected


@pytest.mark.parametrize("word", [BETWEEN_BLANKS, LETTERS_OR_SIGN])
@pytest.mark.parametrize(
    "names", [("José", "Málaga"), ("각", "서울"), ("Ǻ", "ộ-ö"), ("São Tomé", "Tomé"), ("J̌ó", "क़ि")]
)
def test_composed_and_decomposed_letters_are_the_same(word, names):
    head, tail = names
    index = Index({(canonical(head), "r", canonical(tail)): 1.0}, word)
    text = f"é {tail} x{head} , {head} é {tail} ."
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    found = [index.places(composed), index.places(decomposed)]
    assert found[0].keys() == found[1].keys()
    assert sum(map(len, found[0].values())) >= 3
    for name, spans in found[0].items():
        assert [composed[slice(*span)] for span in spans] == [name] * len(spans)
        stated = [decomposed[slice(*span)] for span in found[1][name]]
        assert stated == [unicodedata.normalize("NFD", name)] * len(spans)
    (one,), (other,) = index.triples(composed), index.triples(decomposed)
    assert (one.key, one.head, one.tail) == (other.key, canonical(head), canonical(tail))
    check(Document("a", decomposed, (other,)))
    assert decomposed[slice(*other.head_span)] == other.head == unicodedata.normalize("NFD", head)


@pytest.mark.parametrize("unit", ["e\u0301", "a\u0301", "東京都", "\u0301", "\u1100\u1161\u11a8"])
def test_time_grows_with_the_length_of_a_text(unit, monkeypatch):
    """Counted in characters that are composed, as a text without a blank may be a stranger's."""
    num_composed = []
    monkeypatch.setattr(
        known, "canonical", lambda text: num_composed.append(len(text)) or canonical(text)
    )
    index = Index({("a", "r", "b"): 1.0})
    for length in (2000, 4000):
        num_composed.append(0)
        text = (unit * length)[: length - 1] + "\uf900"
        del num_composed[:]
        assert index.places(text) == {}
        assert sum(num_composed) < 200 * length


def test_names_may_overlap():
    assert _places("a b c", "a b", "b c", "b") == {"a b": [(0, 3)], "b c": [(2, 5)]}


def _literal_places(text, names):
    """All runs of words that are names, without those inside of another."""
    words = text.split()
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    runs = [
        (first, last)
        for first in range(len(words))
        for last in range(first, len(words))
        if " ".join(words[first : last + 1]) in names
    ]
    places = {}
    for first, last in runs:
        if not any(a <= first and last <= b and (a, b) != (first, last) for a, b in runs):
            span = starts[first], starts[last] + len(words[last])
            places.setdefault(text[slice(*span)], []).append(span)
    return places


def test_random_texts_give_what_the_literal_definition_does():
    rng = random.Random(3)
    num_inside = 0
    for _ in range(400):
        names = [" ".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(9)]
        known = {(rng.choice(names), rng.choice("rs"), rng.choice(names)) for _ in range(9)}
        names = {name for head, _, tail in known for name in (head, tail)}
        text = " ".join(rng.choices("abcd", k=rng.randint(0, 12)))
        index = Index(dict.fromkeys(known, 1.0))
        expected = _literal_places(text, names)
        assert index.places(text) == expected
        num_inside += sum(f" {name} " in f" {text} " for name in names) - len(expected)
        found = {triple.key for triple in index.triples(text)}
        assert found == {
            (head, relation, tail)
            for head, relation, tail in known
            if head in expected and tail in expected and (head != tail or len(expected[head]) > 1)
        }
        check(Document("a", text or "-", tuple(index.triples(text))))
    assert num_inside > 50


def _bits(memory, marks):
    """The marks of each token by name, such as ("head", "born")."""
    flat = np.unpackbits(marks, axis=1)[:, : memory.num_marks]
    assert marks.dtype == np.uint8
    assert marks.shape[1] == memory.width
    return [
        {(("head", "tail")[bit % 2], RELATIONS[bit // 2]) for bit in np.flatnonzero(row)}
        for row in flat
    ]


def _tokens(text):
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def test_marks_by_hand():
    """Ann, New and York are marked, and York alone is another name."""
    memory = Memory({("Ann", "lives", "New York"): 2, ("Ann", "rules", "York"): 1}, RELATIONS)
    text = "Ann 's New York-based dog"
    marks = memory.marks(text, _tokens(text))
    none = set()
    head, tail = {("head", "lives")}, {("tail", "lives")}
    assert _bits(memory, marks) == [head, none, none, tail, tail, none, none, none]
    # Ten marks are two bytes; that of the heads of the second relation is the third bit.
    assert marks[0].tolist() == [0b00100000, 0]
    assert marks[3].tolist() == [0b00010000, 0]
    assert not memory.marks("New York", _tokens("New York")).any()
    assert memory.marks("", []).shape == (0, 2)


def test_what_only_this_document_taught_is_not_known_to_it():
    documents = [
        Document("a", "Ann in Oslo", (Triple("Ann", "lives", "Oslo"),) * 2),
        Document("b", "Ann of Oslo", (Triple("Ann", "born", "Oslo"),)),
        Document("c", "Ann at Oslo", (Triple("Ann", "born", "Oslo"),)),
    ]
    memory = Memory.of(documents, RELATIONS)
    assert memory.counts == {("Ann", "born", "Oslo"): 2, ("Ann", "lives", "Oslo"): 1}
    lives, born = {("head", "lives")}, {("head", "born")}
    for document, expected in zip(documents, (born, lives | born, lives | born), strict=True):
        own = {triple.key for triple in document.triples}
        marks = memory.marks(document.text, _tokens(document.text), own)
        assert _bits(memory, marks)[0] == expected
    assert memory.num_known(documents) == 3
    assert memory.num_known(documents, taught=True) == 2


@pytest.mark.parametrize("blank", ["\n", "\u00a0", " \t"])
def test_a_line_that_is_broken_inside_of_a_name_changes_nothing(blank):
    """Neither where names are known from nor where they are looked for, nor what is their own."""
    broken = f"New{blank}York"
    documents = [
        Document("a", f"Ann in {broken}", (Triple("Ann", "lives", broken),)),
        Document("b", "Ann in New York", (Triple("Ann", "born", "New York"),)),
    ]
    memory = Memory.of(documents, RELATIONS)
    known = {("Ann", "born", "New York"): 1, ("Ann", "lives", "New York"): 1}
    assert (memory.counts, memory.times) == (known, dict.fromkeys(known, 2))
    assert Memory({("Ann", "lives", broken): 1}, RELATIONS).counts.keys() <= known.keys()
    for text in (document.text for document in documents):
        assert {(t.tail, t.score) for t in memory.triples(text)} == {(text[7:], 0.5)}
    own = {triple.key for triple in documents[0].triples}
    marks = memory.marks(documents[0].text, [(0, 3)], own)
    assert _bits(memory, marks) == [{("head", "born")}]


def test_a_name_inside_of_a_word_with_signs_does_not_stand_there():
    """Vowel signs are no letters of \\w, and yet no word ends before one."""
    known = {("सीता", "lives", "अयोध्या"): 1}
    memory = Memory(known, RELATIONS, known)
    assert memory.triples("सीता is of अयोध्या")
    assert not memory.triples("सीतापुर is far from अयोध्या")


def test_a_memory_comes_back_from_json():
    memory = Memory({("Zoë", "left", "Oslo"): 3, ("a\nb", "born", '"'): 1}, RELATIONS)
    again = Memory.from_json(memory.to_json(), RELATIONS)
    assert (again.counts, again.fingerprint) == (memory.counts, memory.fingerprint)
    other = Memory({**memory.counts, ("Zoë", "left", "Oslo"): 4}, RELATIONS)
    assert other.fingerprint != memory.fingerprint
    damaged = (
        *("{", "7", '[["a", "born"]]', '[["a", "born", "b"]]', '[["a", "born", "b", "x"]]'),
        *('[["a", "eats", "b", 1]]', '[["a", "born", "b", 2, 1]]', '[["a", "born", "b", 0, 1]]'),
        *('[["a", "born", "b", 1, 2, 3]]', '[["a", "born", "b", 1, 2], ["b", "born", "a", 1]]'),
    )
    for text in damaged:
        with pytest.raises((LookupError, TypeError, ValueError)):
            Memory.from_json(text, RELATIONS)


def test_a_memory_says_how_often_its_triples_were_right():
    """Ann and Oslo stand in three documents, in one of them beside a hyphen."""
    documents = [
        Document("a", "Ann in Oslo", (Triple("Ann", "lives", "Oslo"),)),
        Document("b", "Oslo-born Ann", (Triple("Ann", "born", "Oslo"),)),
        Document("c", "Ann saw Oslo", (Triple("Ann", "lives", "Oslo"),)),
        Document("d", "Ann owns it", (Triple("Ann", "owns", "Annex"),)),
    ]
    memory = Memory.of(documents, RELATIONS)
    assert memory.times == {
        ("Ann", "born", "Oslo"): 3,
        ("Ann", "lives", "Oslo"): 3,
        ("Ann", "owns", "Annex"): 1,
    }
    for again in (memory, Memory.from_json(memory.to_json(), RELATIONS)):
        known = again.triples("Ann, of Oslo")
        assert {triple.key: triple.score for triple in known} == {
            ("Ann", "born", "Oslo"): 1 / 3,
            ("Ann", "lives", "Oslo"): 2 / 3,
        }
        assert {(triple.head_span, triple.tail_span) for triple in known} == {((0, 3), (8, 12))}
        assert again.triples("Ann alone") == []
    # Features that were cached, and runs that go on, need the same marks only.
    assert Memory(memory.counts, RELATIONS).fingerprint == memory.fingerprint
    nothing = Memory.from_json(Memory.of([], RELATIONS).to_json(), RELATIONS)
    assert nothing.triples("Ann of Oslo") == []


def test_relations_are_spelled_as_the_schema_has_them():
    relations = ["né_à", unicodedata.normalize("NFD", "né_à_côté")]
    documents = [Document("a", "Ann à Oslo", tuple(Triple("Ann", r, "Oslo") for r in relations))]
    memory = Memory.of(documents, relations)
    for again in (memory, Memory.from_json(memory.to_json(), relations)):
        assert again.marks("Ann Oslo", [(0, 3)]).tolist() == [[0b10100000]]
        assert sorted(t.relation for t in again.triples("Ann Oslo")) == sorted(relations)


def test_a_memory_of_an_earlier_version_has_no_shares():
    memory = Memory.from_json('[["Ann", "born", "Oslo", 1]]', RELATIONS)
    assert memory.marks("Ann of Oslo", _tokens("Ann of Oslo")).any()
    with pytest.raises(ValueError, match="of an earlier version, which kept no shares"):
        memory.triples("Ann of Oslo")


def test_random_marks_are_what_the_literal_definition_says():
    rng = random.Random(5)
    num_marked = 0
    for _ in range(300):
        names = [" ".join(rng.choices("abc", k=rng.randint(1, 3))) for _ in range(6)]
        counts = {
            (rng.choice(names), rng.choice(RELATIONS), rng.choice(names)): rng.randint(1, 2)
            for _ in range(6)
        }
        own = {key for key in counts if rng.random() < 0.3}
        text = " ".join(rng.choices("abcd", k=rng.randint(0, 10)))
        places = _literal_places(text, {name for head, _, tail in counts for name in (head, tail)})
        expected = [set() for _ in text.split()]
        for (head, relation, tail), count in counts.items():
            here = head in places and tail in places
            if not here or (head == tail and len(places[head]) == 1):
                continue
            if (head, relation, tail) in own and count == 1:
                continue
            for role, name in (("head", head), ("tail", tail)):
                for start, end in places[name]:
                    for token in range(start // 2, (end + 1) // 2):
                        expected[token].add((role, relation))
        memory = Memory(counts, RELATIONS)
        assert _bits(memory, memory.marks(text, _tokens(text), own)) == expected
        num_marked += sum(map(len, expected))
    assert num_marked > 500
