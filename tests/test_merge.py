"""Predictions of several systems as one, by command."""

import json

import pytest

from grel import merge

TEXT = "Ann lives in Oslo"


@pytest.fixture
def write(tmp_path):
    def write(name, *triples, id="1"):
        """A file of one document, whose triples are relations and scores."""
        found = [
            {"head": "Ann", "relation": r, "tail": "Oslo", **({} if s is None else {"score": s})}
            for r, s in triples
        ]
        path = tmp_path / name
        path.write_text(json.dumps({"id": id, "text": TEXT, "triples": found}) + "\n")
        return str(path)

    return write


def test_what_is_chosen_is_what_merges_best(write, capsys):
    gold = write("gold.jsonl", ("in", None), ("likes", None))
    known = write("known.jsonl", ("in", 1.0))
    model = write("model.jsonl", ("in", 0.9), ("likes", 0.8), ("hates", 0.3))
    preds = [f"--pred={known}", f"--pred={model}"]
    assert merge.main([*preds, f"--gold={gold}"]) == 0
    chosen, _, counts = capsys.readouterr().out.partition(": ")
    assert counts == "precision 1.0000, recall 1.0000, F1 1.0000\n"
    assert merge.main([*preds, chosen]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [(t["relation"], t["score"]) for t in record["triples"]] == [("in", 1), ("likes", 0.8)]


def test_without_least_scores_all_are_kept(write, tmp_path, capsys):
    preds = [f"--pred={write(name, (name, None))}" for name in ("a", "b", "c")]
    assert merge.main([*preds, f"--output={tmp_path / 'out.jsonl'}"]) == 0
    assert capsys.readouterr().out == ""
    triples = json.loads((tmp_path / "out.jsonl").read_text())["triples"]
    assert [t["relation"] for t in triples] == ["a", "b", "c"]


def test_a_vote(write, capsys):
    gold = write("gold.jsonl", ("in", None))
    preds = [
        f"--pred={write('a', ('in', 0.8), ('likes', 0.5))}",
        f"--pred={write('b', ('in', 0.6), ('hates', None))}",
    ]
    assert merge.main([*preds, "--mean", f"--gold={gold}"]) == 0
    chosen, _, counts = capsys.readouterr().out.partition(": ")
    assert (chosen, counts[:16]) == ("--min_scores=0.6", "precision 1.0000")
    assert merge.main([*preds, "--mean"]) == 0
    triples = json.loads(capsys.readouterr().out)["triples"]
    scores = [(t["relation"], round(t["score"], 9)) for t in triples]
    assert scores == [("in", 0.7), ("likes", 0.25), ("hates", 0.5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min_scores=0"], "has 1 numbers: give 2, one for each --pred"),
        (["--mean", "--min_scores=0,0"], "has 2 numbers: give 1, for the mean"),
        *(
            ([f"--min_scores={text}"], "argument --min_scores: it must be numbers, as 0,0.7\n")
            for text in ("0,x", "0,nan", "0,", "")
        ),
        (["--min_scores=0,0", "--gold=x"], "give one of them"),
        (["--gold=x", "--output=y"], "give one of them"),
        (["--gold=x", "--output=-"], "give one of them"),
        (["--pred=-", "--gold=-"], "only one of"),
    ],
)
def test_wrong_usage_is_refused(write, capsys, arguments, message):
    preds = [f"--pred={write(name, ('r', 1.0))}" for name in "ab"]
    try:
        status = merge.main([*preds, *arguments])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("beside", [[], ["--min_scores=0,0"], ["--mean"]])
def test_what_is_merged_is_not_written_over(write, tmp_path, monkeypatch, capsys, beside):
    files = [write(name, ("r", 1.0)) for name in ("a", "b")]
    before = [path.read_bytes() for path in tmp_path.iterdir()]
    monkeypatch.chdir(tmp_path)
    for output in (*files, "b", f"{tmp_path}/../{tmp_path.name}/a"):
        assert merge.main([*(f"--pred={f}" for f in files), f"--output={output}", *beside]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"error: {output}: is the input ")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before


def test_other_documents_are_one_line(write, capsys):
    preds = [f"--pred={write(name, ('r', 1.0), id=name)}" for name in "ab"]
    assert merge.main(preds) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "both must be of the same documents" in err
