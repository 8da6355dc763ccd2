"""Checkpoints: round trip, retention, and damage that must not go unnoticed."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from grel.checkpoint import CheckpointError, Checkpoints

PARAMS = {"a": {"kernel": np.arange(600, dtype=np.float32).reshape(20, 30)}, "b": np.float32([1.5])}
TRAINING = {"step": np.int32(7), "key": np.array([1, 2], np.uint32)}


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {**PARAMS, "b": PARAMS["b"] * step}, TRAINING, {"note": f"s{step}"})
    checkpoints.close()
    return tmp_path / "run"


def _open(folder):
    return Checkpoints(folder)


def test_round_trip_of_the_newest(folder):
    checkpoints = _open(folder)
    assert checkpoints.latest_step == 3
    assert checkpoints.about()["note"] == "s3"
    params, training = checkpoints.state(PARAMS, TRAINING)
    np.testing.assert_array_equal(params["a"]["kernel"], PARAMS["a"]["kernel"])
    np.testing.assert_array_equal(params["b"], PARAMS["b"] * 3)
    assert params["a"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(training["key"], TRAINING["key"])
    assert training["step"] == 7
    np.testing.assert_array_equal(checkpoints.params(PARAMS)["b"], PARAMS["b"] * 3)


def test_only_the_newest_are_kept(folder):
    assert sorted(p.name for p in folder.iterdir() if p.name.isdigit()) == ["2", "3"]


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here; train first"):
        _open(tmp_path / "none").about()


def test_other_shapes_are_refused(folder):
    other = {**PARAMS, "b": np.zeros(2, np.float32)}
    with pytest.raises(CheckpointError, match=r"run(/3)?: "):
        _open(folder).params(other)


def _array_files(folder):
    files = [p for p in (folder / "3" / "params").rglob("*") if p.is_file() and "d" in p.parts]
    return sorted(files, key=lambda p: p.stat().st_size)


def test_a_flipped_bit_is_noticed(folder):
    """Orbax restores it without a word."""
    file = _array_files(folder)[-1]
    data = bytearray(file.read_bytes())
    found = False
    for place in range(len(data) // 2, len(data)):
        data[place] ^= 4
        file.write_bytes(bytes(data))
        try:
            _open(folder).params(PARAMS)
        except CheckpointError:
            found = True
        else:
            # Bytes that decode to the same arrays do no harm.
            continue
        finally:
            data[place] ^= 4
        break
    assert found


def test_a_changed_digest_names_the_array(folder):
    about = next((folder / "3" / "about").rglob("metadata"))
    content = json.loads(about.read_text())
    content["digests"]["params"]["a/kernel"] = "0" * 32
    about.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="array params/a/kernel is damaged"):
        _open(folder).params(PARAMS)


def test_a_truncated_file_is_noticed(folder):
    for file in _array_files(folder):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="delete this step"):
        _open(folder).params(PARAMS)


def test_what_a_killed_run_left_behind_does_no_harm(folder):
    left = Path(folder / "4.orbax-checkpoint-tmp")
    left.mkdir()
    (left / "half").write_text("")
    reader = Checkpoints(folder, read_only=True)
    assert reader.latest_step == 3
    np.testing.assert_array_equal(reader.params(PARAMS)["b"], PARAMS["b"] * 3)
    assert left.is_dir()  # another run may be writing it
    assert _open(folder).latest_step == 3
    assert not left.exists()


def test_opening_a_folder_leaves_no_thread_behind(tmp_path):
    """One that is still at work when Python shuts down prints a traceback after our error."""
    before = set(threading.enumerate())
    Checkpoints(tmp_path / "new").close()
    assert set(threading.enumerate()) <= before
