"""The statistics command: its two outputs, its errors, and that it stays light."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from grel import stats

REPO = Path(__file__).parents[1]
TRIPLES = [
    {"head": "New York", "relation": "in", "tail": "USA"},
    {"head": "New York", "relation": "in", "tail": "USA"},
    {"head": "World Health Organization", "relation": "met in", "tail": "New York"},
]
TEXT = "The World Health Organization met in New York , USA"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    records = [
        {"id": "a", "text": TEXT, "triples": TRIPLES},
        {"id": "b", "text": TEXT, "triples": TRIPLES[:1]},
        {"id": "c", "text": "Nothing .", "triples": []},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_json_has_the_keys_of_the_contract(data, capsys):
    assert stats.main([f"--data={data}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "examples": 3,
        "triples": 3,
        "relations": 2,
        "multi_token": {"2": 2, "3": 1, "3+": 0},
    }


def test_table(data, capsys):
    assert stats.main([f"--data={data}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines if line[-1].isdigit()}) == 1
    numbers = [line.split()[-1] for line in lines if line[-1].isdigit()]
    assert numbers == ["3", "3", "2", "2", "1", "0"]


def test_a_faulty_record_is_one_line_on_stderr(data, capsys):
    data.write_text(data.read_text() + "{\n")
    assert stats.main([f"--data={data}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{data}:4: " in err


def test_a_missing_file_is_one_line_on_stderr(tmp_path, capsys):
    assert stats.main([f"--data={tmp_path / 'none.jsonl'}"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "none.jsonl" in err


def test_wrong_usage_exits_with_two(capsys):
    with pytest.raises(SystemExit) as exit_info:
        stats.main([])
    assert exit_info.value.code == 2
    assert "--data" in capsys.readouterr().err


def test_runs_as_a_module(data):
    command = [sys.executable, "-m", "grel.stats", f"--data={data}", "--json"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["examples"] == 3
