"""Files that grow by chunks: names, what is refused, and what a leftover means."""

import json
from pathlib import Path

import pytest

from grel.files.faults import RecordError
from grel.files.journal import partial_of, resumable

OPTIONS = {"min_score": 0.5, "shard": (0, 2)}


class Killed(BaseException):
    """Like a kill: nothing handles it."""


def _write(targets, chunks, *, options=OPTIONS, kill_after=None):
    """Commits numbered chunks from where the state says; dies once some are committed."""
    with resumable(targets, options) as journal:
        start = 0 if journal.state is None else journal.state["done"]
        if journal.finished:
            return start
        for number, chunk in enumerate(chunks[start:], start=start + 1):
            journal.commit([chunk] * len(targets), {"done": number})
            if number == kill_after:
                raise Killed
    return start


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.jsonl"


def _names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


def test_files_have_their_names_only_when_they_are_complete(target):
    with pytest.raises(Killed):
        _write([target], [b"a\n", b"b\n"], kill_after=1)
    assert _names(target) == ["out.jsonl.partial", "out.jsonl.progress"]
    assert target.with_name("out.jsonl.partial").read_bytes() == b"a\n"
    assert _write([target], [b"a\n", b"b\n"]) == 1
    assert _names(target) == ["out.jsonl"]
    assert target.read_bytes() == b"a\nb\n"


def test_a_finished_file_is_written_anew(target):
    target.write_bytes(b"old")
    assert _write([target], [b"a"]) == 0
    assert target.read_bytes() == b"a"


def test_no_chunk_is_an_empty_file(target):
    _write([target], [])
    assert (_names(target), target.read_bytes()) == (["out.jsonl"], b"")


def test_what_no_progress_vouches_for_is_cut_off(target):
    partial = target.with_name("out.jsonl.partial")
    partial.write_bytes(b"of a kill before the first progress")
    with pytest.raises(Killed):
        _write([target], [b"a", b"b"], kill_after=1)
    with partial.open("ab") as file:
        file.write(b"half a chu")
    _write([target], [b"a", b"b"])
    assert target.read_bytes() == b"ab"


def test_a_kill_between_two_names(target, monkeypatch):
    other = target.with_name("trace.jsonl")
    replace = Path.replace

    def dying(path, to):
        if path.name == "trace.jsonl.partial":
            raise Killed
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(Killed):
        _write([target, other], [b"a"])
    monkeypatch.undo()
    assert _names(target) == ["out.jsonl", "out.jsonl.progress", "trace.jsonl.partial"]
    with resumable([target, other], OPTIONS) as journal:
        assert (journal.finished, journal.state) == (True, {"done": 1})
    assert _names(target) == ["out.jsonl", "trace.jsonl"]
    assert target.read_bytes() == other.read_bytes() == b"a"


def test_a_link_stays_a_link(target):
    link = target.with_name("link")
    link.symlink_to(target)
    _write([link], [b"a"])
    assert link.is_symlink()
    assert target.read_bytes() == b"a"


def _interrupt(target):
    with pytest.raises(Killed):
        _write([target], [b"a", b"b"], kill_after=1)
    return target.with_name("out.jsonl.progress"), target.with_name("out.jsonl.partial")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**OPTIONS, "min_score": 0.25}, "min_score was 0.5 and is 0.25 now"),
        ({**OPTIONS, "shard": (1, 2)}, "shard was [0, 2] and is [1, 2] now"),
        ({**OPTIONS, "windows": True}, "windows was None and is True now"),
        ({"shard": (0, 2)}, "min_score was 0.5 and is None now"),
    ],
)
def test_other_options_are_refused(target, options, message):
    progress, partial = _interrupt(target)
    with pytest.raises(RecordError) as info:
        _write([target], [b"a", b"b"], options=options)
    assert str(info.value) == (
        f"{progress}: {message}; give what was given first, or remove {progress} and {partial} to "
        "start anew"
    )
    _write([target], [b"a", b"b"])
    assert target.read_bytes() == b"ab"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("sizes"), "field 'sizes' is missing"),
        (lambda p: p["sizes"].append(1), "tells of 2 files, not of 1"),
        (lambda p: p.update(sizes=["1"]), "sizes[0]: it must be an integer"),
        (lambda p: p.update(state=[]), "field 'state' must be an object"),
        (lambda p: p.update(finished=True), "field 'finished' must be an integer"),
    ],
)
def test_a_progress_that_says_nothing_is_refused(target, change, message):
    path, partial = _interrupt(target)
    progress = json.loads(path.read_text())
    change(progress)
    path.write_text(json.dumps(progress))
    with pytest.raises(RecordError) as info:
        _write([target], [b"a", b"b"])
    assert message in str(info.value)
    assert str(info.value).endswith(f"; remove {path} and {partial} to start anew")


@pytest.mark.parametrize("rest", [b"", None])
def test_an_output_that_has_lost_something_is_refused(target, rest):
    _, partial = _interrupt(target)
    partial.unlink() if rest is None else partial.write_bytes(rest)
    with pytest.raises(RecordError, match="is shorter than"):
        _write([target], [b"a", b"b"])


def test_one_process_at_a_time(target):
    with pytest.raises(RecordError, match=r"partial: another process is writing it"):  # noqa: SIM117
        with resumable([target], {}), resumable([target], {}):
            pass


def test_what_cannot_be_written_is_said(tmp_path):
    path = tmp_path / "no" / "out.jsonl"
    with pytest.raises(RecordError, match=r"out.jsonl.partial: cannot write: No such file"):
        _write([path], [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "is a folder; name a file in it"),
        ("/", "does not end in the name of a file"),
        ("loop/out", "cannot write: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_place_for_a_file_is_told_before_work_is_done(
    tmp_path, monkeypatch, name, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RecordError, match=reason), resumable([name], {}):
        pytest.fail("work would be done")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
    with pytest.raises(RecordError, match="does not end in the name of a file"):
        partial_of(Path("."))
