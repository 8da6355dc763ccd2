"""Metrics of an evaluation: the score, and that of triples which training did not have."""

import ml_collections
import pytest

from grel.extraction import evaluate
from grel.families.writer import Tally
from grel.runs.checkpoint import CheckpointError
from grel.runs.evaluations import read_evaluation
from grel.scoring.seen import SeenTriples
from tests.evaluated import GOLD, WEAK, documents

TRAINED = SeenTriples.of(documents({"1": GOLD["1"]}))


def _metrics(seen, protocol="exact", relations=("company", "lives_in", "in", "has")):
    gold, predictions = documents(GOLD), documents(WEAK)
    return evaluate.metrics(gold, predictions, Tally(cut=1), protocol, relations, seen)


def _counts(scores):
    return [scores[name] for name in ("correct", "predicted", "gold")]


def test_seen_and_unseen_add_up_to_all():
    metrics = _metrics(TRAINED)
    # One triple of training is found, and one of three others; two more are invented.
    assert _counts(metrics["seen"]) == [1, 1, 2]
    assert _counts(metrics["unseen"]) == [1, 3, 3]
    assert _counts(metrics) == [2, 4, 5]
    assert metrics["unseen"]["f1"] == pytest.approx(1 / 3)
    assert metrics["unseen"].keys() == metrics["seen"].keys() == set(_SIX)
    assert metrics["decoding"]["cut"] == 1


_SIX = ("precision", "recall", "f1", "correct", "predicted", "gold")


def test_what_a_protocol_drops_is_in_no_class():
    known = ("company", "lives_in")
    metrics = _metrics(TRAINED, "nayak", known)
    assert _counts(metrics["unseen"]) == [0, 1, 3]


class _Extractor:
    """It has written a wrong triple of a relation that it knows and gold lacks."""

    relations = ("company", "has", "in", "lives_in", "says")

    def documents(self, gold):
        invented = ("Nothing is", "says", "here", 0.4)
        return documents({**WEAK, "3": [*WEAK["3"], invented]}), Tally()


@pytest.mark.parametrize("protocol", ["exact", "nayak", "partial_last"])
def test_who_reads_an_evaluation_counts_as_it_did(tmp_path, protocol):
    config = ml_collections.ConfigDict({"eval": {"split": "test", "protocol": protocol}})
    about = {"step": 40, "tuned": None, "seen_triples": TRAINED.to_text()}
    gold = documents(GOLD)
    predictions, found = evaluate.evaluate_checkpoint(_Extractor(), about, gold, config)
    assert found["predicted"] == 5
    evaluate.write(tmp_path / "run" / "eval" / "test", gold, predictions, found)
    read = read_evaluation(tmp_path / "run", "test")
    assert read.total.metrics() == {name: found[name] for name in _SIX}
    by_length = {name: counts.metrics() for name, counts in read.by_length.items()}
    assert by_length == found["by_length"]


def test_without_the_training_triples_they_are_left_out(caplog):
    assert evaluate.seen_triples({"step": 1}) is None
    assert "unseen triples is unknown; python -m grel.score --train" in caplog.text
    assert not {"seen", "unseen"} & _metrics(None).keys()


def test_a_checkpoint_tells_them():
    seen = evaluate.seen_triples({"step": 1, "seen_triples": TRAINED.to_text()})
    assert all(triple in seen for triple in documents(GOLD)[0].triples)
    with pytest.raises(CheckpointError, match=r"^step 7: its training triples are damaged"):
        evaluate.seen_triples({"step": 7, "seen_triples": TRAINED.to_text()[:-4]})
