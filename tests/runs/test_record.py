"""`run.json`: written at the start, its time added at the end, over all sessions of a run."""

import json

import pytest

from grel.records import RecordError
from grel.runs import layout
from grel.runs import record as run_record
from grel.scoring.corpus import CorpusStatistics

FACTS = run_record.Facts(
    config={"data": {"name": "nyt24"}},
    run="r1",
    fingerprints={"training data": "f00"},
    num_parameters=7,
    num_steps=40,
    devices="8 x cpu",
    corpora={"train": CorpusStatistics(2, 3, 1, {"2": 1, "3": 0, "3+": 0})},
)


def _run(workdir, *moments, **options):
    ticks = iter(moments)
    return run_record.recorded(workdir, FACTS, clock=lambda: next(ticks), **options)


def test_facts_are_there_from_the_start(tmp_path):
    with _run(tmp_path / "run", 0.0, 1.0):
        found = run_record.read(tmp_path / "run")
    assert found["sessions"] == {"started": 1, "ended": 0, "seconds": 0.0}
    assert found["num_parameters"] == 7
    assert found["corpora"]["train"]["multi_token"] == {"2": 1, "3": 0, "3+": 0}
    assert found["versions"].keys() >= {"grel", "python", "jax", "flax"}


def test_time_of_all_sessions_adds_up(tmp_path):
    with _run(tmp_path, 10.0, 12.5):
        pass
    with pytest.raises(KeyboardInterrupt), _run(tmp_path, 100.0, 104.0):
        raise KeyboardInterrupt
    assert run_record.read(tmp_path)["sessions"] == {"started": 2, "ended": 2, "seconds": 6.5}


def test_a_session_that_was_killed_is_started_and_not_ended(tmp_path):
    with _run(tmp_path, 0.0, 9.0):
        left_behind = (tmp_path / layout.RECORD).read_bytes()
    (tmp_path / layout.RECORD).write_bytes(left_behind)
    with _run(tmp_path, 0.0, 3.0):
        pass
    assert run_record.read(tmp_path)["sessions"] == {"started": 2, "ended": 1, "seconds": 3.0}


def test_a_damaged_file_stops_no_run(tmp_path):
    (tmp_path / layout.RECORD).write_text("{")
    with _run(tmp_path, 0.0, 3.0):
        pass
    assert run_record.read(tmp_path)["sessions"]["started"] == 1


def test_a_link_is_neither_read_nor_written_through(tmp_path):
    with _run(tmp_path, 0.0, 3.0):
        pass
    told = (tmp_path / layout.RECORD).rename(tmp_path / "precious").read_text()
    (tmp_path / layout.RECORD).symlink_to(tmp_path / "precious")
    for reads in (lambda: run_record.read(tmp_path), lambda: _run(tmp_path, 0.0, 3.0).__enter__()):
        with pytest.raises(layout.LinkError, match=r"run\.json: is a link"):
            reads()
    assert (tmp_path / "precious").read_text() == told


def test_what_ended_a_run_is_told_and_not_that_the_disk_is_full(tmp_path, monkeypatch):
    run = _run(tmp_path, 0.0, 3.0)
    run.__enter__()
    monkeypatch.setattr(run_record, "replacing", _full)
    assert not run.__exit__(KeyError, KeyError("first"), None)  # which goes on as it was
    with pytest.raises(RecordError, match="No space"), _run(tmp_path, 0.0, 3.0):
        pass


def _full(path, **_):
    raise RecordError(path, None, "No space left on device")


def test_other_processes_of_a_pod_write_nothing(tmp_path):
    with _run(tmp_path, quiet=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_of_an_earlier_version_is_read(tmp_path):
    with _run(tmp_path, 0.0, 1.0):
        pass
    path = tmp_path / layout.RECORD
    record = json.loads(path.read_text())
    del record["run"], record["fingerprints"]
    path.write_text(json.dumps(record | {"data_fingerprint": "f00"}))
    assert run_record.read(tmp_path)["fingerprints"] == {"training data": "f00"}


def test_no_file_is_no_facts(tmp_path):
    assert run_record.read(tmp_path) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"num_steps": "40"},
        {"sessions": {"started": 1, "ended": 1, "seconds": "1"}},
        {"sessions": {"started": 1}},
        {"corpora": {"train": 3}},
        {"corpora": {"train": {"examples": 1}}},
        {
            "corpora": {
                "train": {"examples": 1, "triples": 1, "relations": 1, "multi_token": {"2": []}}
            }
        },
    ],
)
def test_a_faulty_file_is_an_error_that_names_it(tmp_path, change):
    with _run(tmp_path, 0.0, 1.0):
        pass
    path = tmp_path / layout.RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordError, match=r"run\.json: "):
        run_record.read(tmp_path)
