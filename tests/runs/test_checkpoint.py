"""Checkpoints: round trip, retention, and damage that must not go unnoticed."""

import contextlib
import json
import os
import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from grel.runs import checkpoint, digests, layout
from grel.runs.checkpoint import CheckpointError, Checkpoints, DamageError

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


def test_the_digest_is_of_all_that_the_newest_holds(folder, tmp_path):
    assert Checkpoints(tmp_path / "empty").digest() is None

    def digest_of(name, params, note):
        with contextlib.closing(Checkpoints(tmp_path / name)) as checkpoints:
            checkpoints.save(3, params, TRAINING, {"note": note})
            return checkpoints.digest()

    params = {**PARAMS, "b": PARAMS["b"] * 3}
    assert digest_of("same", params, "s3") == _open(folder).digest()
    others = {digest_of("other array", PARAMS, "s3"), digest_of("other note", params, "s4")}
    assert len(others | {_open(folder).digest()}) == 3


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


def _about_file(folder, step=3):
    return next((folder / str(step) / "about").rglob("metadata"))


def _rewrite_about(folder, step=3, **changes):
    """Changes members of `about`, or with None removes them, and mends its digest."""
    path = _about_file(folder, step)
    about = json.loads(path.read_text()) | changes
    about = {name: value for name, value in about.items() if value is not None}
    if "digest" in about:
        del about["digest"]
        about["digest"] = digests.of_json(about)
    path.write_text(json.dumps(about))


def test_a_changed_digest_names_the_array(folder):
    found = json.loads(_about_file(folder).read_text())["digests"]
    found["params"]["a/kernel"] = "0" * 32
    _rewrite_about(folder, digests=found)
    with pytest.raises(DamageError, match="array params/a/kernel is damaged"):
        _open(folder).params(PARAMS)


def test_every_flipped_bit_of_about_is_noticed(folder):
    """Vocabulary and relations decide what is extracted as much as arrays do."""
    path = _about_file(folder)
    data = path.read_bytes()
    content = json.loads(data)
    rng = random.Random(0)
    for _ in range(200):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            assert _open(folder).about() == content  # what is spelled otherwise is no other


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"[1]", "lacks the digests"),
        (b"{}", "lacks the digests"),
        (b'{"format": 1, "digests": 3}', "lacks the digests"),
        (b'{"format": 1, "digests": {"params": 3}}', "lacks the digests"),
        (b'{"format": 9, "digests": {}}', "written in format 9"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_about_that_is_none_is_one_line(folder, content, message):
    _about_file(folder).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        _open(folder).about()
    assert "\n" not in str(error.value)


def test_format_1_still_opens(folder):
    _rewrite_about(folder, format=1, digest=None)
    np.testing.assert_array_equal(_open(folder).params(PARAMS)["b"], PARAMS["b"] * 3)


def test_a_truncated_file_is_noticed(folder):
    for file in _array_files(folder):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="sets it aside and uses the one before it"):
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


def test_a_kill_while_an_old_one_is_removed_leaves_whole_ones_only(folder, monkeypatch):
    class Killed(BaseException):
        pass

    def remove_half(path):
        next(path.rglob("metadata")).unlink()
        raise Killed

    checkpoints = Checkpoints(folder, keep=2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", remove_half)
        checkpoints.save(4, PARAMS, TRAINING, {})
        with pytest.raises(Killed):
            checkpoints.wait()
    for step in checkpoints.steps():
        checkpoints.verify(step)
    assert sorted(path.name for path in _open(folder).folder.iterdir()) == ["3", "4"]


def test_opening_a_folder_leaves_no_thread_behind(tmp_path):
    """One that is still at work when Python shuts down prints a traceback after our error."""
    before = set(threading.enumerate())
    Checkpoints(tmp_path / "new").close()
    assert set(threading.enumerate()) <= before


def test_what_is_not_finite_is_not_saved(folder):
    checkpoints = _open(folder)
    checkpoints.save(4, {**PARAMS, "b": np.float32([np.nan])}, TRAINING, {})
    with pytest.raises(CheckpointError, match="array params/b holds NaN or infinity at step 4"):
        checkpoints.wait()
    checkpoints.save(4, PARAMS, {**TRAINING, "m": np.float32([np.inf])}, {})
    with pytest.raises(CheckpointError, match="array training/m holds"):
        checkpoints.wait()
    assert checkpoints.latest_step == 3
    assert checkpoints.steps() == [2, 3]


def test_what_is_not_finite_is_not_read(folder, monkeypatch):
    """As earlier versions wrote it."""
    checkpoints = Checkpoints(folder, keep=2)
    with monkeypatch.context() as patch:
        patch.setattr(digests, "not_finite", lambda tree: None)
        checkpoints.save(4, {**PARAMS, "b": np.float32([np.nan])}, TRAINING, {})
        checkpoints.wait()
    with pytest.raises(DamageError, match="array params/b holds NaN or infinity"):
        checkpoints.params(PARAMS)
    checkpoints.recover()
    assert checkpoints.latest_step == 3


def test_arrays_are_those_of_the_moment_of_saving(tmp_path, monkeypatch):
    """A device overwrites its buffers in the next step, which does not wait for the disk."""
    go = threading.Event()
    of_arrays = digests.of_arrays
    monkeypatch.setattr(digests, "of_arrays", lambda tree: go.wait(60) and of_arrays(tree))
    checkpoints = Checkpoints(tmp_path)
    array = np.zeros(3, np.float32)
    checkpoints.save(1, {"x": array}, None, {})  # returns before anything is digested
    array += 1
    go.set()
    assert checkpoints.params({"x": array})["x"].tolist() == [0, 0, 0]


def test_two_folders_may_be_saved_to_at_once(tmp_path):
    both = [Checkpoints(tmp_path / name) for name in ("one", "other")]
    for step in range(1, 9):
        for checkpoints in both:
            checkpoints.save(step, PARAMS, TRAINING, {"note": step})
    for checkpoints in both:
        checkpoints.close()
        assert checkpoints.about()["note"] == 8


@pytest.mark.parametrize("harm", ["flip", "remove", "empty", "about"])
def test_a_damaged_newest_is_set_aside(folder, harm, caplog):
    if harm == "flip":
        found = json.loads(_about_file(folder).read_text())["digests"]
        _rewrite_about(folder, digests=found | {"params": {}})
    elif harm == "remove":
        shutil.rmtree(folder / "3" / "training")
    elif harm == "empty":
        shutil.rmtree(folder / "3")
        (folder / "3").mkdir()
    else:
        os.truncate(_about_file(folder), 9)
    (folder / "3.damaged").mkdir()  # of an earlier time
    checkpoints = _open(folder)
    checkpoints.recover()
    assert checkpoints.latest_step == 2
    np.testing.assert_array_equal(checkpoints.params(PARAMS)["b"], PARAMS["b"] * 2)
    assert (folder / "3.damaged-1").is_dir()
    assert "set aside as 3.damaged-1" in caplog.text


def test_another_format_is_not_set_aside(folder):
    _rewrite_about(folder, format=9)
    with pytest.raises(CheckpointError, match="written in format 9"):
        _open(folder).recover()
    assert _open(folder).latest_step == 3


def test_an_earlier_step_takes_the_place_of_later_ones(folder):
    """A run that went back may find a better model at an earlier step than before."""
    checkpoints = _open(folder)
    checkpoints.save(1, PARAMS, None, {"note": "again"})
    checkpoints.close()
    assert _open(folder).steps() == [1]
    assert _open(folder).about()["note"] == "again"


def test_a_failed_save_is_told_at_the_next_step(folder, monkeypatch):
    checkpoints = _open(folder)
    full = OSError(28, "No space left on device")

    def fail(*_, **__):
        raise full

    monkeypatch.setattr(checkpoint.ocp.Checkpointer, "save", fail)
    checkpoints.save(4, PARAMS, TRAINING, {})
    while not checkpoints._saving.done():
        pass
    with pytest.raises(CheckpointError, match=r"saving step 4 failed .*No space left"):
        checkpoints.check()
    checkpoints.check()
    assert checkpoints.latest_step == 3


def _use(folder, read_only):
    with contextlib.closing(Checkpoints(folder, read_only=read_only)) as checkpoints:
        checkpoints.recover()
        checkpoints.tuned()
        checkpoints.verify(3)


@pytest.mark.parametrize("part", [".", "3", "3/params", "3/about/metadata", "3/tuned.json"])
@pytest.mark.parametrize("read_only", [False, True])
def test_nothing_is_read_or_written_through_a_link(folder, tmp_path, part, read_only):
    with contextlib.closing(_open(folder)) as checkpoints:
        checkpoints.write_tuned({"end_bias": 0}, 3)
    elsewhere = tmp_path / "elsewhere"
    (folder / part).rename(elsewhere)
    (folder / part).symlink_to(elsewhere)
    there = sorted(elsewhere.rglob("*"))
    with pytest.raises(layout.LinkError, match="is a link"):
        _use(folder, read_only)
    assert sorted(elsewhere.rglob("*")) == there


def test_a_balance_stays_with_the_checkpoint_that_it_was_found_for(folder):
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        checkpoints.write_tuned({"end_bias": 0}, 3)
        assert checkpoints.tuned() == {"end_bias": 0}
        with pytest.raises(CheckpointError, match="the checkpoint of step 9 was replaced meanwhi"):
            checkpoints.write_tuned({"end_bias": 1}, 9)
        assert checkpoints.tuned() == {"end_bias": 0}
        path = folder / "3" / "tuned.json"
        whole = path.read_text()
        path.write_text(whole.replace('"end_bias": 0', '"end_bias": 1'))
        for read in (checkpoints.tuned, lambda: checkpoints.verify(3)):
            with pytest.raises(CheckpointError, match=r"tuned.json: is damaged \("):
                read()
        # As an earlier version wrote it.
        path.write_text('{"end_bias": 1}')
        assert checkpoints.tuned() == {"end_bias": 1}


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_not_called_damaged(folder):
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        checkpoints.about()
        (folder / "3").rename(folder / "4")
        with pytest.raises(
            CheckpointError, match=r"step 3 was replaced meanwhile; run it again"
        ) as e:
            checkpoints.params(None)
        assert not isinstance(e.value, DamageError)


def test_what_looks_left_behind_and_is_a_link_is_not_removed(folder, tmp_path):
    (tmp_path / "precious").mkdir()
    (folder / "4.orbax-checkpoint-tmp").symlink_to(tmp_path / "precious")
    with pytest.raises(layout.LinkError, match=r"4\.orbax-checkpoint-tmp: is a link"):
        Checkpoints(folder)
    assert (tmp_path / "precious").is_dir()
