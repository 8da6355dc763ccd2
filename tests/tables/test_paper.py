"""Tables 1 to 5 from small runs, number by number, and the published numbers beside them."""

import statistics

import pytest

from grel.records import write_jsonl
from grel.scoring.protocols import PROTOCOLS, score
from grel.tables import paper, published
from grel.tables.systems import all_runs, read_systems
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation

CORPUS = "nyt24:reduced test"
OFFICIAL = {"variant": "official"}


@pytest.fixture
def systems(tmp_path):
    write_evaluation(tmp_path / "run", predictions=GOOD, trained={"1": GOLD["1"]})
    write_evaluation(tmp_path / "run", "test_copy_off", predictions=WEAK, copy="off")
    write_evaluation(tmp_path / "other", predictions=WEAK)
    return _read(tmp_path, "run", "other")


@pytest.fixture
def runs(systems):
    return all_runs(systems)


def _read(folder, *names, protocol="exact", train=None):
    return read_systems([folder / name for name in names], "test", protocol, train or {})


def _rows(table, of=CORPUS):
    """The rows of a corpus without what was published."""
    measured = [i for i, name in enumerate(table.columns) if not name.startswith("published")]
    corpus = table.columns.index("corpus")
    return [tuple(row[i] for i in measured) for row in table.rows if row[corpus] == of]


def _published(table):
    """What stands in published columns, by the first cell; rows without are left out."""
    columns = [i for i, name in enumerate(table.columns) if name.startswith("published")]
    found = [(row[0], tuple(row[i] for i in columns)) for row in table.rows]
    return [(name, cells) for name, cells in found if any(cell is not None for cell in cells)]


def test_the_five_tables_have_a_cell_for_every_column(systems):
    tables = list(paper.tables(systems, "exact"))
    assert [table.name[:6] for table in tables] == [f"table{n}" for n in range(1, 6)]
    for table in tables:
        assert table.records()
        assert any(
            f"can't be compared with numbers measured on {CORPUS}:" in n for n in table.notes
        )


def test_main_results(systems):
    rows = _rows(paper.main_results(systems, "exact"))
    assert [row[:4] for row in rows] == [
        (name, CORPUS, protocol, 1)
        for name in ("run/test", "run/test_copy_off", "other")
        for protocol in ("exact", "partial_last")
    ]
    values = [row[4::2] for row in rows]
    weak = 2 / 4, 2 / 5, pytest.approx(4 / 9), None
    weak_last = 3 / 4, 3 / 5, pytest.approx(6 / 9), None
    # Which triples are unseen was counted by exact alone, and training data is not given.
    good = 1.0, 4 / 5, pytest.approx(8 / 9)
    assert values == [(*good, 4 / 5), (*good, None), weak, weak_last, weak, weak_last]
    assert {row[5::2] for row in rows} == {(None,) * 4}


def test_main_results_are_means_over_runs_that_differ_in_the_seed_alone(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", documents({"1": GOLD["1"]}))
    for seed, predictions in enumerate((GOOD, WEAK, GOOD)):
        data = {"manual_dir": f"/somewhere/{seed}"}
        write_evaluation(tmp_path / f"a-{seed}", predictions=predictions, seed=seed, data=data)
    train = {"nyt24": tmp_path / "train.jsonl"}
    systems = _read(tmp_path, "a-0", "a-1", "a-2", train=train)
    assert list(systems) == ["a"]
    for protocol, row in zip(
        ("exact", "partial_last"), _rows(paper.main_results(systems, "exact")), strict=True
    ):
        scored = [run.under(protocol) for run in systems["a"]]
        f1s = [run.total.f1 for run in scored]
        unseen = [run.unseen_f1 for run in scored]
        assert row[:4] == ("a", CORPUS, protocol, 3)
        assert row[8:] == pytest.approx(
            (*(f(v) for v in (f1s, unseen) for f in (statistics.mean, statistics.stdev)),)
        )
        assert len({*unseen}) == 2


def test_published_scores_stand_beside_the_system_of_that_name_by_its_protocol(tmp_path):
    write_evaluation(tmp_path / "a", data=OFFICIAL, model={"family": "ptdec"})
    multi = {"family": "copyre", "decoder": "multi"}
    write_evaluation(tmp_path / "b", data=OFFICIAL, model=multi)
    write_evaluation(tmp_path / "c", data=OFFICIAL)
    systems = _read(tmp_path, "a", "b", "c")
    table = paper.main_results(systems, "exact")
    rows = [(*row[:4], row[8], *row[-3:]) for row in table.rows]
    f1 = pytest.approx(8 / 9)
    corpus = "nyt24:official test"
    assert rows[:6] == [
        ("PtDec", corpus, "exact", 1, f1, 0.806, 0.773, 0.789),
        ("PtDec", corpus, "partial_last", 1, f1, None, None, None),
        ("CopyRE-multi", corpus, "exact", 1, f1, None, None, None),
        ("CopyRE-multi", corpus, "partial_last", 1, f1, 0.610, 0.566, 0.587),
        ("c", corpus, "exact", 1, f1, None, None, None),
        ("c", corpus, "partial_last", 1, f1, None, None, None),
    ]
    # Then those that were not measured.
    assert rows[6] == ("CopyMTL-multi", "nyt24 test", "exact", None, None, 0.757, 0.687, 0.720)
    assert {row[0] for row in rows[6:]} == published.SCORES.keys() - {"PtDec", "CopyRE-multi"}
    notes = " ".join(table.notes)
    assert "Published numbers are" in notes
    assert "can't be compared" not in notes


def test_published_numbers_are_those_of_the_corpora_that_were_measured(tmp_path):
    write_evaluation(tmp_path / "a", data={"name": "webnlg", "variant": ""})
    for table in paper.tables(_read(tmp_path, "a"), "exact"):
        assert _published(table) == []
        assert not any("Published" in note for note in table.notes)
    write_evaluation(tmp_path / "b", data={"name": "nyt29", "variant": "official"})
    tables = paper.tables(_read(tmp_path, "b"), "exact")
    shown = [{row[table.columns.index("corpus")] for row in table.rows} for table in tables]
    # The paper has no lengths of NYT29.
    both = {"nyt29:official test", "nyt29 test"}
    train = {"nyt29:official test", "nyt29 train"}
    assert shown == [both, both, both, {"nyt29:official test"}, train]


@pytest.mark.parametrize("data", [{"num_train": 9}, {"variant": "reduced"}])
def test_other_training_data_does_not_compare_with_what_was_published(tmp_path, data):
    write_evaluation(tmp_path / "a", data={**OFFICIAL, **data})
    notes = " ".join(paper.main_results(_read(tmp_path, "a"), "exact").notes)
    assert "can't be compared" in notes


def test_the_gain_is_over_the_same_run_without_copying(runs):
    table = paper.ablation(runs, "exact")
    rows = [(row[0], row[1], *row[-2:]) for row in _rows(table)]
    assert rows == [
        ("run/test", "on", 4 / 5, pytest.approx(4 / 9)),
        ("run/test_copy_off", "off", None, None),
        ("other", "on", None, None),
    ]
    (note,) = (note for note in table.notes if "copy=off" in note)
    assert note.startswith("other was not evaluated without copying")
    assert "--config.eval.name=test_copy_off" in note


def test_systems_without_a_choice_of_copying_are_left_out_of_the_ablation(tmp_path):
    write_evaluation(tmp_path / "a", copy=None)
    assert _rows(paper.ablation(all_runs(_read(tmp_path, "a")), "exact")) == []


def test_other_parameters_are_no_counterpart(runs):
    runs[1].metrics["step"] = 41
    table = paper.ablation(runs, "exact")
    assert {row[-1] for row in _rows(table)} == {None}
    assert sum("copy=off" in note for note in table.notes) == 2


def test_published_gains_are_over_another_model(tmp_path):
    weights = {"init_from": "weights"}
    write_evaluation(tmp_path / "a", data=OFFICIAL, model=weights)
    table = paper.ablation(all_runs(_read(tmp_path, "a")), "exact")
    assert table.rows[0][:3] == ("Pretrained + copy", "on", "nyt24:official test")
    assert _published(table) == [
        ("Pretrained + copy", (0.880, 0.847, 0.863, 0.088)),
        ("LSTM", (0.762, 0.647, 0.700, None)),
        ("LSTM + copy", (0.877, 0.777, 0.824, 0.124)),
        ("Pretrained", (0.890, 0.687, 0.775, None)),
    ]
    assert [row[1] for row in table.rows] == ["on", "off", "on", "off"]


def test_entity_errors(runs):
    table = paper.entity_errors(runs)
    rows = _rows(table)
    assert rows[0] == ("run/test", "on", CORPUS, 0, 0, 0, 6)
    assert rows[1] == ("run/test_copy_off", "off", CORPUS, 1, 0, 2, 7)
    found = [("Pretrained", (539, 179)), ("Pretrained + copy", (135, 127))]
    assert _published(table) == found


def test_by_length_is_that_of_the_score(runs):
    table = paper.by_length(runs, "exact")
    expected = score(documents(GOLD), documents(WEAK), PROTOCOLS["exact"]).by_length
    row = _rows(table)[1]
    assert row[2:] == (
        *(expected[name].f1 for name in ("2", "3", "3+")),
        *(expected[name].gold for name in ("2", "3", "3+")),
    )
    assert row[2:] == (2 / 5, 0.0, 0.0, 3, 0, 0)
    assert _published(table)[-1] == ("Pretrained + copy", (0.817, 0.735, 0.714))


def test_corpora_stand_once_with_the_training_data(tmp_path, runs):
    table = paper.corpora(runs)
    assert _rows(table) == [(CORPUS, 3, 5, 4, 2, 0, 0)]
    counts = {
        "test": (5000, 8120, 3335, 566, 112),
        "train": (56196, 88366, None, None, None),
    }
    assert _published(table) == [(CORPUS, counts["test"]), ("nyt24 train", counts["train"])]
    train = tmp_path / "run" / "eval" / "test" / "predictions.jsonl"
    systems = _read(tmp_path, "run", train={"nyt24": train})
    table = paper.corpora(all_runs(systems))
    name = "nyt24:reduced train (--data)"
    assert _rows(table, name) == [(name, 3, 4, 3, 2, 0, 0)]
    assert _published(table) == [(CORPUS, counts["test"]), (name, counts["train"])]


def test_the_protocol_is_the_one_asked_for(tmp_path):
    write_evaluation(tmp_path / "run", predictions=WEAK)
    systems = _read(tmp_path, "run", protocol="partial_first")
    table = paper.main_results(systems, "partial_first")
    assert [row[2] for row in _rows(table)] == ["exact", "partial_last", "partial_first"]
    systems = _read(tmp_path, "run", protocol="partial_last")
    (row,) = _rows(paper.by_length(all_runs(systems), "partial_last"))
    assert row[2] == 4 / 5
    notes = paper.by_length(all_runs(systems), "partial_last").notes
    assert "Measured by protocol partial_last." in notes


def test_published_numbers_agree_with_themselves():
    """F1 follows from precision and recall; rounding explains .0005, that of MrMep is off .0014."""
    for name, by_dataset in published.SCORES.items():
        for dataset, (precision, recall, f1) in by_dataset.items():
            computed = 2 * precision * recall / (precision + recall)
            assert f1 == pytest.approx(computed, abs=0.0015), (name, dataset)
    assert published.SCORES["Pretrained + copy"]["nyt24"] == (0.880, 0.847, 0.863)
    assert published.ERRORS["Pretrained"]["nyt24"] == (539, 179)
    assert published.ERRORS["Pretrained + copy"]["nyt29"] == (249, 37)
    assert published.BY_LENGTH["Pretrained + copy"]["nyt24"] == (0.817, 0.735, 0.714)
    assert published.CORPORA["test"]["nyt29"] == (4006, 5859, 2718, 406, 116)
    assert published.CORPORA["train"]["nyt24"][:2] == (56196, 88366)
