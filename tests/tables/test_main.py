"""The tables command: its forms, its files, its errors, and that it does without JAX."""

import csv
import json

import pytest

from grel.records import write_jsonl
from grel.tables.__main__ import main
from tests.evaluated import GOLD, GOOD, WEAK, documents, write_evaluation


@pytest.fixture
def runs(tmp_path):
    write_evaluation(tmp_path / "run", predictions=GOOD)
    write_evaluation(tmp_path / "run", "copy_off", predictions=WEAK, copy="off")
    return f"--workdirs={tmp_path / 'run'}"


def test_markdown_is_printed(runs, capsys):
    assert main([runs, "--resamples=50"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("## Table 1. ")
    row = "| run/test | nyt24:reduced test | exact | 1 | 1.000 | - | 0.800 | - | 0.889 |"
    assert row in out
    assert out.count("\n## ") == 11


def test_json_and_csv_are_printed(runs, capsys):
    assert main([runs, "--resamples=50", "--format=json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert tables["table2_ablation"]["rows"][1]["gain in F1"] == pytest.approx(4 / 9)
    assert main([runs, "--resamples=50", "--format=csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "Table 1. Precision, recall and F1 by system, corpus and protocol",
        "system,corpus,protocol,runs,precision,precision +-,recall,recall +-,F1,F1 +-,"
        "unseen F1,unseen F1 +-,published precision,published recall,published F1",
    ]


def test_all_forms_are_written(runs, tmp_path, capsys):
    folder = tmp_path / "new" / "tables"
    assert main([runs, "--resamples=50", f"--output={folder}"]) == 0
    assert capsys.readouterr().out == ""
    tables = json.loads((folder / "tables.json").read_text())
    assert {path.name for path in folder.iterdir()} == {
        *("tables.md", "tables.json"),
        *(f"{name}.csv" for name in tables),
    }
    for name, table in tables.items():
        with (folder / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [
            {column: "" if value is None else str(value) for column, value in row.items()}
            for row in table["rows"]
        ] == rows
        assert table["title"] in (folder / "tables.md").read_text()


def test_training_data_is_not_written_over(runs, tmp_path, capsys):
    write_jsonl(train := tmp_path / "tables.json", documents(GOLD))
    before = train.read_bytes()
    assert main([runs, "--resamples=5", f"--data={train}", f"--output={tmp_path}"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {train}: is the input")
    assert train.read_bytes() == before


def test_the_same_seed_gives_the_same_tables(runs, capsys):
    texts = []
    for seed in (3, 3, 4):
        assert main([runs, "--resamples=50", f"--seed={seed}"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_training_data_of_several_corpora_is_told_apart(tmp_path, capsys):
    write_evaluation(tmp_path / "a")
    write_evaluation(tmp_path / "b", data={"name": "nyt29"})
    paths = f"--workdirs={tmp_path / 'a'},{tmp_path / 'b'}"
    train = tmp_path / "train.jsonl"
    write_jsonl(train, documents(GOLD))
    assert main([paths, "--resamples=50", f"--data={train}"]) == 1
    assert "as in nyt24=FILE,nyt29=FILE" in capsys.readouterr().err
    assert main([paths, "--resamples=50", f"--data=webnlg={train}"]) == 1
    assert "no system was evaluated on webnlg; there is nyt24, nyt29" in capsys.readouterr().err
    assert main([paths, "--resamples=50", f"--data=nyt29={train}", "--format=json"]) == 0
    rows = json.loads(capsys.readouterr().out)["by_unseen_entities"]["rows"]
    assert {row["system"] for row in rows} == {"b"}


def test_other_gold_of_one_corpus_is_an_error_that_names_both(tmp_path, capsys):
    write_evaluation(tmp_path / "a")
    write_evaluation(tmp_path / "b", gold={**GOLD, "1": GOLD["1"][:1]})
    assert main([f"--workdirs={tmp_path / 'a'},{tmp_path / 'b'}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: a and b: document '1': the gold triples differ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--workdirs=none"], "none: no such folder"),
        (["--workdirs=RUN", "--split=validation"], "make it with python -m grel.main --mode=eval"),
        (["--workdirs=RUN", "--data=none.jsonl"], "none.jsonl: cannot read"),
        (["--workdirs=RUN", "--protocol=span"], "no spans"),
        (["--workdirs=RUN", "--output=RUN/eval/test/gold.jsonl"], "gold.jsonl: File exists"),
    ],
)
def test_errors_are_one_line_on_stderr(runs, capsys, argv, message):
    run = runs.partition("=")[2]
    assert main([part.replace("RUN", run) for part in argv]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: --workdirs"),
        (["--workdirs=a", "--resamples=0"], "--resamples: it must be a whole number from 1 on"),
        (["--workdirs=a", "--resamples=1.5"], "--resamples: it must be a whole number from 1 on"),
        (["--workdirs=a", "--seed=-1"], "--seed: it must be a whole number from 0 on"),
        (["--workdirs=a", "x"], "unrecognized arguments: x"),
    ],
)
def test_wrong_usage_exits_with_two(argv, message, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(argv)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err.endswith(f"{message}\n")
