"""Reading a run folder: what is required, what may be missing, and what each fault says."""

import pytest

from grel.report.runs import ReportError, read_run
from grel.runs import layout
from grel.runs.evaluations import read_evaluation
from tests.report import sample


@pytest.fixture
def run_folder(tmp_path):
    return sample.write_run(tmp_path / "run")


def _read(folder):
    return read_run(read_evaluation(folder, "test"))


def test_a_full_folder_needs_no_notes_but_that_some_sentences_have_no_trace(run_folder):
    run = _read(run_folder)
    assert run.curves["train"] == {"loss": [(1, 2.0), (2, 1.0)]}
    assert run.curves["validation"]["f1"] == [(2, 0.44)]
    assert list(run.traces) == ["right"]
    assert run.notes == ["3 sentences have no decoding trace."]


def test_what_is_missing_is_said_with_how_to_make_it(run_folder):
    for name in ("metrics.jsonl", "eval/test/metrics.json", "eval/test/trace.jsonl"):
        (run_folder / name).unlink()
    run = _read(run_folder)
    assert (run.evaluation.protocol, run.curves, run.traces) == ("exact", {}, {})
    assert [note.split(":")[0] for note in run.notes] == [
        "No metrics.json of the evaluation",
        "No training log (metrics.jsonl of the work folder)",
        "No decoding traces",
    ]
    assert "--mode=predict" in run.notes[2]


def test_one_evaluation_of_a_run_has_the_curves_of_the_run(run_folder):
    found = _read(run_folder / "eval" / "test").curves
    assert found
    assert found == _read(run_folder).curves


def test_a_resumed_log_tells_each_step_once_and_a_cut_line_is_noted(run_folder):
    log = run_folder / "metrics.jsonl"
    lines = ['{"split": "train", "step": 2, "loss": 0.5}', '{"split": "tr', '{"step": 3}']
    lines.append('{"split": "train", "step": 3, "loss": NaN}')
    log.write_text(log.read_text() + "\n".join(lines))
    run = _read(run_folder)
    assert run.curves["train"]["loss"] == [(1, 2.0), (2, 0.5)]
    assert run.notes[0].startswith("3 lines of the training log")


def test_windows_belong_to_their_text_and_foreign_traces_are_noted(run_folder):
    traces = [{**sample.TRACE, "id": id} for id in ("right", "right#2", "else", "else#2")]
    sample.write_lines(run_folder / "eval/test/trace.jsonl", traces)
    run = _read(run_folder)
    assert [trace.id for trace in run.traces["right"]] == ["right", "right#2"]
    assert run.notes[0].startswith("2 traces are of sentences")


def test_an_evaluation_of_nothing_is_an_error(run_folder):
    for name in ("gold", "predictions"):
        (run_folder / f"eval/test/{name}.jsonl").write_text("")
    with pytest.raises(ReportError, match="no records"):
        _read(run_folder)


@pytest.mark.parametrize("name", ["metrics.jsonl", "eval/test/trace.jsonl"])
def test_nothing_is_read_through_a_link(run_folder, tmp_path, name):
    (run_folder / name).rename(tmp_path / "elsewhere")
    (run_folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(layout.LinkError, match=f"{name}: is a link"):
        _read(run_folder)
