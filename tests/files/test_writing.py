"""Files are written whole or not at all."""

import os

import pytest

from grel.files.faults import RecordError
from grel.files.writing import refuse_overwriting, replacing


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail_halfway():
        with replacing(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"x"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as file:
        file.write(b"x")
    assert pipe.is_fifo()
    assert os.read(reader, 9) == b"x"
    os.close(reader)


@pytest.mark.parametrize("name", ["missing/out", ".", "loop/out"])
def test_what_cannot_be_written_is_an_error_with_its_path(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    refuse_overwriting(["in"], [tmp_path / name])
    with pytest.raises(RecordError, match="cannot write") as info, replacing(tmp_path / name):
        pass
    assert str(info.value).startswith(f"{tmp_path / name}: ")
