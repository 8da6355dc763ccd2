"""Round trips over arbitrary texts, malformed pieces, and the words of relations."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grel.text.linearize import Form, Parsed, RelationError, Slots, linearize, parse, relation_words

# Separators are symbols that no text yields; here objects, in practice reserved ids.
PART_END, TRIPLE_END = object(), object()
FORM = Form(";", "|")
OPENED = Form(";", "|", relation_first=True, openers=frozenset("RS"))

_RELATIONS = [object() for _ in range(3)]
_names = st.text(st.one_of(st.characters(), st.sampled_from(";| ")), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(_names, _names, _names), max_size=5), st.booleans())
@example([(";", "|", " ; | "), ("a ; b ; c", "a | b", ";;||")], False)
def test_parse_inverts_linearize_for_arbitrary_texts(triples, relation_first):
    form = Form(PART_END, TRIPLE_END, relation_first)
    target, slots = linearize(triples, form)
    parsed = parse(target, form)
    assert parsed == Parsed(slots, 0)
    assert [tuple("".join(target[place]) for place in s) for s in parsed.triples] == triples


@settings(deadline=None)
@given(st.lists(st.tuples(_names, _names, st.sampled_from(_RELATIONS)), max_size=5))
def test_parse_inverts_linearize_where_relations_open_triples(triples):
    form = Form(PART_END, TRIPLE_END, True, frozenset(_RELATIONS))
    target, slots = linearize([(head, tail, [r]) for head, tail, r in triples], form)
    assert parse(target, form) == Parsed(slots, 0)
    assert TRIPLE_END not in target
    assert target.count(PART_END) == len(triples)
    for (head, tail, relation), slot in zip(triples, slots, strict=True):
        assert ("".join(target[slot.head]), "".join(target[slot.tail])) == (head, tail)
        assert target[slot.relation] == [relation]


def test_example_of_linearize():
    target, slots = linearize([("ab", "c", "r")], FORM)
    assert " ".join(target) == "a b ; c ; r"
    assert slots == [Slots(slice(0, 2), slice(3, 4), slice(5, 6))]
    target, slots = linearize([("ab", "c", "r")], Form(";", "|", relation_first=True))
    assert " ".join(target) == "r ; a b ; c"
    assert slots == [Slots(slice(2, 4), slice(5, 6), slice(0, 1))]
    target, slots = linearize([("ab", "c", "R"), ("d", "e", "S")], OPENED)
    assert " ".join(target) == "R a b ; c S d ; e"
    assert slots[0] == Slots(slice(1, 3), slice(4, 5), slice(0, 1))


def test_triples_are_separated_and_the_last_is_not_followed():
    target, slots = linearize([("a", "b", "rs"), ("cd", "e", "t")], FORM)
    assert "".join(target) == "a;b;rs|cd;e;t"
    assert slots[1] == Slots(slice(7, 9), slice(10, 11), slice(12, 13))
    assert linearize([], FORM) == ([], [])


@pytest.mark.parametrize(
    ("target", "num_triples", "num_malformed"),
    [
        ("", 0, 0),
        ("a;b;c", 1, 0),
        ("a;b;c|", 1, 1),
        ("|a;b;c", 1, 1),
        ("a;b;c||d;e;f", 2, 1),
        ("a;b", 0, 1),
        ("a;b;c;d", 0, 1),
        ("a;;c", 0, 1),
        (";b;c", 0, 1),
        ("a;b;", 0, 1),
        ("a", 0, 1),
        ("|", 0, 2),
    ],
)
def test_malformed_pieces_are_counted(target, num_triples, num_malformed):
    parsed = parse(target, FORM)
    assert (len(parsed.triples), parsed.num_malformed) == (num_triples, num_malformed)


@pytest.mark.parametrize(
    ("target", "num_triples", "num_malformed"),
    [
        ("", 0, 0),
        ("Ra;bSc;d", 2, 0),
        ("Ra;b|", 0, 1),
        ("a;bRa;b", 1, 1),
        ("RSa;b", 1, 1),
        ("Ra", 0, 1),
        ("Ra;", 0, 1),
        ("R;b", 0, 1),
        ("Ra;b;c", 0, 1),
        ("Ra;|;", 0, 1),
        ("a", 0, 1),
        (";", 0, 1),
        ("RRR", 0, 3),
    ],
)
def test_malformed_pieces_between_openers_are_counted(target, num_triples, num_malformed):
    parsed = parse(target, OPENED)
    assert (len(parsed.triples), parsed.num_malformed) == (num_triples, num_malformed)


@settings(deadline=None, max_examples=500)
@given(st.text("ab;;|", max_size=16))
def test_parse_against_splitting(target):
    pieces = [piece.split(";") for piece in target.split("|")] if target else []
    formed = [parts for parts in pieces if len(parts) == 3 and all(parts)]
    parsed = parse(target, FORM)
    assert [[target[place] for place in slots] for slots in parsed.triples] == formed
    assert parsed.num_malformed == len(pieces) - len(formed)


def test_example_of_relation_words():
    words = relation_words(
        ["/location/us_state/capital", "/location/country/capital", "/location/location/contains"]
    )
    assert words == {
        "/location/us_state/capital": "us_state capital",
        "/location/country/capital": "country capital",
        "/location/location/contains": "contains",
    }


def test_a_relation_that_ends_another_keeps_its_whole_path():
    assert relation_words(["b", "/a/b"]) == {"b": "b", "/a/b": "a b"}


def _literal_words(relations):
    """The definition, relation by relation; None where it gives no or no distinct words."""
    paths = {relation: [s for s in relation.split("/") if s] for relation in relations}
    words = {}
    for relation, path in paths.items():
        others = [p for other, p in paths.items() if other != relation]
        suffix = path
        for n in range(len(path), 0, -1):
            if not any(other[-n:] == path[-n:] for other in others):
                suffix = path[-n:]
        words[relation] = " ".join(suffix)
    distinct = len(set(words.values())) == len(words)
    return words if distinct and all(name.strip() for name in words.values()) else None


@settings(deadline=None, max_examples=500)
@given(st.lists(st.text("ab/ ", min_size=1, max_size=6), min_size=1, max_size=6))
@example(["/a/c", "/b/c", "/c"])
@example(["/a/b c"])
def test_relation_words_against_the_definition(relations):
    expected = _literal_words(set(relations))
    if expected is None:
        with pytest.raises(RelationError):
            relation_words(relations)
    else:
        assert relation_words(relations) == expected


@pytest.mark.parametrize(
    ("relations", "message"),
    [
        (["a/b", "/a/b"], "'/a/b' and 'a/b' have the same words, 'a b': rename one, or set config"),
        (["a b", "/x/b", "/a/b"], "'/a/b' and 'a b' have the same words, 'a b'"),
        (["good", "/"], "'/' has no words: rename it, or set config"),
        (["/ /"], "'/ /' has no words"),
    ],
)
def test_relations_without_words_of_their_own(relations, message):
    with pytest.raises(RelationError, match=message):
        relation_words(relations)
