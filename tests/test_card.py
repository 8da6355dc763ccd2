"""The card of a run: what is known stands there, what is not is told to be unknown."""

import pytest

from grel import card
from grel.runs import layout
from grel.runs import record as run_record
from grel.scoring.corpus import CorpusStatistics
from tests.evaluated import GOLD, write_evaluation

FACTS = run_record.Facts(
    config={
        "data": {"name": "nyt24", "variant": "reduced"},
        "model": {"family": "bert", "size": "tiny", "init_from": "", "dtype": "float32"},
        "train": {"batch_size": 32, "learning_rate": 0.002},
        "decoding": {"copy": "on"},
        "seed": 5,
    },
    run="r1",
    fingerprints={"training data": "f00ba7"},
    num_parameters=1_798_819,
    num_steps=4230,
    devices="8 x cpu",
    corpora={"train": CorpusStatistics(4500, 7153, 20, {"2": 2987, "3": 509, "3+": 108})},
)


@pytest.fixture
def run(tmp_path):
    write_evaluation(tmp_path)
    write_evaluation(tmp_path, "copy_off", copy="off", trained={"1": GOLD["1"]})
    ticks = iter((0.0, 4500.0))
    with run_record.recorded(tmp_path, FACTS, clock=lambda: next(ticks)):
        pass
    return tmp_path


def _main(capsys, *argv):
    assert card.main(list(argv)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["run.json", "eval/test/metrics.json", "eval/test/gold.jsonl"])
def test_what_the_card_is_made_from_is_not_written_over(run, capsys, name):
    before = (run / name).read_bytes()
    assert card.main([f"--workdir={run}", f"--output={run / name}"]) == 1
    assert "as well; name another file" in capsys.readouterr().err
    assert (run / name).read_bytes() == before


def test_the_card_tells_what_is_known(run, capsys):
    text = _main(capsys, f"--workdir={run}")
    for line in (
        f"# {run.name}",
        "- Family: bert",
        "- Parameters: 1,798,819",
        "- Started from: fresh parameters",
        "- Fingerprint of the training data: f00ba7",
        "| train | 4,500 | 7,153 | 20 | 2,987 | 509 | 108 |",
        "- Steps: 4,230",
        "- Learning rate: 0.002",
        "- Seed: 5",
        "- Devices: 8 x cpu",
        "- Time: 1 h 15 min",
        "| copy_off | test | exact | 40 | off | - | - | 0.500 | - | - | - | 0.800 |",
        "| test | test | exact | 40 | on | - | - | 0.500 | - | - | - | - |",
        f"- grel: {run_record.versions()['grel']}",
        '        "batch_size": 32,',
    ):
        assert line in text.splitlines(), line
    assert "unknown" not in text.replace("scores elsewhere are unknown", "")
    # The configuration has no such field, which is no gap in what is known.
    assert "Objective" not in text


def test_sessions_without_an_end_are_told_of(run, capsys):
    with run_record.recorded(run, FACTS):
        left_behind = (run / layout.RECORD).read_bytes()
    (run / layout.RECORD).write_bytes(left_behind)
    assert "- Time: 1 h 15 min; 1 of 2 sessions did not end" in _main(capsys, f"--workdir={run}")


def test_without_run_json_the_rest_is_still_there(run, capsys):
    (run / layout.RECORD).unlink()
    text = _main(capsys, f"--workdir={run}")
    assert "- Parameters: unknown" in text
    assert "- Time: unknown" in text
    assert "- Data set: nyt24" in text


def test_a_run_that_was_not_evaluated_says_how(tmp_path, capsys):
    with run_record.recorded(tmp_path, FACTS):
        pass
    assert "Not evaluated: python -m grel.main --mode=eval" in _main(
        capsys, f"--workdir={tmp_path}"
    )


def test_it_is_written_to_a_file(run, capsys):
    assert _main(capsys, f"--workdir={run}", f"--output={run / 'CARD.md'}") == ""
    assert (run / "CARD.md").read_text().startswith(f"# {run.name}\n")


def test_text_from_files_stays_text(run, capsys):
    (run / layout.RECORD).write_text(
        (run / layout.RECORD).read_text().replace("f00ba7", "<script> | x").replace("tiny", "```")
    )
    text = _main(capsys, f"--workdir={run}")
    assert "- Fingerprint of the training data: &lt;script> \\| x" in text
    assert all(line.startswith("    ") for line in text.splitlines() if line.count("```"))


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_errors_are_one_line_on_stderr(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / layout.RECORD).write_text(content)
    assert card.main([f"--workdir={tmp_path}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "run.json" in err
