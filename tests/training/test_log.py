"""What a run logs: no later steps after a restart, no NaN, and no thread that could hang it."""

import contextlib
import json
import struct
import threading

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event, SessionLog

from grel.records import RecordError
from grel.runs import layout
from grel.training.log import RunLog


def _write(folder, first_step, *steps, **metrics):
    with RunLog(folder, first_step, 9) as log:
        for step in steps:
            log.advance(3)
            log.write("train", step, {"loss": step / 2, **metrics})


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _masked(data):
    crc = crc32c(data) & 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _events(folder):
    """The records of the event files, as TensorBoard reads them: length and data with checksums."""
    for path in sorted((folder / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            header, (length, check) = data[:8], struct.unpack("<QI", data[:12])
            assert check == _masked(header)
            payload, data = data[12 : 12 + length], data[12 + length :]
            assert struct.unpack("<I", data[:4]) == (_masked(payload),)
            data = data[4:]
            yield Event.FromString(payload)


def test_lines_and_points(tmp_path):
    _write(tmp_path, 0, 1, 2, skipped=0)
    assert _lines(tmp_path)[1] == {"split": "train", "step": 2, "loss": 1.0, "skipped": 0.0}
    points = [(e.step, v.tag, v.simple_value) for e in _events(tmp_path) for v in e.summary.value]
    assert points[0] == (1, "train/loss", 0.5)
    assert len(points) == 4


def test_a_restart_forgets_what_it_does_again(tmp_path):
    _write(tmp_path, 0, 1, 2, 3, 4)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"split": "train", "st')  # killed in the middle of a line
    _write(tmp_path, 2, 3)
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3]
    *_, start = (e for e in _events(tmp_path) if e.HasField("session_log"))
    assert (start.session_log.status, start.step) == (SessionLog.START, 3)


@pytest.mark.parametrize("step", ['"1"', "null", "[1]"])
def test_a_step_that_is_none_is_one_line(tmp_path, step):
    log = tmp_path / "metrics.jsonl"
    log.write_text(f'{{"split": "train", "step": 1}}\n{{"step": {step}}}\n')
    with pytest.raises(RecordError, match=r"metrics\.jsonl:2: field 'step' must be an integer"):
        _write(tmp_path, 2, 3)
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_left_out(tmp_path, value):
    _write(tmp_path, 0, 1, grad_norm=value)
    assert _lines(tmp_path) == [{"split": "train", "step": 1, "loss": 0.5}]


def test_no_thread_stands_between_the_loop_and_the_log(tmp_path):
    before = {thread.name for thread in threading.enumerate()}
    with RunLog(tmp_path, 0, 9) as log:
        log.write("train", 1, {"loss": 1})
        # That of tqdm only looks whether the bar should be drawn again.
        assert {thread.name for thread in threading.enumerate()} - before <= {"tqdm_monitor"}


@pytest.mark.parametrize("which", ["metrics", "tensorboard"])
def test_a_full_disk_is_one_line_and_leaves_no_half_written_one(tmp_path, monkeypatch, which):
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(RunLog(tmp_path, 0, 9))
        log.write("train", 1, {"loss": 1})
        full = open("/dev/full", "wb")  # noqa: SIM115 - the log closes it
        if which == "metrics":
            log._file = full
        else:
            log._board._py_recordio_writer._writer = full
        with pytest.raises(RecordError, match=rf"{which}.*: cannot write: No space left") as error:
            log.write("train", 2, {"loss": 1})
        assert "\n" not in str(error.value)


def test_a_terminal_that_is_gone_ends_nothing(tmp_path, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    with RunLog(tmp_path, 0, 9) as log:
        for name in ("update", "set_postfix", "close"):
            monkeypatch.setattr(log._bar, name, gone)
        log.advance(3)
        log.write("train", 1, {"loss": 1})
    assert len(_lines(tmp_path)) == 1


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard"])
def test_a_link_is_not_followed(tmp_path, name):
    precious = tmp_path / "precious"
    if name == "tensorboard":
        precious.mkdir()
    else:
        precious.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(precious)
    with pytest.raises(layout.LinkError, match=f"{name}: is a link"):
        _write(tmp_path / "run", 0, 1)
    if name == "tensorboard":
        assert list(precious.iterdir()) == []
    else:
        assert precious.read_text() == "mine"


def test_other_processes_of_a_pod_write_nothing(tmp_path):
    with RunLog(tmp_path, 0, 9, quiet=True) as log:
        log.advance(3)
        log.write("train", 1, {"loss": 1})
    assert list(tmp_path.iterdir()) == []
