"""The report command: one file, plots, a comparison, and errors of one line."""

import json

import pytest

from grel.report.__main__ import main
from tests.report import sample

PLOTS = ("training", "thresholds", "f1_by_length", "f1_by_overlap", "f1_by_num_triples")


@pytest.fixture
def run_folder(tmp_path):
    return sample.write_run(tmp_path / "run")


def test_the_page_and_its_plots(run_folder, tmp_path):
    plots = tmp_path / "plots"
    args = [f"--workdir={run_folder}", f"--output={tmp_path / 'a.html'}", f"--plots={plots}"]
    assert main(args) == 0
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    names = [*PLOTS, "f1_by_relation"]
    assert [name for name in names if f'id="plot-{name}"' not in text] == []
    files = {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {path.name for path in plots.iterdir()} == files
    # 3 of 5 gold triples, and 3 of 5 predicted ones.
    assert "<td>0.600</td><td>0.600</td><td>0.600</td><td>3</td><td>5</td><td>5</td>" in text
    assert "3 sentences have no decoding trace." in text


def test_f1_of_unseen_triples_is_that_of_the_evaluation(run_folder, tmp_path):
    def last_cell(output):
        assert main([f"--workdir={run_folder}", f"--output={tmp_path / output}"]) == 0
        rows = (tmp_path / output).read_text(encoding="utf-8").split("not seen in training</th>")
        return rows[1].split("</td></tr>")[0].split("<td>")[-1]

    assert last_cell("a.html") == "–"
    metrics = run_folder / "eval/test/metrics.json"
    counts = {"correct": 1, "predicted": 3, "gold": 5}
    found = {**json.loads(metrics.read_text()), "unseen": counts, "seen": counts}
    metrics.write_text(json.dumps(found))
    assert last_cell("b.html") == "0.250"


def test_what_is_missing_is_left_out_and_said(run_folder, tmp_path):
    for name in ("metrics.jsonl", "eval/test/trace.jsonl"):
        (run_folder / name).unlink()
    bare = {
        id: [{k: v for k, v in t.items() if k != "score"} for t in triples]
        for id, triples in sample.PREDICTED.items()
    }
    predictions = run_folder / "eval/test/predictions.jsonl"
    predictions.unlink()
    sample.write_lines(
        predictions,
        [{"id": id, "text": sample.GOLD[id][0], "triples": t} for id, t in bare.items()],
    )
    assert main([f"--workdir={run_folder}", f"--output={tmp_path / 'a.html'}"]) == 0
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert 'id="plot-f1_by_length"' in text
    assert 'id="plot-training"' not in text
    assert 'id="plot-thresholds"' not in text
    for note in ("No training log", "No decoding traces", "No predicted triple has a score"):
        assert note in text


def test_two_runs_are_set_against_each_other(run_folder, tmp_path):
    other = sample.write_run(tmp_path / "b" / "run", {"right": [sample.WORKS]})
    args = [f"--workdir={run_folder}", f"--compare={other}", f"--output={tmp_path / 'a.html'}"]
    assert main(args) == 0
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    # Both folders are called "run", so they go by their paths.
    assert f'<th scope="row">only {run_folder}</th><td>1</td><td>0</td>' in text
    assert f'<th scope="row">only {other}</th><td>0</td><td>0</td>' in text
    assert '<th scope="row">both</th><td>2</td><td>2</td>' in text
    assert '<th scope="row">neither</th><td>2</td><td>–</td>' in text


def test_the_protocol_of_the_first_run_holds_for_both(run_folder, tmp_path):
    reflexive = sample.triple(sample.ANN, "Ann Moore", "company", "Ann Moore")
    other = sample.write_run(tmp_path / "other", {"right": [sample.WORKS, reflexive]})
    metrics = run_folder / "eval/test/metrics.json"
    metrics.write_text(metrics.read_text().replace("exact", "nayak"))
    for paths, protocol, num_wrong in (
        ((run_folder, other), "nayak", 0),
        ((other, run_folder), "exact", 1),
    ):
        args = [f"--workdir={paths[0]}", f"--compare={paths[1]}", f"--output={tmp_path / 'a.html'}"]
        assert main(args) == 0
        text = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert f"protocol {protocol}" in text
        assert f'<th scope="row">only other</th><td>0</td><td>{num_wrong}</td>' in text


def test_errors_are_one_line_and_write_nothing(run_folder, tmp_path, capsys):
    output = tmp_path / "a.html"
    other = sample.write_run(tmp_path / "other", copies=1)
    gold = run_folder / "eval/test/gold.jsonl"
    for arguments, message in (
        ([f"--workdir={tmp_path / 'none'}"], "no such folder; give"),
        ([f"--workdir={run_folder}", "--split=dev"], "--mode=eval"),
        ([f"--workdir={run_folder}", f"--compare={other}"], "on the same file"),
    ):
        assert main([*arguments, f"--output={output}"]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert message in err
    assert main([f"--workdir={run_folder}", f"--output={gold}"]) == 1
    assert "gold.jsonl as well; name another file" in capsys.readouterr().err
    gold.write_text("{}\n")
    assert main([f"--workdir={run_folder}", f"--output={output}"]) == 1
    assert "gold.jsonl:1: " in capsys.readouterr().err
    assert not output.exists()
