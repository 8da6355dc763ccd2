"""Tables 1 to 5 from small runs, number by number, and the published rows beside them."""

import pytest

from grel.scoring.protocols import PROTOCOLS, score
from grel.tables import paper, published
from grel.tables.systems import read_systems
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation


@pytest.fixture
def systems(tmp_path):
    write_evaluation(tmp_path / "run", predictions=GOOD, trained={"1": GOLD["1"]})
    write_evaluation(tmp_path / "run", "test_copy_off", predictions=WEAK, copy="off")
    write_evaluation(tmp_path / "other", predictions=WEAK)
    paths = [tmp_path / "run", tmp_path / "other"]
    return read_systems(paths, "test", "exact", {})


def _rows(table, source):
    return [row[1:] for row in table.rows if row[0] == source]


def test_the_five_tables_have_a_cell_for_every_column(systems):
    tables = list(paper.tables(systems, "exact"))
    assert [table.name[:6] for table in tables] == [f"table{n}" for n in range(1, 6)]
    for table in tables:
        assert table.records()
        assert {row[0] for row in table.rows} == {"measured", "paper"}


def test_main_results(systems):
    rows = _rows(paper.main_results(systems, "exact"), "measured")
    assert rows == [
        ("run/test", "nyt24:reduced test", 1.0, 4 / 5, pytest.approx(8 / 9), 4 / 5),
        ("run/test_copy_off", "nyt24:reduced test", 2 / 4, 2 / 5, pytest.approx(4 / 9), None),
        ("other", "nyt24:reduced test", 2 / 4, 2 / 5, pytest.approx(4 / 9), None),
    ]


def test_the_gain_is_over_the_same_run_without_copying(systems):
    table = paper.ablation(systems, "exact")
    rows = [(row[0], row[1], *row[-2:]) for row in _rows(table, "measured")]
    assert rows == [
        ("run/test", "on", 4 / 5, pytest.approx(4 / 9)),
        ("run/test_copy_off", "off", None, None),
        ("other", "on", None, None),
    ]
    (note,) = (note for note in table.notes if "copy=off" in note)
    assert note.startswith("other was not evaluated without copying")
    assert "--config.eval.name=test_copy_off" in note


def test_other_parameters_are_no_counterpart(systems):
    systems[1].metrics["step"] = 41
    table = paper.ablation(systems, "exact")
    assert {row[-1] for row in _rows(table, "measured")} == {None}
    assert sum("copy=off" in note for note in table.notes) == 2


def test_entity_errors(systems):
    rows = _rows(paper.entity_errors(systems), "measured")
    assert rows[0] == ("run/test", "on", "nyt24:reduced test", 0, 0, 0, 6)
    assert rows[1] == ("run/test_copy_off", "off", "nyt24:reduced test", 1, 0, 2, 7)


def test_by_length_is_that_of_the_score(systems):
    table = paper.by_length(systems, "exact")
    expected = score(documents(GOLD), documents(WEAK), PROTOCOLS["exact"]).by_length
    row = _rows(table, "measured")[1]
    assert row[2:] == (
        *(expected[name].f1 for name in ("2", "3", "3+")),
        *(expected[name].gold for name in ("2", "3", "3+")),
    )
    assert row[2:] == (2 / 5, 0.0, 0.0, 3, 0, 0)


def test_corpora_stand_once_with_the_training_data(tmp_path, systems):
    rows = _rows(paper.corpora(systems), "measured")
    assert rows == [("nyt24:reduced test", 3, 5, 4, 2, 0, 0)]
    train = tmp_path / "run" / "eval" / "test" / "predictions.jsonl"
    with_train = read_systems([tmp_path / "run"], "test", "exact", {"nyt24": train})
    rows = _rows(paper.corpora(with_train), "measured")
    assert rows[1:] == [("nyt24 (--data)", 3, 4, 3, 2, 0, 0)]


def test_the_protocol_is_the_one_asked_for(tmp_path):
    write_evaluation(tmp_path / "run", predictions=WEAK)
    systems = read_systems([tmp_path / "run"], "test", "partial_last", {})
    (row,) = _rows(paper.main_results(systems, "partial_last"), "measured")
    assert row[2:4] == (3 / 4, 3 / 5)
    (row,) = _rows(paper.by_length(systems, "partial_last"), "measured")
    assert row[2] == 4 / 5
    assert "protocol partial_last" in paper.main_results(systems, "partial_last").notes[0]


def test_published_rows_agree_with_themselves():
    """F1 follows from precision and recall; rounding explains .0005, that of MrMep is off .0014."""
    for name, by_corpus in published.MAIN.items():
        for corpus, (precision, recall, f1) in by_corpus.items():
            computed = 2 * precision * recall / (precision + recall)
            assert f1 == pytest.approx(computed, abs=0.0015), (name, corpus)
    assert published.MAIN["GenerativeRE"] == published.ABLATION["Pretrained", "on"]
    assert published.MAIN["GenerativeRE"]["NYT24"] == (0.880, 0.847, 0.863)
    assert published.ERRORS["NYT24", "off"] == (539, 179)
    assert published.ERRORS["NYT29", "on"] == (249, 37)
    assert published.BY_LENGTH["GenerativeRE"] == (0.817, 0.735, 0.714)
    assert published.CORPORA["NYT29", "test"] == (4006, 5859, 2718, 406, 116)
    assert published.CORPORA["NYT24", "train"][:2] == (56196, 88366)


def test_published_rows_are_marked_and_gains_computed():
    table = paper.ablation([], "exact")
    assert ("Pretrained", "on", "NYT24", 0.880, 0.847, 0.863, None, 0.088) in _rows(table, "paper")
    assert len(_rows(paper.main_results([], "exact"), "paper")) == 11
    assert ("GenerativeRE", "NYT24", 0.817, 0.735, 0.714, None, None, None) in _rows(
        paper.by_length([], "exact"), "paper"
    )
