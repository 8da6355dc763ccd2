"""The tables beyond the paper: which there are, and that each shows what its function finds."""

import pytest

from grel.records import Document, Triple, write_jsonl
from grel.scoring import bootstrap
from grel.scoring.protocols import PROTOCOLS
from grel.tables import details
from grel.tables.details import Resampling
from grel.tables.systems import all_runs, read_systems
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation

RESAMPLING = Resampling(200, 1)
CORPUS = "nyt24:reduced test"


def _read(paths, protocol="exact", train=None):
    return all_runs(read_systems(paths, "test", protocol, train or {}))


def _systems(tmp_path, *predictions, **train):
    for number, one in enumerate(predictions):
        write_evaluation(tmp_path / f"run{number}", predictions=one)
    return _read([tmp_path / f"run{n}" for n in range(len(predictions))], train=train)


def _names(systems):
    return [table.name for table in details.tables(systems, RESAMPLING)]


def test_tables_without_something_to_tell_are_left_out(tmp_path):
    unscored = {id: [t[:3] for t in triples] for id, triples in GOOD.items()}
    alone = ["confidence_intervals", "by_protocol", "by_overlap", "by_num_triples", "by_relation"]
    assert _names(_systems(tmp_path / "a", unscored)) == alone
    assert _names(_systems(tmp_path / "b", GOOD)) == [*alone, "calibration"]
    both = _systems(tmp_path / "c", GOOD, WEAK)
    assert _names(both) == [alone[0], "significance", *alone[1:], "calibration"]
    write_jsonl(tmp_path / "train.jsonl", documents(GOLD))
    trained = _systems(tmp_path / "d", GOOD, nyt24=tmp_path / "train.jsonl")
    assert _names(trained) == [*alone, "by_seen_triples", "by_unseen_entities", "calibration"]
    for table in details.tables(both, RESAMPLING):
        assert table.records()


def test_intervals_are_those_of_the_bootstrap_by_the_common_protocols(tmp_path):
    systems = _systems(tmp_path, GOOD, WEAK)
    table = details.intervals(systems, RESAMPLING)
    counts_E3 = bootstrap.counts(systems[1].judged)
    found = bootstrap.confidence_intervals(counts_E3, num_resamples=200, seed=1)
    by_protocol = [p for p in ("exact", "partial_last") for _ in range(3)]
    assert [row[2] for row in table.rows] == by_protocol * 2
    assert [row[3] for row in table.rows] == ["precision", "recall", "F1"] * 4
    assert table.rows[8] == (
        *("run1", CORPUS, "exact", "F1", pytest.approx(4 / 9)),
        *(found["f1"].low, found["f1"].high),
    )
    assert table.rows[9][:5] == ("run1", CORPUS, "partial_last", "precision", 3 / 4)
    assert "200 resamples from seed 1" in table.notes[0]
    span = _read([tmp_path / "run0"], "nayak")
    shown = {row[2] for row in details.intervals(span, RESAMPLING).rows}
    assert shown == {"exact", "partial_last", "nayak"}


def test_significance_is_of_pairs_on_one_corpus(tmp_path):
    systems = _systems(tmp_path, GOOD, WEAK, GOOD)
    rows = details.significance(systems, RESAMPLING).rows
    assert [row[:3] for row in rows] == [
        ("run0", "run1", CORPUS),
        ("run0", "run2", CORPUS),
        ("run1", "run2", CORPUS),
    ]
    assert rows[0][3] == pytest.approx(4 / 9)
    assert rows[2][3] == pytest.approx(-4 / 9)
    assert rows[1][3:] == (0.0, 0.0, 0.0, 1.0)


def test_systems_of_other_corpora_are_not_compared(tmp_path):
    write_evaluation(tmp_path / "a")
    fewer = {"1": GOLD["1"]}
    write_evaluation(
        tmp_path / "b", gold=fewer, predictions={"1": GOOD["1"]}, data={"name": "nyt29"}
    )
    systems = _read([tmp_path / "a", tmp_path / "b"])
    assert [system.corpus for system in systems] == [CORPUS, "nyt29:reduced test"]
    assert "significance" not in _names(systems)


def test_span_has_a_row_where_gold_has_spans(tmp_path):
    folder = write_evaluation(tmp_path / "run")
    text = "Bob Ray lives in Oslo , Norway ."
    triples = [
        Triple("Bob Ray", "lives_in", "Oslo", (0, 7), (17, 21)),
        Triple("Oslo", "in", "Norway", (17, 21), (24, 30)),
    ]
    write_jsonl(folder / "gold.jsonl", [Document("1", text, tuple(triples))])
    elsewhere = Triple("Oslo", "in", "Norway")
    write_jsonl(folder / "predictions.jsonl", [Document("1", text, (triples[0], elsewhere))])
    table = details.by_protocol(_read([tmp_path / "run"]))
    found = {row[2]: row[-3:] for row in table.rows}
    assert list(found) == list(PROTOCOLS)
    assert (found["exact"], found["span"]) == ((2, 2, 2), (1, 2, 2))


def test_every_protocol_has_a_row_but_span_where_gold_has_no_spans(tmp_path):
    table = details.by_protocol(_systems(tmp_path, WEAK))
    assert [row[2] for row in table.rows] == [name for name in PROTOCOLS if name != "span"]
    found = {row[2]: row[-3:] for row in table.rows}
    assert found["exact"] == found["nayak"] == (2, 4, 5)
    assert found["partial_last"] == (3, 4, 5)
    assert found["partial_first"] == (2, 4, 5)
    assert any(note.startswith("run0, span: ") for note in table.notes)


def test_classes_that_nothing_falls_in_are_left_out(tmp_path):
    tables = {t.name: t for t in details.tables(_systems(tmp_path, WEAK), RESAMPLING)}
    numbers = {row[2]: row[-3:] for row in tables["by_num_triples"].rows}
    assert numbers == {"0": (0, 1, 0), "2": (1, 2, 2), "3": (1, 1, 3)}
    overlaps = {row[2]: row[-3:] for row in tables["by_overlap"].rows}
    assert overlaps == {"normal": (0, 1, 0), "single entity": (2, 3, 5)}
    relations = {row[2]: row[-3:] for row in tables["by_relation"].rows}
    assert relations["lives_in"] == (0, 1, 2)
    assert list(relations) == ["lives_in", "company", "has", "in"]


def test_seen_triples_are_those_of_the_evaluation_or_else_of_the_data(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", documents({"2": GOLD["2"]}))
    write_evaluation(tmp_path / "a", predictions=WEAK, trained={"1": GOLD["1"]})
    write_evaluation(tmp_path / "b", predictions=WEAK)

    def numbers(protocol, **train):
        systems = _read([tmp_path / "a", tmp_path / "b"], protocol, train)
        rows = details.by_seen(systems).rows
        assert all(row[1] == CORPUS for row in rows)
        return {(row[0], row[2]): row[-3:] for row in rows}

    told = {("a", "unseen"): (1, 3, 3), ("a", "seen"): (1, 1, 2)}
    assert numbers("exact") == told
    # Training is then said to have had document 2 instead.
    given = {"unseen": (1, 3, 2), "seen": (1, 1, 3)}
    train = {"nyt24": tmp_path / "train.jsonl"}
    assert numbers("exact", **train) == told | {("b", name): n for name, n in given.items()}
    assert numbers("partial_last", **train)["a", "unseen"] == (2, 3, 2)


def test_unseen_entities_are_those_not_in_the_training_triples(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", documents({"2": GOLD["2"]}))
    systems = _systems(tmp_path, WEAK, nyt24=tmp_path / "train.jsonl")
    found = {row[2]: row[-3:] for row in details.by_novelty(systems).rows}
    assert found == {"both entities seen": (1, 1, 3), "both entities unseen": (1, 3, 2)}


def test_calibration_ends_with_the_expected_error(tmp_path):
    rows = details.calibration(_systems(tmp_path, WEAK)).rows
    assert len(rows) == 11
    assert rows[3][2:] == ("0.3 to 0.4", 1, 0.3, 0.0, 0.3)
    assert rows[0][2:] == ("0.0 to 0.1", 0, None, None, None)
    expected = (0.1 + 0.3 + 0.2 + 0.2) / 4
    assert rows[-1][2:] == ("all", 4, None, None, pytest.approx(expected))


def test_scores_that_are_no_probabilities_are_told_of(tmp_path):
    logits = {"1": [("Ann Moore", "company", "Time Inc.", -3.5)], "2": [], "3": []}
    table = details.calibration(_systems(tmp_path, logits, WEAK))
    assert {row[0] for row in table.rows} == {"run1"}
    assert any(note.startswith("run0: ") and "no probability" in note for note in table.notes)
