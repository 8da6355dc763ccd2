"""Both labellings against slow, literal definitions, and the alignment against brute force."""

import itertools
import random
import re

import pytest

from grel.text.bio import (
    LABELLINGS,
    B,
    I,
    O,
    label_global_lcs,
    label_per_entity,
    longest_common_subsequence,
    occurrences,
)

SEPARATOR = "|"


def _literal_occurrences(source, entity):
    return [i for i in range(len(source)) if entity and source[i : i + len(entity)] == entity]


def _literal_runs(pairs):
    """(i, j, length) of the maximal diagonals of a set of pairs."""
    for i, j in pairs:
        if (i - 1, j - 1) not in pairs:
            length = 1
            while (i + length, j + length) in pairs:
                length += 1
            yield i, j, length


def _kept(span, spans):
    """Whether a span keeps its place: no longer one that keeps its own overlaps it."""
    start, length = span
    return not any(
        _kept(other, spans)
        for other in spans
        if other[0] < start + length
        and start < other[0] + other[1]
        and (-other[1], other[0]) < (-length, start)
    )


def _literal_label(labels, start, length):
    for k in range(length):
        labels[start + k] = I if k else B


def _literal_per_entity(source, target, entities):
    spans, target_labels = set(), [O] * len(target)
    for entity in entities:
        mention = target[entity]
        if starts := _literal_occurrences(source, mention):
            _literal_label(target_labels, entity.start, len(mention))
            spans |= {(start, len(mention)) for start in starts}
        else:
            for i, j, length in _literal_runs(set(longest_common_subsequence(source, mention))):
                _literal_label(target_labels, entity.start + j, length)
                spans.add((i, length))
    return _literal_source(source, spans), target_labels


def _literal_global_lcs(source, target, entities):
    spans, target_labels = set(), [O] * len(target)
    pairs = longest_common_subsequence(source, target)
    for entity in entities:
        inside = {(i, j) for i, j in pairs if j in range(len(target))[entity]}
        for i, j, length in _literal_runs(inside):
            _literal_label(target_labels, j, length)
            spans.add((i, length))
    return _literal_source(source, spans), target_labels


def _literal_source(source, spans):
    labels = [O] * len(source)
    for span in spans:
        if _kept(span, spans):
            _literal_label(labels, *span)
    return labels


def _random_case(rng):
    """A source and a target of few symbols, so that entities occur in every way or not at all."""
    symbols = "abcde"[: rng.randint(1, 5)]
    source = rng.choices(symbols, k=rng.randint(0, 12))
    target, entities, mentions = [], [], [[]]
    for _ in range(rng.randint(0, 4)):
        if rng.random() < 0.5:
            start = rng.randint(0, len(source))
            mention = source[start : start + rng.randint(0, 5)]
        elif rng.random() < 0.7:
            mention = rng.choices(symbols + "f", k=rng.randint(0, 5))
        else:
            mention = rng.choice(mentions)
        mentions.append(mention)
        entities.append(slice(len(target), len(target) + len(mention)))
        # What stands between entities may occur in the source too; it is not copied.
        target += [*mention, *rng.choices(symbols + SEPARATOR, k=rng.randint(0, 3))]
    return source, target, entities


@pytest.mark.parametrize(
    ("label", "literal"),
    [(label_per_entity, _literal_per_entity), (label_global_lcs, _literal_global_lcs)],
)
def test_labels_against_the_definition(label, literal):
    rng = random.Random(0)
    for _ in range(6000):
        case = _random_case(rng)
        assert label(*case) == literal(*case), case


def test_every_contiguous_mention_is_labeled_and_nothing_else_is():
    rng = random.Random(1)
    num_contiguous = num_missing = num_overlapping = 0
    for _ in range(3000):
        source, target, entities = _random_case(rng)
        source_labels, target_labels = label_per_entity(source, target, entities)
        outside = set(range(len(target)))
        covered = set()
        for entity in entities:
            outside -= set(range(entity.start, entity.stop))
            mention = target[entity]
            if starts := _literal_occurrences(source, mention):
                num_contiguous += 1
                num_overlapping += any(b - a < len(mention) for a, b in itertools.pairwise(starts))
                assert target_labels[entity] == [B] + [I] * (len(mention) - 1)
                covered |= {i for start in starts for i in range(start, start + len(mention))}
            elif mention:
                num_missing += 1
        assert all(target_labels[j] == O for j in outside)
        if all(_literal_occurrences(source, target[e]) or not target[e] for e in entities):
            assert {i for i, label in enumerate(source_labels) if label != O} <= covered
        # An I continues something, in the source and in the target.
        for labels in (source_labels, target_labels):
            assert all(labels[i - 1] != O for i, y in enumerate(labels) if y == I and i)
            assert labels[:1] != [I]
    assert min(num_contiguous, num_missing, num_overlapping) > 300


def _drawn(labels):
    return "".join("OBI"[label] for label in labels)


def test_the_example_is_the_one_drawn():
    drawing = label_per_entity.__doc__.split("Example:")[1].splitlines()[2:4]
    symbols, drawn = (re.sub("source|target| ", "", line) for line in drawing)
    source, target = "thebigb", "big;b"
    assert symbols == source + target
    labels = label_per_entity(source, target, [slice(0, 3), slice(4, 5)])
    assert "".join(map(_drawn, labels)) == drawn


@pytest.mark.parametrize(
    ("source", "entities", "source_labels", "target_labels"),
    [
        ("xabyab", ["ab"], "OBIOBI", "BI"),  # every occurrence
        ("aaa", ["aa"], "BIO", "BI"),  # one that overlaps itself
        ("abab", ["aba", "bab"], "BIIO", "BIIOBII"),  # equally long ones: the one further left
        ("nycity", ["city", "nyc"], "OOBIII", "BIIIOBII"),  # the longer wins
        ("nycity", ["nyc", "city"], "OOBIII", "BIIOBIII"),  # whatever comes first
        ("abc", ["b", "abc"], "BII", "BOBII"),  # nested
        ("abxcd", ["abcd"], "BIOBI", "BIBI"),  # in two parts
        ("abc", ["abXc"], "BIB", "BIOB"),  # a letter that the source lacks
        ("abc", ["xyz"], "OOO", "OOO"),  # not there
        ("abc", ["", "c"], "OOB", "OB"),  # an empty one
        ("", ["ab"], "", "OO"),
        ("ab", [], "OO", ""),
    ],
)
def test_labels_by_hand(source, entities, source_labels, target_labels):
    target = SEPARATOR.join(entities)
    starts = [sum(len(e) + 1 for e in entities[:n]) for n in range(len(entities))]
    slices = [slice(s, s + len(e)) for s, e in zip(starts, entities, strict=True)]
    labels = LABELLINGS["per_entity"](source, target, slices)
    assert [_drawn(part) for part in labels] == [source_labels, target_labels]


def test_a_single_alignment_misses_what_comes_in_another_order():
    source, target, entities = "ab-cd", "cd|ab", [slice(0, 2), slice(3, 5)]
    _, labels = LABELLINGS["global_lcs"](source, target, entities)
    assert sorted([_drawn(labels[:2]), _drawn(labels[3:])]) == ["BI", "OO"]
    assert _drawn(label_per_entity(source, target, entities)[1]) == "BIOBI"


def _lcs_length(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            longer = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if a[i] == b[j] else longer
    return table[-1][-1]


def test_longest_common_subsequence_against_brute_force():
    rng = random.Random(2)
    for _ in range(3000):
        symbols = "abcdef"[: rng.randint(1, 6)]
        a = rng.choices(symbols, k=rng.randint(0, 14))
        b = rng.choices(symbols, k=rng.randint(0, 14))
        pairs = longest_common_subsequence(a, b)
        assert len(pairs) == _lcs_length(a, b), (a, b)
        assert all(a[i] == b[j] for i, j in pairs)
        assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))


def test_occurrences_against_the_definition():
    rng = random.Random(3)
    for _ in range(2000):
        source = rng.choices("ab", k=rng.randint(0, 10))
        entity = rng.choices("ab", k=rng.randint(0, 4))
        assert occurrences(source, entity) == _literal_occurrences(source, entity)
    # Ids come as lists and as tuples.
    assert occurrences([1, 2, 1, 2], (1, 2)) == [0, 2]
    assert occurrences((1, 2, 1, 2), [2, 1]) == [1]
