"""Spans by two pointers against loops, and the orders in which a pair is chosen."""

import jax
import numpy as np
import pytest

from grel.decoding import pointers
from grel.decoding.pointers import Scores

best_span = jax.jit(pointers.best_span, static_argnames="max_words")
best_pair = jax.jit(pointers.best_pair, static_argnames="max_words")


def _literal_span(start, end, max_words, allowed):
    best = 0, 0, -np.inf
    for i in range(len(start)):
        for j in range(i, min(i + max_words, len(start))):
            if allowed(i, j) and start[i] + end[j] > best[2]:
                best = i, j, start[i] + end[j]
    return best


def _literal_pair(head, tail, max_words):
    """Two loops for the first name, two for the second, and both orders."""
    results = []
    for first, second in ((head, tail), (tail, head)):
        a = _literal_span(*first, max_words, lambda i, j: True)
        b = _literal_span(*second, max_words, lambda i, j, a=a: j < a[0] or i > a[1])
        results.append((a, b))
    (head_1, tail_1), (tail_2, head_2) = results
    if head_1[2] + tail_1[2] > tail_2[2] + head_2[2]:
        return head_1, tail_1
    return head_2, tail_2


def _log(*rows):
    return tuple(np.log(np.array([row], np.float32)) for row in rows)


def _where(spans, row=0):
    return int(spans.start_B[row]), int(spans.end_B[row])


@pytest.mark.parametrize(("length", "max_words"), [(1, 1), (3, 5), (7, 3), (12, 5)])
def test_spans_and_pairs_are_those_of_the_loops(length, max_words):
    rng = np.random.default_rng(length)
    scores_4BS = rng.normal(0, 3, (4, 100, length)).astype(np.float32)
    # Padding of every length, up to all of a row.
    length_B = rng.integers(0, length + 1, 100)
    scores_4BS[:, np.arange(length)[None] >= length_B[:, None]] = -np.inf
    head, tail = Scores(*scores_4BS[:2]), Scores(*scores_4BS[2:])
    alone = best_span(head, max_words)
    pair = best_pair(head, tail, max_words)
    num_pairs = 0
    for b in range(100):
        head_b, tail_b = ((scores.start_BS[b], scores.end_BS[b]) for scores in (head, tail))
        i, j, score = _literal_span(*head_b, max_words, lambda i, j: True)
        assert float(alone.score_B[b]) == score
        if score > -np.inf:
            assert _where(alone, b) == (i, j)
        expected = _literal_pair(head_b, tail_b, max_words)
        total = sum(name[2] for name in expected)
        np.testing.assert_allclose(sum(np.asarray(s.score_B)[b] for s in pair), total, rtol=1e-6)
        if total > -np.inf:
            num_pairs += 1
            assert [_where(spans, b) for spans in pair] == [name[:2] for name in expected]
    assert num_pairs > 30 or length == 1


def test_leading_axes_are_rows():
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    together = best_span(Scores(*scores), 3)
    apart = best_span(Scores(*scores.reshape(2, 12, 6)), 3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.ravel(), b), together, apart)


HEAD = _log([0.6, 0.1, 0.2, 0.1], [0.2, 0.6, 0.1, 0.1])
TAIL = _log([0.1, 0.5, 0.1, 0.3], [0.1, 0.1, 0.2, 0.6])


def test_the_published_order_of_choices():
    """(a) head 0..1 (.36), tail 3..3 (.18); (b) tail 1..3 (.30), head 0..0 (.12)."""
    head, tail = best_pair(Scores(*HEAD), Scores(*TAIL), 5)
    assert (_where(head), _where(tail)) == ((0, 1), (3, 3))
    np.testing.assert_allclose(np.exp(head.score_B + tail.score_B), 0.0648, rtol=1e-5)
    tail = best_span(Scores(*TAIL), 5)
    head = best_span(Scores(*HEAD), 5, tail)
    assert (_where(head), _where(tail)) == ((0, 0), (1, 3))
    np.testing.assert_allclose(np.exp(head.score_B + tail.score_B), 0.036, rtol=1e-5)


def test_equal_products_take_the_tail_first():
    same = Scores(*_log([0.6, 0.3, 0.1], [0.6, 0.3, 0.1]))
    head, tail = best_pair(same, same, 1)
    assert (_where(head), _where(tail)) == ((1, 1), (0, 0))


def test_sums_and_products_differ():
    """Positions 1 to 3: the sum takes 3..3, a product would take 1..2."""
    start, end = ([[0, 0.2, 0, 0.8]], [[0, 0.4, 0.55, 0.05]])
    assert _where(best_span(Scores(*np.float32([start, end])), 15)) == (3, 3)
    with np.errstate(divide="ignore"):
        assert _where(best_span(Scores(*_log(*start, *end)), 15)) == (1, 2)


@pytest.mark.parametrize(("max_words", "expected"), [(6, (0, 5)), (5, (0, 0))])
def test_a_span_of_too_many_words_is_never_chosen(max_words, expected):
    start, end = np.full((2, 1, 8), -5, np.float32)
    start[0, 0], end[0, 5] = 0, 0
    assert _where(best_span(Scores(start, end), max_words)) == expected


def test_one_word_has_no_room_for_two_names():
    scores = Scores(*np.zeros((2, 1, 1), np.float32))
    head, tail = best_pair(scores, scores, 5)
    assert float(head.score_B[0] + tail.score_B[0]) == -np.inf


def test_at_takes_one_entry_each():
    values = np.arange(24).reshape(2, 3, 4)
    index = np.array([[0, 3, 1], [2, 2, 0]])
    np.testing.assert_array_equal(pointers.at(values, index), [[0, 7, 9], [14, 18, 20]])
