"""Which evaluations a path stands for, what they are called, and errors that say what to do."""

import dataclasses
import json

import pytest

from grel.records import RecordError
from grel.runs import layout
from grel.runs.evaluations import (
    WorkdirError,
    all_evaluations,
    read_evaluation,
    read_evaluations,
    setting,
    told_apart,
)
from grel.scoring.protocols import Counts, ScoringError
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation

READERS = [read_evaluation, lambda path, split: read_evaluations([path], split)]


def _names(paths, split="test"):
    return [evaluation.name for evaluation in read_evaluations(paths, split)]


def test_an_evaluation_is_read_whole(tmp_path):
    folder = write_evaluation(tmp_path / "run", predictions=dict(reversed(WEAK.items())))
    (found,) = read_evaluations([tmp_path / "run"], "test")
    assert found.gold == documents(GOLD)
    assert found.predictions == documents(WEAK)
    assert found.pairs == list(zip(documents(GOLD), documents(WEAK), strict=True))
    assert (found.folder, found.workdir) == (folder, (tmp_path / "run").resolve())
    assert (found.name, found.split, found.copy) == ("run", "test", "on")
    assert (found.dataset, found.corpus) == ("nyt24", "nyt24:reduced test")
    assert found.protocol == "exact"


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
    alike = [read_evaluation(folder, "test") for folder in (*folders, folders[0])]
    other = dataclasses.replace(alike[1], name="other")
    assert [e.name for e in told_apart([alike[0], other, alike[2]], "xyz")] == ["x", "other", "z"]


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


@pytest.mark.parametrize("read", READERS)
def test_what_is_missing_is_told_with_the_way_to_make_it(tmp_path, read):
    with pytest.raises(WorkdirError, match="no such folder"):
        read(tmp_path / "none", "test")
    write_evaluation(tmp_path / "run", "validation", split="validation")
    with pytest.raises(
        WorkdirError,
        match=r"no evaluation of test \(there is validation\); .*--mode=eval --workdir=.*run "
        "--config.eval.split=test",
    ):
        read(tmp_path / "run", "test")


def test_only_who_asks_for_one_evaluation_gets_it_without_its_metrics(tmp_path):
    folder = write_evaluation(tmp_path / "run")
    (folder / "metrics.json").unlink()
    found = read_evaluation(tmp_path / "run", "test")
    assert (found.metrics, found.protocol, found.split) == ({}, "exact", "test")
    assert found.gold == documents(GOLD)
    for path in (folder, tmp_path / "run"):
        with pytest.raises(RecordError, match=r"cannot read: No such file.*evaluate again"):
            read_evaluations([path], "test")


def test_a_run_has_evaluations_of_all_splits_and_their_records_are_not_read(tmp_path):
    write_evaluation(tmp_path)
    for file in write_evaluation(tmp_path, "copy_off", split="validation").glob("*.jsonl"):
        file.unlink()
    found = [(e.folder.name, e.split) for e in all_evaluations(tmp_path)]
    assert found == [("copy_off", "validation"), ("test", "test")]


def test_records_are_read_and_judged_once_under_the_protocol_asked_for(tmp_path):
    folder = write_evaluation(tmp_path, predictions=WEAK)
    read = {p: read_evaluation(folder, "test", p) for p in (None, "exact", "partial_last")}
    totals = {protocol: evaluation.total for protocol, evaluation in read.items()}
    assert totals[None] == totals["exact"] == Counts(2, 4, 5)
    assert totals["partial_last"] == Counts(3, 4, 5)
    assert read[None].judged is read[None].judged
    assert read[None].pairs is read[None].pairs


def test_an_evaluation_of_another_split_is_an_error(tmp_path):
    folder = write_evaluation(tmp_path, "validation", split="validation")
    with pytest.raises(WorkdirError, match="evaluation of validation; say --split=validation"):
        read_evaluations([folder], "test")


def test_another_protocol_judges_the_same_records(tmp_path):
    folder = write_evaluation(tmp_path / "run", predictions=WEAK)
    (exact,) = read_evaluations([tmp_path / "run"], "test", "exact")
    assert exact.total.correct == 2
    (folder / "predictions.jsonl").unlink()
    found = exact.under("partial_last")
    assert (found.protocol, found.total.correct, exact.total.correct) == ("partial_last", 3, 2)
    assert found == dataclasses.replace(exact, protocol="partial_last")
    assert exact.under("partial_last") is found
    assert found.under("exact") is exact
    renamed = exact.called("other")
    assert renamed == dataclasses.replace(exact, name="other")
    assert renamed.judged is exact.judged
    assert renamed.under("partial_last").name == "other"


def test_known_relations_are_those_that_the_evaluation_was_scored_with(tmp_path):
    folder = write_evaluation(tmp_path, predictions=WEAK, gold={**GOLD, "2": []})
    # Of an earlier version: gold has no "in" now, and two predictions of it are dropped.
    assert read_evaluation(tmp_path, "test", "nayak").total == Counts(1, 2, 2)
    metrics = json.loads((folder / "metrics.json").read_text())
    known = ["company", "in", "lives_in"]
    (folder / "metrics.json").write_text(json.dumps({**metrics, "relations": known}))
    exact = read_evaluation(tmp_path, "test")
    for found in (read_evaluation(tmp_path, "test", "nayak"), exact.under("nayak")):
        assert found.total == exact.total == Counts(1, 4, 2)
        assert found.by_length == exact.by_length


def test_triples_seen_in_training_are_known_under_the_protocol_evaluated_with(tmp_path):
    write_evaluation(tmp_path / "told", predictions=WEAK, trained={"1": GOLD["1"]})
    write_evaluation(tmp_path / "silent", predictions=WEAK)
    told, silent = (read_evaluation(tmp_path / name, "test") for name in ("told", "silent"))
    nayak = read_evaluation(tmp_path / "told", "test", "nayak")
    expected = {"unseen": Counts(1, 3, 3), "seen": Counts(1, 1, 2)}
    assert (told.by_seen, told.unseen_f1) == (expected, 1 / 3)
    assert nayak.by_seen is silent.by_seen is nayak.unseen_f1 is None
    # Training is then said to have had document 2 instead.
    train = documents({"2": GOLD["2"]})
    given = {"unseen": Counts(1, 3, 2), "seen": Counts(1, 1, 3)}
    assert dataclasses.replace(told, train=train).by_seen == expected
    assert dataclasses.replace(nayak, train=train).by_seen == given
    assert dataclasses.replace(silent, train=train).by_seen == given


def _seen(*counts):
    """Metrics with these counts of the triples that training did not have."""
    unseen = dict(zip(("correct", "predicted", "gold"), counts, strict=True))
    return json.dumps({"split": "test", "unseen": unseen, "seen": unseen})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ("{}", "'split' is missing"),
        ('{"split": 3}', "'split' must be a string"),
        ('{"split": "test", "protocol": "fuzzy"}', "unknown protocol 'fuzzy'"),
        ('{"split": "test", "protocol": []}', "'protocol' must be a string"),
        ('{"split": "test", "decoding": 3}', "'decoding' must be an object"),
        ('{"split": "test", "relations": "in"}', "'relations' must be a list"),
        ('{"split": "test", "relations": ["in", 1]}', r"relations\[1\]: it must be a string"),
        ('{"split": "test", "unseen": 1}', "'unseen' must be an object"),
        ('{"split": "test", "unseen": {}}', "'correct' is missing"),
        ('{"split": "test", "unseen": {"correct": 0.5}}', "'correct' must be an integer"),
        ('{"split": "test", "seen": {}}', "'unseen' is missing"),
        ('{"split": "test", "config": [1]}', "'config' must be an object"),
        ('{"split": "test", "config": {"data": "x"}}', "'config.data' must be an object"),
        ('{"split": "test", "config": {"decoding": null}}', "'config.decoding' must be an object"),
        (_seen(1, -2, 2), "'unseen': 1 correct of -2 predicted and 2 gold triples cannot be"),
        (_seen(-1, 2, 2), "'unseen': -1 correct of 2 predicted"),
        (_seen(3, 2, 3), "'unseen': 3 correct of 2 predicted"),
        (_seen(3, 3, 2), "'unseen': 3 correct of 3 predicted and 2 gold"),
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_faulty_metrics_are_an_error_that_names_the_file(tmp_path, read, text, message):
    folder = write_evaluation(tmp_path)
    (folder / "metrics.json").write_text(text)
    with pytest.raises(RecordError, match=rf"metrics\.json: .*{message}"):
        read(tmp_path, "test")


def test_predictions_of_other_documents_are_an_error_that_names_the_folder(tmp_path):
    write_evaluation(tmp_path, predictions={"1": GOOD["1"]})
    found = read_evaluation(tmp_path, "test")
    with pytest.raises(ScoringError, match=r"eval/test: 2 of 3 gold ids"):
        found.judged  # noqa: B018


@pytest.mark.parametrize(
    "name", ["eval", "eval/test", "eval/test/gold.jsonl", "eval/test/metrics.json"]
)
@pytest.mark.parametrize("read", READERS)
def test_nothing_is_read_through_a_link(tmp_path, name, read):
    write_evaluation(tmp_path / "run")
    (tmp_path / "run" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(layout.LinkError, match=f"{name}: is a link"):
        read(tmp_path / "run", "test")
