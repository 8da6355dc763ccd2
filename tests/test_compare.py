"""What one system gets right and another does not, by command."""

import json
from pathlib import Path

import pytest

from grel import compare
from tests.evaluated import GOOD, WEAK, write_evaluation


@pytest.fixture
def runs(tmp_path):
    write_evaluation(tmp_path / "good", predictions=GOOD)
    write_evaluation(tmp_path / "weak", predictions=WEAK)
    return [f"--workdir={tmp_path / 'good'}", f"--compare={tmp_path / 'weak'}"]


def test_jsonl_has_a_line_for_each_document_that_differs(runs, capsys):
    assert compare.main([*runs, "--format=jsonl"]) == 0
    found = {r["id"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(found) == ["1", "2", "3"]
    assert found["1"]["found_by_first"] == [["Ann Moore", "lives_in", "New York"]]
    assert found["1"]["wrong_in_second"] == [["Ann Moore", "lives_in", "York"]]
    assert found["2"]["missed_by_both"] == [["Norway", "has", "Oslo"]]
    assert found["3"]["wrong_in_second"] == [["Nothing", "in", "here"]]


def test_systems_that_agree_leave_nothing_to_list(runs, capsys):
    same = [runs[0], runs[0].replace("workdir", "compare")]
    assert compare.main([*same, "--format=jsonl"]) == 0
    assert capsys.readouterr().out == ""


def test_markdown_counts_and_lists(runs, tmp_path, capsys):
    assert compare.main([*runs, f"--output={tmp_path / 'out.md'}"]) == 0
    assert capsys.readouterr().out == ""
    text = (tmp_path / "out.md").read_text()
    assert text.startswith("# good against weak\n")
    assert "| found by good only | 2 |" in text
    assert "| missed by both | 1 |" in text
    assert "- found by good only: Ann Moore ; lives_in ; New York\n" in text
    assert "- wrong in weak only: Nothing ; in ; here\n" in text


def test_runs_of_one_name_are_told_apart(tmp_path, capsys):
    folders = [write_evaluation(tmp_path / part / "run") for part in "ab"]
    argv = [f"--workdir={tmp_path / 'a' / 'run'}", f"--compare={tmp_path / 'b' / 'run'}"]
    assert compare.main(argv) == 0
    assert capsys.readouterr().out.startswith(f"# {folders[0]} against {folders[1]}\n")


def test_the_protocol_decides_what_is_right(runs, capsys):
    assert compare.main([*runs, "--format=jsonl", "--protocol=partial_last"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["2", "3"]


@pytest.mark.parametrize(
    ("other", "message"), [("none", "no such folder"), ("fewer", "2 documents")]
)
def test_errors_are_one_line_on_stderr(runs, tmp_path, capsys, other, message):
    fewer = {id: GOOD[id] for id in "12"}
    write_evaluation(tmp_path / "fewer", predictions=fewer, gold=fewer)
    assert compare.main([runs[0], f"--compare={tmp_path / other}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


@pytest.mark.parametrize("name", ["gold.jsonl", "predictions.jsonl", "metrics.json"])
def test_what_is_compared_is_not_written_over(runs, capsys, name):
    for run in runs:
        file = Path(run.partition("=")[2], "eval", "test", name)
        before = file.read_bytes()
        assert compare.main([*runs, f"--output={file}"]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "is the input" in err
        assert file.read_bytes() == before


def test_a_name_is_escaped_once():
    text = "".join(compare.to_markdown([], "a<b", "c|d"))
    assert text.startswith("# a&lt;b against c\\|d")
    assert "found by a&lt;b only" in text
    assert "&amp;" not in text
