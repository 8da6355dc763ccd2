"""Protocols against hand-made cases, and against a scorer that searches lists instead of sets."""

import dataclasses
import random

import pytest

from grel.records import Document, Triple
from grel.scoring.protocols import (
    PROTOCOLS,
    Counts,
    Protocol,
    Score,
    ScoringError,
    pair,
    score,
    score_documents,
)

TEXT = "Ann Moore , chief of Time Inc. in New York , likes Time"


def _document(*triples: tuple | Triple, id: str = "a", text: str = TEXT) -> Document:
    return Document(id, text, tuple(t if isinstance(t, Triple) else Triple(*t) for t in triples))


def _total(gold: Document, predicted: Document, protocol: str, **options) -> tuple[int, int, int]:
    return dataclasses.astuple(score([gold], [predicted], PROTOCOLS[protocol], **options).total)


class TestCounts:
    def test_ratios(self):
        counts = Counts(correct=3, predicted=4, gold=6)
        assert counts.precision == 3 / 4
        assert counts.recall == 3 / 6
        assert counts.f1 == pytest.approx(2 * 0.75 * 0.5 / (0.75 + 0.5))

    @pytest.mark.parametrize(
        "counts", [Counts(), Counts(0, 5, 0), Counts(0, 0, 5), Counts(0, 2, 2)]
    )
    def test_undefined_ratios_are_zero(self, counts):
        assert (counts.precision, counts.recall, counts.f1) == (0.0, 0.0, 0.0)

    def test_addition_is_by_field(self):
        assert Counts(1, 2, 3) + Counts(10, 20, 30) == Counts(11, 22, 33)

    def test_metrics_hold_the_six_numbers(self):
        assert Counts(1, 2, 4).metrics() == {
            "precision": 0.5,
            "recall": 0.25,
            "f1": pytest.approx(1 / 3),
            "correct": 1,
            "predicted": 2,
            "gold": 4,
        }


class TestExact:
    GOLD = _document(("Ann Moore", "company", "Time Inc."), ("Time Inc.", "place", "New York"))

    def test_all_three_parts_must_agree(self):
        predicted = _document(
            ("Ann Moore", "company", "Time Inc."),
            ("Time Inc.", "company", "New York"),
            ("Time", "place", "New York"),
            ("Time Inc.", "place", "York"),
            ("New York", "place", "Time Inc."),
        )
        assert _total(self.GOLD, predicted, "exact") == (1, 5, 2)

    def test_repeated_triples_count_once_on_either_side(self):
        twice = _document(*self.GOLD.triples, *self.GOLD.triples)
        assert _total(twice, self.GOLD, "exact") == (2, 2, 2)
        assert _total(self.GOLD, twice, "exact") == (2, 2, 2)

    def test_spans_and_scores_do_not_matter(self):
        predicted = _document(
            Triple("Ann Moore", "company", "Time Inc.", (0, 9), (21, 30), score=-0.5)
        )
        assert _total(self.GOLD, predicted, "exact") == (1, 1, 2)

    def test_a_triple_of_another_sentence_is_not_correct(self):
        gold = [self.GOLD, _document(("New York", "likes", "Time"), id="b")]
        swapped = [
            dataclasses.replace(gold[0], triples=gold[1].triples),
            dataclasses.replace(gold[1], triples=gold[0].triples),
        ]
        assert score(gold, swapped, PROTOCOLS["exact"]).total == Counts(0, 3, 3)


class TestNayak:
    GOLD = _document(("Ann Moore", "company", "Time Inc."))
    PREDICTED = _document(
        ("Ann Moore", "company", "Time Inc."),
        ("Time", "company", "Time"),
        ("Ann Moore", "likes", "Time"),
    )

    def test_drops_self_loops_and_unknown_relations(self):
        assert _total(self.GOLD, self.PREDICTED, "nayak") == (1, 1, 1)

    def test_relations_can_be_given(self):
        known = {"company", "likes"}
        assert _total(self.GOLD, self.PREDICTED, "nayak", relations=known) == (1, 2, 1)

    def test_a_relation_is_known_when_any_gold_document_has_it(self):
        gold = [self.GOLD, _document(("New York", "likes", "Time"), id="b")]
        predictions = [self.PREDICTED, _document(id="b")]
        assert score(gold, predictions, PROTOCOLS["nayak"]).total == Counts(1, 2, 2)

    def test_gold_is_never_dropped(self):
        gold = _document(("Time", "company", "Time"))
        assert _total(gold, gold, "nayak") == (0, 0, 1)

    def test_the_dropped_do_not_count_by_length_either(self):
        gold = _document(("New York", "place", "Time"))
        predicted = _document(("New York", "place", "New York"))
        result = score([gold], [predicted], PROTOCOLS["nayak"])
        assert result.by_length["2"] == Counts(0, 0, 1)


class TestPartial:
    GOLD = _document(("Ann Moore", "company", "Time Inc."))

    @pytest.mark.parametrize(
        ("head", "tail", "last", "first"),
        [
            ("Ann Moore", "Time Inc.", 1, 1),
            ("Moore", "Inc.", 1, 0),
            ("Ann", "Time", 0, 1),
            ("Ann", "Inc.", 0, 0),
            ("Bob Moore", "Life Inc.", 1, 0),
        ],
    )
    def test_one_word_of_an_entity_decides(self, head, tail, last, first):
        predicted = _document((head, "company", tail))
        assert _total(self.GOLD, predicted, "partial_last") == (last, 1, 1)
        assert _total(self.GOLD, predicted, "partial_first") == (first, 1, 1)

    def test_the_relation_must_agree(self):
        predicted = _document(("Ann Moore", "place", "Time Inc."))
        assert _total(self.GOLD, predicted, "partial_last") == (0, 1, 1)
        assert _total(self.GOLD, predicted, "partial_first") == (0, 1, 1)

    def test_triples_that_become_equal_count_once(self):
        predicted = _document(("Ann Moore", "company", "Inc."), ("Moore", "company", "Inc."))
        assert _total(self.GOLD, predicted, "partial_last") == (1, 1, 1)
        assert _total(self.GOLD, predicted, "partial_first") == (0, 2, 1)


class TestSpan:
    FIRST = Triple("Ann Moore", "likes", "Time", (0, 9), (21, 25))
    SECOND = Triple("Ann Moore", "likes", "Time", (0, 9), (51, 55))

    def test_the_same_names_elsewhere_are_another_triple(self):
        assert _total(_document(self.FIRST), _document(self.FIRST), "span") == (1, 1, 1)
        assert _total(_document(self.FIRST), _document(self.SECOND), "span") == (0, 1, 1)
        assert _total(_document(self.FIRST, self.SECOND), _document(self.SECOND), "span") == (
            (1, 1, 2)
        )

    @pytest.mark.parametrize("lacking", ["head_span", "tail_span"])
    def test_a_prediction_without_a_span_counts_and_is_never_correct(self, lacking):
        predicted = _document(dataclasses.replace(self.FIRST, **{lacking: None}))
        assert _total(_document(self.FIRST), predicted, "span") == (0, 1, 1)

    @pytest.mark.parametrize("lacking", ["head_span", "tail_span"])
    def test_gold_without_a_span_is_an_error_that_names_the_document(self, lacking):
        gold = _document(dataclasses.replace(self.FIRST, **{lacking: None}), id="doc-7")
        with pytest.raises(ScoringError, match=r"'doc-7'.*no spans: give head_span and tail_span"):
            score([gold], [gold], PROTOCOLS["span"])


class TestPair:
    A, B, C = (_document(id=name) for name in "abc")

    def test_joins_on_id_in_the_order_of_gold(self):
        predicted = {
            d.id: dataclasses.replace(d, triples=(Triple("x", "r", "y"),))
            for d in (self.A, self.B, self.C)
        }
        pairs = pair([self.B, self.A, self.C], iter(predicted.values()))
        assert pairs == [(d, predicted[d.id]) for d in (self.B, self.A, self.C)]

    def test_a_missing_prediction_is_an_error(self):
        with pytest.raises(ScoringError, match=r"2 of 3 gold ids are not in predicted.*'b'"):
            pair([self.A, self.B, self.C], [self.A])

    def test_an_unknown_id_is_an_error(self):
        with pytest.raises(ScoringError, match=r"2 predicted ids are not in gold.*'b'"):
            pair([self.A], [self.A, self.B, self.C])

    @pytest.mark.parametrize("role", ["gold", "predicted"])
    def test_an_id_that_repeats_is_an_error(self, role):
        once, twice = [self.A], [self.A, self.A]
        with pytest.raises(ScoringError, match=f"{role} document 'a' occurs twice"):
            pair(*((twice, once) if role == "gold" else (once, twice)))

    def test_another_text_is_an_error(self):
        other = dataclasses.replace(self.B, text=TEXT + " .")
        with pytest.raises(ScoringError, match=r"'b'.*text differ"):
            pair([self.A, self.B], [self.A, other])


class TestByLength:
    def test_classes_are_those_of_gold_and_predicted_triples_alike(self):
        gold = _document(
            ("Ann Moore", "company", "Time Inc."),
            ("Ann Moore", "place", "New York City"),
            ("Ann", "likes", "Time"),
            ("University of New York", "place", "New York City"),
        )
        predicted = _document(
            ("Ann Moore", "company", "Time Inc."),
            ("Ann Moore", "place", "New York"),
            ("Ann", "likes", "Time"),
            ("University of New York", "place", "New York City"),
        )
        result = score([gold], [predicted], PROTOCOLS["exact"])
        assert result.total == Counts(3, 4, 4)
        assert result.by_length == {
            "2": Counts(2, 3, 3),
            "3": Counts(1, 1, 2),
            "3+": Counts(1, 1, 1),
        }

    def test_classes_go_by_the_full_entities_under_partial_protocols(self):
        gold, predicted = (_document((head, "likes", "Time")) for head in ("Ann Moore", "Moore"))
        result = score([gold], [predicted], PROTOCOLS["partial_last"])
        assert result.total == Counts(1, 1, 1)
        assert result.by_length["2"] == Counts(0, 0, 1)


def test_scores_of_documents_are_in_the_order_of_gold_and_add_up():
    gold = [_document(("Ann Moore", "likes", "Time"), id="b"), _document(("x", "r", "y"), id="a")]
    predictions = [_document(("x", "r", "y"), ("y", "r", "x"), id="a"), _document(id="b")]
    scores = score_documents(gold, predictions, PROTOCOLS["exact"])
    assert [s.total for s in scores] == [Counts(0, 0, 1), Counts(1, 2, 1)]
    total = score(gold, predictions, PROTOCOLS["exact"])
    assert total == scores[0] + scores[1]
    assert total.metrics() == {
        **Counts(1, 2, 2).metrics(),
        "by_length": {
            "2": Counts(0, 0, 1).metrics(),
            "3": Counts().metrics(),
            "3+": Counts().metrics(),
        },
    }


def test_an_empty_corpus_scores_zero():
    assert score([], [], PROTOCOLS["exact"]) == Score()


def test_a_protocol_of_ones_own():
    pairs_only = Protocol(lambda triple: frozenset((triple.head, triple.tail)))
    gold, predicted = _document(("a", "r", "b")), _document(("b", "s", "a"))
    assert score([gold], [predicted], pairs_only).total == Counts(1, 1, 1)


def _same(one: Triple, other: Triple, protocol: str) -> bool:
    if one.relation != other.relation:
        return False
    for name_one, name_other in ((one.head, other.head), (one.tail, other.tail)):
        if protocol == "partial_last":
            same = name_one.rpartition(" ")[2] == name_other.rpartition(" ")[2]
        elif protocol == "partial_first":
            same = name_one.partition(" ")[0] == name_other.partition(" ")[0]
        else:
            same = name_one == name_other
        if not same:
            return False
    if protocol == "span":
        return (one.head_span, one.tail_span) == (other.head_span, other.tail_span)
    return True


def _in_class(triple: Triple, name: str | None) -> bool:
    spaces = [triple.head.count(" "), triple.tail.count(" ")]
    return {
        None: True,
        "2": max(spaces) > 0,
        "3": 2 in spaces,
        "3+": max(spaces) > 2,
    }[name]


def _literal_counts(gold, predictions, protocol: str, name: str | None) -> Counts:
    """METHOD section 7 by nested loops over lists."""
    relations = [triple.relation for document in gold for triple in document.triples]
    correct = num_predicted = num_gold = 0
    for document in gold:
        true, guessed = [], []
        for triple in document.triples:
            if _in_class(triple, name) and not any(_same(triple, t, protocol) for t in true):
                true.append(triple)
        (prediction,) = (p for p in predictions if p.id == document.id)
        for triple in prediction.triples:
            dropped = triple.head == triple.tail or triple.relation not in relations
            if protocol == "nayak" and dropped:
                continue
            if _in_class(triple, name) and not any(_same(triple, t, protocol) for t in guessed):
                guessed.append(triple)
        num_gold += len(true)
        num_predicted += len(guessed)
        correct += sum(_same(g, t, protocol) for g in guessed for t in true)
    return Counts(correct, num_predicted, num_gold)


def _random_triple(rng: random.Random, relations: str) -> Triple:
    head, tail = (" ".join(rng.choices("ab", k=rng.choice((1, 1, 2, 3, 4)))) for _ in range(2))
    spans = [(start := rng.randrange(2), start + len(name)) for name in (head, tail)]
    return Triple(head, rng.choice(relations), tail, *spans)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_cases_equal_the_literal_scorer(protocol):
    rng = random.Random(protocol)
    num_correct = 0
    for _ in range(300):
        gold, predictions = [], []
        for id in "abc"[: rng.randint(1, 3)]:
            true = [_random_triple(rng, "xy") for _ in range(rng.randrange(5))]
            noise = [_random_triple(rng, "xyz") for _ in range(rng.randrange(5))]
            kept = rng.sample(true, k=rng.randint(0, len(true)))
            gold.append(_document(*true, id=id))
            predictions.append(_document(*noise, *kept, id=id))
        rng.shuffle(predictions)
        result = score(gold, predictions, PROTOCOLS[protocol])
        assert result.total == _literal_counts(gold, predictions, protocol, None)
        for name, counts in result.by_length.items():
            assert counts == _literal_counts(gold, predictions, protocol, name)
        num_correct += result.total.correct
    assert num_correct > 100
