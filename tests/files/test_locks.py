"""Locks: held by one at a time, let go of with the process, without following links."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from grel.files.locks import LockedError, locked_file, locked_folder, remove_unlocked


@pytest.mark.parametrize("locked", [locked_file, locked_folder])
def test_one_at_a_time(tmp_path, locked):
    path = tmp_path / "lock" if locked is locked_file else tmp_path
    with locked(path, wait=False), pytest.raises(LockedError), locked(path, wait=False):
        pass
    with locked(path, wait=True):
        pass


def test_a_killed_process_has_no_lock(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys\nfrom grel.files.locks import locked_file\n"
        f"with locked_file({str(path)!r}, wait=False):\n    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError), locked_file(path, wait=False):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked_file(path, wait=False):
            pass


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"), locked_file(tmp_path / "lock", wait=False):
        pass
    assert not (tmp_path / "precious").exists()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked_file(tmp_path / "lock", wait=False) as held:
        assert not held
    assert "cannot be locked" in caplog.text
    (tmp_path / "folder").mkdir()
    remove_unlocked([tmp_path / "folder"])
    assert (tmp_path / "folder").exists()  # somebody may be at work there


def test_folders_are_removed_where_nobody_is_at_work(tmp_path):
    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
    with locked_folder(tmp_path / "alive", wait=False):
        remove_unlocked([tmp_path / "dead", tmp_path / "alive", tmp_path / "none"])
        assert [path.name for path in tmp_path.iterdir()] == ["alive"]
