"""The scoring command: its two outputs, its errors, and that it stays light."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from grel import score
from grel.scoring.protocols import PROTOCOLS

REPO = Path(__file__).parents[1]
TEXT = "Ann Moore , chairman of Time Inc. , likes Time"
GOLD = {
    "head": "Ann Moore",
    "relation": "company",
    "tail": "Time Inc.",
    "head_span": [0, 9],
    "tail_span": [24, 33],
}
SHORT = {**GOLD, "head": "Moore", "head_span": [4, 9], "score": -0.25}
BARE = {"head": "Ann Moore", "relation": "company", "tail": "Time Inc.", "score": -0.5}
OTHER = {"head": "Ann Moore", "relation": "likes", "tail": "Time"}
COUNTS = ("correct", "predicted", "gold")


@pytest.fixture
def write(tmp_path):
    def write_records(name, text=TEXT, **triples_by_id):
        path = tmp_path / f"{name}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for id, triples in triples_by_id.items():
                file.write(json.dumps({"id": id, "text": text, "triples": triples}) + "\n")
        return f"--{name}={path}"

    return write_records


def _run_json(capsys, *argv):
    assert score.main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_the_keys_of_the_contract(write, capsys):
    gold = write("gold", a=[GOLD], b=[GOLD])
    result = _run_json(capsys, gold, write("pred", b=[SHORT], a=[GOLD, SHORT]))
    by_length = result.pop("by_length")
    assert result == {
        "precision": pytest.approx(1 / 3),
        "recall": 0.5,
        "f1": pytest.approx(0.4),
        "correct": 1,
        "predicted": 3,
        "gold": 2,
        "unlike_text": 0,
    }
    del result["unlike_text"]
    assert list(by_length) == ["2", "3", "3+"]
    assert by_length["2"] == result
    assert all(value == 0 for value in by_length["3"].values())
    assert by_length["3+"].keys() == result.keys()


@pytest.mark.parametrize(
    ("protocol", "correct"),
    [("exact", 0), ("nayak", 0), ("partial_last", 1), ("partial_first", 0), ("span", 0)],
)
def test_the_protocol_is_the_one_asked_for(write, capsys, protocol, correct):
    files = write("gold", a=[GOLD]), write("pred", a=[SHORT])
    assert _run_json(capsys, *files, f"--protocol={protocol}")["correct"] == correct


def test_relations_are_known_that_gold_lacks(write, capsys):
    files = write("gold", a=[GOLD]), write("pred", a=[GOLD, SHORT, OTHER])
    train = write("train", x=[GOLD])
    for relations, predicted in (
        ([], 2),
        (["--relations=company, likes"], 3),
        # It adds nothing to the list: predictions of what gold has and it lacks are dropped.
        (["--relations=likes"], 1),
    ):
        result = _run_json(capsys, *files, train, "--protocol=nayak", *relations)
        assert result["predicted"] == predicted
        assert result["seen"]["predicted"] + result["unseen"]["predicted"] == predicted
    exact = _run_json(capsys, *files, train)
    assert _run_json(capsys, *files, train, "--relations=likes") == exact


def test_exact_is_the_default(write, capsys):
    files = write("gold", a=[GOLD]), write("pred", a=[SHORT, GOLD])
    assert _run_json(capsys, *files) == _run_json(capsys, *files, "--protocol=exact")


def test_train_adds_triples_that_it_lacks_and_has(write, capsys):
    files = write("gold", a=[GOLD, OTHER], b=[GOLD]), write("pred", a=[GOLD, SHORT], b=[OTHER])
    without = _run_json(capsys, *files)
    result = _run_json(capsys, *files, write("train", x=[BARE]))
    unseen, seen = result.pop("unseen"), result.pop("seen")
    assert result == without
    assert [[one[name] for name in COUNTS] for one in (unseen, seen)] == [[0, 2, 1], [1, 1, 2]]
    assert seen.keys() == unseen.keys() == without.keys() - {"by_length", "unlike_text"}
    assert (unseen["f1"], seen["precision"], seen["recall"]) == (0, 1, 0.5)
    assert score.main([*files, write("train", x=[BARE])]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert rows[1] == ["unseen", "in", "training", *["0.0000"] * 3, "0", "2", "1"]
    assert rows[2] == ["seen", "in", "training", "1.0000", "0.5000", "0.6667", "1", "1", "2"]


def test_names_are_compared_in_full_whatever_the_protocol(write, capsys):
    files = write("gold", a=[GOLD]), write("pred", a=[SHORT])
    result = _run_json(capsys, *files, write("train", x=[BARE]), "--protocol=partial_last")
    assert [result[name] for name in COUNTS] == [1, 1, 1]
    assert [result["seen"][name] for name in COUNTS] == [0, 0, 1]
    assert [result["unseen"][name] for name in COUNTS] == [0, 1, 0]


def test_help_names_every_protocol(capsys):
    with pytest.raises(SystemExit) as exit_info:
        score.main(["--help"])
    assert exit_info.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ") and line.split()} >= set(
        PROTOCOLS
    )


def test_table_is_aligned_and_shows_the_error_classes(write, capsys):
    files = write("gold", a=[GOLD], b=[GOLD]), write("pred", a=[GOLD, SHORT], b=[SHORT])
    assert score.main(list(files)) == 0
    lines = capsys.readouterr().out.splitlines()
    header, *rows = lines[:5]
    assert len({len(line) for line in (header, *rows)}) == 1
    assert rows[0].split() == ["all", "triples", "0.3333", "0.5000", "0.4000", "1", "3", "2"]
    assert [line.split()[-1] for line in lines[6:]] == ["5", "2", "0", "0"]


def test_predictions_without_spans_are_noted_under_span(write, capsys):
    files = write("gold", a=[GOLD]), write("pred", a=[BARE, GOLD])
    assert score.main([*files, "--protocol=span", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(out)[name] for name in COUNTS] == [1, 2, 1]
    assert "note: 1 predicted" in err
    assert score.main([*files, "--json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("head", "correct", "unlike"),
    [("José", 1, 0), ("Jose\u0301", 1, 0), ("Jose", 0, 1), ("JOSÉ", 0, 1), ("Pepe", 0, 0)],
)
def test_names_that_gold_spells_unlike_its_text(write, capsys, protocol, head, correct, unlike):
    """Composed and decomposed letters are equal; other differences count as wrong, and are told."""
    text = "José lives in Oslo , José"
    copied = {"head": "José", "relation": "lives_in", "tail": "Oslo", "tail_span": [14, 18]}
    copied["head_span"] = [0, 4]
    gold = {**copied, "head": head}
    if head in ("JOSÉ", "Pepe"):
        protocol = "exact"
        del gold["head_span"]
    files = write("gold", text, a=[gold, gold]), write("pred", text, a=[copied])
    assert score.main([*files, f"--protocol={protocol}", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["correct"], result["unlike_text"]) == (correct, unlike)
    assert ("note: 1 gold names are spelled unlike their text" in err) == unlike


@pytest.mark.parametrize(
    ("gold", "pred", "options", "message"),
    [
        ({"a": [GOLD], "b": []}, {"a": [GOLD]}, [], "1 of 2 gold ids"),
        ({"a": [GOLD]}, {"a": [], "b": []}, [], "not in gold"),
        ({"a": [BARE]}, {"a": []}, ["--protocol=span"], "'a'"),
        ({"a": [{"head": "Ann"}]}, {"a": []}, [], "gold.jsonl:1: "),
    ],
)
def test_errors_are_one_line_on_stderr(write, capsys, gold, pred, options, message):
    assert score.main([write("gold", **gold), write("pred", **pred), *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_a_missing_file_is_one_line_on_stderr(write, tmp_path, capsys):
    assert score.main([write("gold", a=[]), f"--pred={tmp_path / 'none.jsonl'}"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "none.jsonl" in err


@pytest.mark.parametrize(
    "argv",
    [
        *([], ["--gold=x"], ["--gold=x", "--pred=x", "--protocol=fuzzy"], ["--gold=-", "--pred=-"]),
        ["--gold=x", "--pred=-", "--train=-"],
        *(["--gold=x", "--pred=x", option] for option in ("--relations=", "--relations=a,,b")),
    ],
)
def test_wrong_usage_exits_with_two(argv, capsys):
    with pytest.raises(SystemExit) as exit_info:
        score.main(argv)
    assert exit_info.value.code == 2
    assert capsys.readouterr().out == ""


def test_runs_as_a_module(write):
    files = write("gold", a=[GOLD]), write("pred", a=[GOLD])
    command = [sys.executable, "-m", "grel.score", *files, "--json"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["f1"] == 1.0


def test_one_of_the_files_may_be_standard_input(write, capsys, monkeypatch):
    gold = write("gold", a=[GOLD])
    record = json.dumps({"id": "a", "text": TEXT, "triples": [GOLD]}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(record)))
    assert _run_json(capsys, gold, "--pred=-")["f1"] == 1.0
