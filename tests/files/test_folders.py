"""Folders replaced whole: kills at every step, links, what else lies there, and full disks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grel.files.faults import RecordError
from grel.files.folders import replacing_folder

_KILLED = """
import os, pathlib, signal, sys
from grel.files.folders import replacing_folder

folder, kill_at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
steps = iter(range(10**6))

def watched(call):
    def wrapper(*args, **kwargs):
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapper

for name in ("rename", "mkdir", "rmdir", "unlink"):
    setattr(os, name, watched(getattr(os, name)))
with replacing_folder(folder) as new:
    for name in ("a", "b"):
        (new / name).write_text("new")
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def _content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_kill_leaves_the_old_or_the_new_or_nothing(tmp_path):
    old, new = {"a": "old", "b": "old", "trace": "x"}, {"a": "new", "b": "new"}
    folder = tmp_path / "eval" / "test"
    kills = 0
    while True:
        with replacing_folder(folder) as fresh:
            for name, text in old.items():
                (fresh / name).write_text(text)
        command = [sys.executable, "-c", _KILLED, str(folder), str(kills)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        left = _content(folder) if folder.exists() else {}
        assert {name: left[name] for name in ("a", "b") if name in left} in (
            *({"a": "old", "b": "old"}, new, {}),
        )
        kills += 1
    assert kills > 5
    assert _content(folder) == {**new, "trace": "x"}
    assert [path.name for path in folder.parent.iterdir()] == ["test"]


def test_what_was_killed_between_the_two_names_comes_back(tmp_path):
    (tmp_path / ".test.old").mkdir()
    (tmp_path / ".test.old" / "trace").write_text("x")
    (tmp_path / ".test.new").mkdir()
    with replacing_folder(tmp_path / "test") as new:
        (new / "a").write_text("new")
    assert _content(tmp_path / "test") == {"a": "new", "trace": "x"}
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def test_an_error_leaves_the_old_folder(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a").write_text("old")
    full = OSError(28, "No space left on device")
    with pytest.raises(RecordError, match="No space"), replacing_folder(tmp_path / "test"):
        raise full
    assert _content(tmp_path / "test") == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["test"]


def test_links_are_replaced_and_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a").write_text("mine")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "test").symlink_to(precious)
    with replacing_folder(tmp_path / "eval" / "test") as new:
        (new / "a").write_text("new")
    assert _content(precious) == {"a": "mine"}
    assert not (tmp_path / "eval" / "test").is_symlink()
    (tmp_path / "linked").symlink_to(precious)
    with (
        pytest.raises(RecordError, match="cannot write"),
        replacing_folder(tmp_path / "linked" / "b"),
    ):
        pass
    assert os.listdir(precious) == ["a"]


def test_where_a_user_named_it_links_on_the_way_are_followed_and_stay(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "linked").symlink_to("disk")
    (tmp_path / "later").symlink_to("disk/c")
    for folder in (tmp_path / "linked" / "b", tmp_path / "later"):
        with replacing_folder(folder, through_links=True) as new:
            (new / "a").write_text("new")
        assert _content(folder) == {"a": "new"}
    assert sorted(os.listdir(tmp_path)) == ["disk", "later", "linked"]
    assert sorted(os.listdir(tmp_path / "disk")) == ["b", "c"]
    assert (tmp_path / "later").is_symlink()


@pytest.mark.parametrize("through_links", [False, True])
@pytest.mark.parametrize("folder", [".", "/", "new/..", "loop/b"])
def test_what_is_no_place_for_a_folder_is_one_line(tmp_path, monkeypatch, folder, through_links):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with (
        pytest.raises(RecordError, match=r"does not end in the name|cannot write") as caught,
        replacing_folder(Path(folder), through_links=through_links),
    ):
        pass
    assert str(caught.value).startswith(f"{folder}: ")
    assert os.listdir(tmp_path) == ["loop"]
