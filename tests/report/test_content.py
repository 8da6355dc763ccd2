"""The data behind the page, for one system and for two."""

import json

import pytest

from grel.report.content import data_block
from grel.report.runs import read_run
from grel.runs.evaluations import read_evaluation
from tests.report import sample


def _data(*folders):
    evaluations = [read_evaluation(folder, "test") for folder in folders]
    return json.loads(json.dumps(data_block(evaluations, read_run(evaluations[0]).traces)))


def test_a_sentence_has_its_rows_marks_classes_and_trace(tmp_path):
    data = _data(sample.write_run(tmp_path / "run"))
    right, relation, disorder, _ = data["sentences"]
    assert right["classes"] == []
    assert len(right["traces"]) == 1
    assert "traces" not in relation
    assert relation["classes"] == ["missed", "relation"]
    assert disorder["classes"] == ["missed", "disorder"]
    (row,) = disorder["predicted"][0]
    assert (row["head"], row["status"], row["score"]) == ("Moore Ann", "wrong", 0.3)
    assert row["errors"] == ["disorder"]
    # Gold head is mark 0; the predicted head stands nowhere, so it has none.
    assert disorder["pieces"][0] == ["Ann Moore", [0]]
    assert data["relations"][right["gold"][1]["relation"]] == "lives_in"
    assert [name for name, _ in data["classes"]] == ["missed", "disorder", "relation"]
    assert data["comparisons"] == []


def test_two_systems_tell_who_finds_what(tmp_path):
    folders = [
        sample.write_run(tmp_path / "one"),
        sample.write_run(tmp_path / "two", {"right": [sample.LIVES], "relation": [sample.WORKS]}),
    ]
    data = _data(*folders)
    compare = {sentence["id"]: sentence["compare"] for sentence in data["sentences"]}
    assert compare == {
        "right": ["first", "both"],
        "relation": ["second"],
        "disorder": ["neither"],
        "hostile": ["both"],
    }
    assert data["sentences"][0]["gold"][0]["status"] == ["found", "missed"]
    assert [name for name, _ in data["comparisons"]] == ["first", "second", "neither", "both"]


def test_gold_files_may_list_triples_in_another_order(tmp_path):
    folders = [
        sample.write_run(tmp_path / "one"),
        sample.write_run(tmp_path / "two", {"right": [sample.LIVES]}),
    ]
    gold = folders[1] / "eval/test/gold.jsonl"
    records = list(map(json.loads, gold.read_text().splitlines()))
    sample.write_lines(gold, [{**r, "triples": r["triples"][::-1]} for r in records])
    right = _data(*folders)["sentences"][0]
    statuses = {row["tail"]: row["status"] for row in right["gold"]}
    assert statuses == {"Time Inc.": ["found", "missed"], "New York": ["found", "found"]}
    assert right["compare"] == ["first", "both"]


def test_every_class_that_a_row_names_has_its_text(tmp_path):
    reverse = sample.triple(sample.ANN, "Time Inc.", "company", "Ann Moore")
    folders = [
        sample.write_run(tmp_path / "one"),
        sample.write_run(tmp_path / "two", {"right": [sample.WORKS, reverse]}),
    ]
    data = _data(*folders)
    rows = [row for one in data["sentences"] for side in one["predicted"] for row in side]
    named = {name for row in rows for name in row["errors"]}
    assert named == {"disorder", "relation", "reversed"}
    assert {name for name, _ in data["classes"]} == {"missed", *named}


@pytest.mark.parametrize("num_relations", [3, 40])
def test_rare_relations_are_folded_and_nothing_is_lost(tmp_path, num_relations):
    wrong = {"relation": [{**sample.WORKS, "relation": f"r{n}"} for n in range(num_relations)]}
    confusion = _data(sample.write_run(tmp_path / "run", wrong))["confusion"]
    # Three right ones, and company of "relation" against each of the others.
    assert sum(len(sentences) for *_, sentences in confusion["cells"]) == 3 + num_relations
    names = confusion["names"]
    assert len(names) <= 32
    assert (names[-1] == "(all others)") == (num_relations == 40)
    assert all(max(gold, predicted) < len(names) for gold, predicted, *_ in confusion["cells"])
    kinds = {(gold == predicted, kind) for gold, predicted, kind, _ in confusion["cells"]}
    assert kinds == {(True, "right"), (False, "wrong")}


def test_among_the_folded_right_and_wrong_are_counted_apart(tmp_path):
    often = [{**sample.WORKS, "relation": f"r{n}"} for n in range(40)]
    # lives_in and near are confused but once, and <b>bold</b> is right.
    once = [sample.WORKS, {**sample.LIVES, "relation": "near"}]
    predicted = {"relation": often, "disorder": often, "right": once}
    confusion = _data(sample.write_run(tmp_path / "run", predicted))["confusion"]
    others = confusion["names"].index("(all others)")
    found = [rest for gold, predicted, *rest in confusion["cells"] if gold == predicted == others]
    assert found == [["right", [3]], ["wrong", [0]]]
