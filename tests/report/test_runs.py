"""Reading a run folder: what is required, what may be missing, and what each fault says."""

import json

import pytest

from grel.records import RecordError
from grel.report.runs import ReportError, read_run
from grel.runs import layout
from grel.runs.evaluations import WorkdirError
from tests.report import sample


@pytest.fixture
def run_folder(tmp_path):
    return sample.write_run(tmp_path / "run")


def test_a_full_folder_needs_no_notes_but_that_some_sentences_have_no_trace(run_folder):
    run = read_run(run_folder, "test")
    assert run.name == "run"
    assert [document.id for document in run.gold] == list(sample.GOLD)
    assert run.curves["train"] == {"loss": [(1, 2.0), (2, 1.0)]}
    assert run.curves["validation"]["f1"] == [(2, 0.44)]
    assert list(run.traces) == ["right"]
    assert run.notes == ["3 sentences have no decoding trace."]


def test_what_is_missing_is_said_with_how_to_make_it(run_folder):
    for name in ("metrics.jsonl", "eval/test/metrics.json", "eval/test/trace.jsonl"):
        (run_folder / name).unlink()
    run = read_run(run_folder, "test")
    assert (run.metrics, run.curves, run.traces, run.protocol) == ({}, {}, {}, "exact")
    assert [note.split(":")[0] for note in run.notes] == [
        "No metrics.json of the evaluation",
        "No training log (metrics.jsonl of the work folder)",
        "No decoding traces",
    ]
    assert "--mode=predict" in run.notes[2]


def test_missing_folders_are_errors_that_say_how_to_make_them(run_folder, tmp_path):
    with pytest.raises(WorkdirError, match="no such folder; give the --workdir of a run"):
        read_run(tmp_path / "none", "test")
    with pytest.raises(WorkdirError, match=r"there is test.*--mode=eval .*split=dev$"):
        read_run(run_folder, "dev")


def test_one_evaluation_of_a_run_by_its_folder(run_folder):
    whole, one = read_run(run_folder, "test"), read_run(run_folder / "eval" / "test", "test")
    assert (whole.name, one.name) == (run_folder.name, f"{run_folder.name}/test")
    assert (one.curves, one.pairs) == (whole.curves, whole.pairs)
    assert one.curves


def test_a_resumed_log_tells_each_step_once_and_a_cut_line_is_noted(run_folder):
    log = run_folder / "metrics.jsonl"
    lines = ['{"split": "train", "step": 2, "loss": 0.5}', '{"split": "tr', '{"step": 3}']
    lines.append('{"split": "train", "step": 3, "loss": NaN}')
    log.write_text(log.read_text() + "\n".join(lines))
    run = read_run(run_folder, "test")
    assert run.curves["train"]["loss"] == [(1, 2.0), (2, 0.5)]
    assert run.notes[0].startswith("3 lines of the training log")


def test_windows_belong_to_their_text_and_foreign_traces_are_noted(run_folder):
    traces = [{**sample.TRACE, "id": id} for id in ("right", "right#2", "else", "else#2")]
    sample.write_lines(run_folder / "eval/test/trace.jsonl", traces)
    run = read_run(run_folder, "test")
    assert [trace.id for trace in run.traces["right"]] == ["right", "right#2"]
    assert run.notes[0].startswith("2 traces are of sentences")


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ('{"protocol": "fuzzy"}', "unknown protocol 'fuzzy'"),
        ('{"protocol": []}', "'protocol' must be a string"),
        ('{"decoding": 3}', "'decoding' must be an object"),
        ('{"unseen": {"correct": "1"}}', "'correct' must be an integer"),
        ("[", "not JSON"),
    ],
)
def test_faulty_metrics_are_one_line(run_folder, metrics, message):
    (run_folder / "eval/test/metrics.json").write_text(metrics)
    with pytest.raises(RecordError, match=message):
        read_run(run_folder, "test")


def test_an_evaluation_of_nothing_is_an_error(run_folder):
    for name in ("gold", "predictions"):
        (run_folder / f"eval/test/{name}.jsonl").write_text("")
    with pytest.raises(ReportError, match="no records"):
        read_run(run_folder, "test")


def test_the_protocol_is_that_of_the_evaluation(run_folder):
    (run_folder / "eval/test/metrics.json").write_text(json.dumps({"protocol": "nayak"}))
    assert read_run(run_folder, "test").protocol == "nayak"


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "eval/test/metrics.json", "eval/test/trace.jsonl"]
)
def test_nothing_is_read_through_a_link(run_folder, tmp_path, name):
    (run_folder / name).rename(tmp_path / "elsewhere")
    (run_folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(layout.LinkError, match=f"{name}: is a link"):
        read_run(run_folder, "test")
