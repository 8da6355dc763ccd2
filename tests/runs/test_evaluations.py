"""Which evaluations a path stands for, what they are called, and errors that say what to do."""

import json

import pytest

from grel.records import RecordError
from grel.runs import layout
from grel.runs.evaluations import WorkdirError, by_seen, read_evaluation, read_evaluations, setting
from grel.scoring.protocols import Counts, ScoringError
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation


def _names(paths, split="test"):
    return [evaluation.name for evaluation in read_evaluations(paths, split)]


def test_an_evaluation_is_read_whole(tmp_path):
    folder = write_evaluation(tmp_path / "run", predictions=dict(reversed(WEAK.items())))
    (found,) = read_evaluations([tmp_path / "run"], "test")
    assert found.gold == documents(GOLD)
    assert found.predictions == documents(WEAK)
    assert (found.folder, found.workdir) == (folder, (tmp_path / "run").resolve())
    assert (found.name, found.split, found.copy) == ("run", "test", "on")
    assert (found.dataset, found.corpus) == ("nyt24", "nyt24:reduced test")


def test_a_run_stands_for_all_its_evaluations_of_the_split(tmp_path):
    write_evaluation(tmp_path / "run")
    write_evaluation(tmp_path / "run", "copy_off", copy="off")
    write_evaluation(tmp_path / "run", "validation", split="validation")
    write_evaluation(tmp_path / "other")
    assert _names([tmp_path / "run", tmp_path / "other"]) == ["run/copy_off", "run/test", "other"]
    assert _names([tmp_path / "run"], "validation") == ["run"]
    assert _names([tmp_path / "run" / "eval" / "copy_off"]) == ["run/copy_off"]


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    folders = [write_evaluation(tmp_path / part / "run") for part in "ab"]
    names = _names([tmp_path / "a" / "run", tmp_path / "b" / "run"])
    assert names == [str(folder) for folder in folders]


def test_one_evaluation_is_that_of_the_split_or_of_the_folder(tmp_path):
    write_evaluation(tmp_path / "run")
    folder = write_evaluation(tmp_path / "run", "copy_off", copy="off")
    assert read_evaluation(tmp_path / "run", "test").copy == "on"
    found = read_evaluation(folder, "test")
    assert (found.copy, found.name) == ("off", "run/copy_off")


@pytest.mark.parametrize(
    ("data", "dataset", "corpus"),
    [
        ({"variant": ""}, "nyt24", "nyt24 test"),
        ({"name": "jsonl", "variant": "", "manual_dir": "/x/mine"}, "mine", "mine test"),
        ({"name": "jsonl", "variant": "", "manual_dir": ""}, "jsonl", "jsonl test"),
        ({"name": None, "variant": None}, "unnamed", "unnamed test"),
    ],
)
def test_a_corpus_is_called_after_its_data_set_and_split(tmp_path, data, dataset, corpus):
    write_evaluation(tmp_path, data=data)
    found = read_evaluation(tmp_path, "test")
    assert (found.dataset, found.corpus) == (dataset, corpus)


@pytest.mark.parametrize("facts", [{}, {"config": 1}, {"config": {"a": 2}}, {"config": {"a": {}}}])
def test_a_setting_that_is_not_there_is_none(facts):
    assert setting(facts, "a.b") is None


@pytest.mark.parametrize("read", [read_evaluation, lambda p, s: read_evaluations([p], s)])
def test_what_is_missing_is_told_with_the_way_to_make_it(tmp_path, read):
    with pytest.raises(WorkdirError, match="no such folder"):
        read(tmp_path / "none", "test")
    folder = write_evaluation(tmp_path / "run", "validation", split="validation")
    with pytest.raises(
        WorkdirError,
        match=r"no evaluation of test \(there is validation\); .*--mode=eval --workdir=.*run "
        "--config.eval.split=test",
    ):
        read(tmp_path / "run", "test")
    (folder / "metrics.json").unlink()
    with pytest.raises(RecordError, match=r"cannot read: No such file.*evaluate again"):
        read(folder, "validation")


def test_an_evaluation_of_another_split_is_an_error(tmp_path):
    folder = write_evaluation(tmp_path, "validation", split="validation")
    with pytest.raises(WorkdirError, match="evaluation of validation; say --split=validation"):
        read_evaluations([folder], "test")


def test_triples_seen_in_training_are_known_under_the_protocol_evaluated_with(tmp_path):
    write_evaluation(tmp_path, predictions=WEAK, trained={"1": GOLD["1"]})
    metrics = read_evaluation(tmp_path, "test").metrics
    expected = {"unseen": Counts(1, 3, 3), "seen": Counts(1, 1, 2)}
    assert by_seen(metrics) == by_seen(metrics, "exact") == expected
    assert by_seen(metrics, "nayak") is None
    assert by_seen({"protocol": "exact"}, "exact") is None


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "{}", json.dumps({"split": 3})),
        *(json.dumps({"split": "test", "unseen": found}) for found in (1, {}, {"correct": 0.5})),
        json.dumps({"split": "test", "seen": {"correct": 1, "predicted": 1, "gold": 1}}),
    ],
)
def test_faulty_metrics_are_an_error_that_names_the_file(tmp_path, text):
    folder = write_evaluation(tmp_path)
    (folder / "metrics.json").write_text(text)
    with pytest.raises(RecordError, match=r"metrics\.json: "):
        read_evaluations([tmp_path], "test")


def test_predictions_of_other_documents_are_an_error_that_names_the_folder(tmp_path):
    write_evaluation(tmp_path, predictions={"1": GOOD["1"]})
    with pytest.raises(ScoringError, match=r"eval/test: 2 of 3 gold ids"):
        read_evaluations([tmp_path], "test")


@pytest.mark.parametrize(
    "name", ["eval", "eval/test", "eval/test/gold.jsonl", "eval/test/metrics.json"]
)
@pytest.mark.parametrize(
    "read", [read_evaluation, lambda path, split: read_evaluations([path], split)]
)
def test_nothing_is_read_through_a_link(tmp_path, name, read):
    write_evaluation(tmp_path / "run")
    (tmp_path / "run" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(layout.LinkError, match=f"{name}: is a link"):
        read(tmp_path / "run", "test")
