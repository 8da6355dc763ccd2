"""Relations that were taken for others, against a count by hand and a literal one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from grel.records import Document, Triple
from grel.report.confusion import busiest, relation_confusion


def _document(*triples):
    return Document("a", "text", tuple(Triple(*triple) for triple in triples))


def _pair(gold, predicted):
    """Documents that relate x and y by these one-letter relations."""
    return tuple(_document(*(("x", r, "y") for r in side)) for side in (gold, predicted))


def test_the_examples_of_the_docstring():
    assert relation_confusion([_pair("ab", "acd")]).keys() == {("a", "a"), ("b", "c"), ("b", "d")}
    assert relation_confusion([_pair("a", "ac")]).keys() == {("a", "a"), (None, "c")}
    assert relation_confusion([_pair("ac", "a")]).keys() == {("a", "a"), ("c", None)}


def test_only_pairs_that_both_sides_relate_count():
    gold = _document(("x", "a", "y"), ("x", "a", "z"))
    predicted = _document(("y", "b", "x"), ("x", "b", "z"), ("w", "a", "y"))
    assert relation_confusion([(gold, predicted)]) == {("a", "b"): [0]}
    assert relation_confusion([(gold, _document())]) == {}


def test_pairs_are_compared_in_canonical_form():
    gold, predicted = _document(("é", "a", "y")), _document(("e\u0301", "b", "y"))
    assert relation_confusion([(gold, predicted)]) == {("a", "b"): [0]}


_SIDE = st.lists(
    st.tuples(st.sampled_from("xy"), st.sampled_from("abc"), st.sampled_from("xy")), max_size=5
)


@given(st.lists(st.tuples(_SIDE, _SIDE), max_size=4))
def test_counts_are_those_of_a_literal_count(sides):
    pairs = [(_document(*gold), _document(*predicted)) for gold, predicted in sides]
    expected = Counter()
    for place, (gold, predicted) in enumerate(sides):
        for head in "xy":
            for tail in "xy":
                one = {r for h, r, t in gold if (h, t) == (head, tail)}
                other = {r for h, r, t in predicted if (h, t) == (head, tail)}
                for g in {*one, None} if one and other else ():
                    for p in {*other, None}:
                        same = g == p and g is not None
                        left = g not in other and p not in one
                        alone = (g is None) == (one <= other) and (p is None) == (other <= one)
                        expected[g, p, place] += same or (left and alone and g != p)
    found = relation_confusion(pairs)
    counted = Counter((*cell, place) for cell, places in found.items() for place in places)
    assert counted == +expected


def test_the_most_confused_relations_come_first():
    found = {("a", "a"): [0] * 9, ("b", "c"): [0, 1], ("d", "d"): [0], (None, "c"): [3]}
    assert busiest(found, 9) == ["c", "b", "a", "d"]
    assert busiest(found, 2) == ["c", "b"]
