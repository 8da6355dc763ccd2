"""Prediction over files: order, faulty records, shards, and a kill at any point."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grel import predict as predict_lib
from grel.outputs import Tally
from grel.predict import Shard, Summary, predict
from grel.records import read_jsonl
from grel.textio import RecordError
from tests.fakes import LIVES, FakeExtractor

ROOT = Path(__file__).parents[1]
TEXTS = ("Ann lives in Oslo", "Bo , in Rome , cut", "Eva Lima")


def _record(n, text, **fields):
    return json.dumps({"id": f"id-{n}", "text": text, "triples": [], **fields})


@pytest.fixture
def run(tmp_path):
    """Predicts lines given; returns (ids and heads of the output, summary)."""
    source, target = tmp_path / "in", tmp_path / "out"

    def run(lines, extractor=None, **options):
        source.write_text("".join(f"{line}\n" for line in lines))
        summary = predict(extractor or FakeExtractor(), str(source), str(target), **options)
        return [(d.id, d.triples[0].head) for d in read_jsonl(target)], summary

    return run


def test_lines_of_text(run):
    read, summary = run(TEXTS)
    assert read == [("1", "Ann"), ("2", "Bo"), ("3", "Eva")]
    assert summary == Summary(3, 0, Tally(cut=1))


def test_records_keep_their_ids_and_lose_their_triples(run):
    given = {"head": "Oslo", "relation": LIVES, "tail": "Ann"}
    read, summary = run(_record(n, text, triples=[given]) for n, text in enumerate(TEXTS))
    assert read == [("id-0", "Ann"), ("id-1", "Bo"), ("id-2", "Eva")]
    assert summary.records == 3


def test_an_empty_file(run):
    assert run([]) == ([], Summary())


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 100])
def test_the_output_does_not_depend_on_the_chunk(run, tmp_path, chunk_size):
    lines = [f"Ann{n} cut Oslo" if n % 3 else "" for n in range(20)]
    _, summary = run(["first", *lines, "last"], on_error=lambda _: None)
    whole = (tmp_path / "out").read_bytes()
    extractor = FakeExtractor()
    in_chunks = run(
        ["first", *lines, "last"], extractor, on_error=lambda _: None, chunk_size=chunk_size
    )
    assert (tmp_path / "out").read_bytes() == whole
    assert in_chunks[1] == summary == Summary(22, 7, Tally(cut=13))
    assert max(extractor.chunk_sizes) <= chunk_size


def test_long_records_are_extracted_a_few_at_once(run, monkeypatch):
    monkeypatch.setattr(predict_lib, "_CHUNK_BYTES", 100)
    extractor = FakeExtractor()
    run(["x" * 60, "y" * 60, "z" * 120, "a", "b"], extractor)
    assert extractor.chunk_sizes == [2, 1, 2]


def test_a_faulty_record_stops_and_the_mended_input_goes_on(run, tmp_path):
    lines = [_record(n, "Ann Oslo") for n in range(6)]
    with pytest.raises(RecordError, match=r"in:5: text is empty"):
        run([*lines[:4], _record(4, " "), lines[5]], chunk_size=2)
    assert not (tmp_path / "out").exists()
    extractor = FakeExtractor()
    read, summary = run(lines, extractor, chunk_size=2)
    assert [i for i, _ in read] == [f"id-{n}" for n in range(6)]
    assert extractor.extracted == ["id-4", "id-5"]
    assert summary.records == 6


def test_faulty_records_are_skipped_counted_and_handed_over(run):
    errors = []
    lines = [_record(0, "Ann Oslo"), "{", _record(1, ""), _record(2, "Bo long Rome"), '"a"']
    read, summary = run(lines, on_error=errors.append)
    assert read == [("id-0", "Ann")]
    assert summary == Summary(5, 4)
    assert [e.line for e in errors] == [2, 3, 5, 4]
    assert "longer than 1,048,576 bytes" in errors[-1].reason


def test_an_output_too_long_for_a_line_is_an_error(run):
    with pytest.raises(RecordError, match=r"in:2: with its triples, longer than"):
        run(["Ann Oslo", "Bo long Rome"])


def _interrupted(run, lines, **options):
    """Runs until the third chunk of two, where the device fails."""
    extractor = FakeExtractor(**options)
    extract = extractor.extractions

    def failing(documents):
        if len(extractor.extracted) == 4:
            raise ZeroDivisionError
        return extract(documents)

    extractor.extractions = failing
    with pytest.raises(ZeroDivisionError):
        run(lines, extractor, chunk_size=2)


@pytest.mark.parametrize("chunk_size", [2, 3, 100])
def test_an_interrupted_run_goes_on(run, tmp_path, chunk_size):
    lines = [f"Ann{n} cut Oslo" for n in range(9)]
    _, summary = run(lines)
    whole = (tmp_path / "out").read_bytes()
    (tmp_path / "out").unlink()
    _interrupted(run, lines)
    extractor = FakeExtractor()
    assert run(lines, extractor, chunk_size=chunk_size)[1] == summary
    assert (tmp_path / "out").read_bytes() == whole
    assert extractor.extracted == [str(n) for n in range(5, 10)]
    assert {entry.name for entry in tmp_path.iterdir()} == {"in", "out"}


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: ["Eve Oslo", *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: lines[:3],
        lambda lines: ["", *lines],
        lambda lines: [],
    ],
)
def test_another_input_is_refused(run, tmp_path, change):
    lines = [f"Ann{n} Oslo" for n in range(9)]
    _interrupted(run, lines)
    with pytest.raises(RecordError) as info:
        run(change(lines))
    assert str(info.value) == (
        f"{tmp_path}/in: its first 4 records are not those that {tmp_path}/out.progress tells of; "
        f"give the same input, or remove {tmp_path}/out.progress and {tmp_path}/out.partial to "
        "start anew"
    )
    assert len(run(lines)[0]) == 9


def test_an_input_that_has_grown_goes_on(run):
    lines = [f"Ann{n} Oslo" for n in range(9)]
    _interrupted(run, lines)
    assert len(run([*lines, "Bo Rome"])[0]) == 10


def test_another_model_or_option_is_refused(run, tmp_path):
    lines = [f"Ann{n} Oslo" for n in range(9)]
    _interrupted(run, lines, params="abc")
    with pytest.raises(RecordError, match=r"params was 'abc' and is 'xyz' now"):
        run(lines, FakeExtractor(params="xyz"))
    with pytest.raises(RecordError, match=r"tells of 1 files, not of 2"):
        run(lines, FakeExtractor(params="abc"), trace=str(tmp_path / "trace"))
    assert len(run(lines, FakeExtractor(params="abc"))[0]) == 9


def test_a_damaged_progress_is_refused(run, tmp_path):
    _interrupted(run, [f"Ann{n} Oslo" for n in range(9)])
    progress = json.loads((tmp_path / "out.progress").read_text())
    del progress["state"]["tally"]["cut"]
    (tmp_path / "out.progress").write_text(json.dumps(progress))
    with pytest.raises(RecordError, match=r"out.progress: field 'cut' is missing; remove "):
        run([f"Ann{n} Oslo" for n in range(9)])


def test_a_kill_at_any_point(tmp_path):
    """At every step of the file work; see `tests.killed`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_shards_joined_are_the_whole(run, tmp_path, count):
    lines = [f"Ann{n} Oslo" if n != 4 else "" for n in range(10)]
    options = {"on_error": lambda _: None}
    run(lines, **options)
    whole = (tmp_path / "out").read_bytes()
    (tmp_path / "out").unlink()
    summaries = []
    for index in range(count):
        shard = Shard(index, count)
        source, target = str(tmp_path / "in"), str(tmp_path / "out")
        summaries.append(predict(FakeExtractor(), source, target, shard=shard, **options))
    parts = sorted(path for path in tmp_path.iterdir() if path.name != "in")
    assert [path.name for path in parts] == (
        [f"out-0000{i}-of-0000{count}" for i in range(count)] if count > 1 else ["out"]
    )
    assert b"".join(path.read_bytes() for path in parts) == whole
    assert sum(summaries, Summary()) == Summary(10, 1)
    assert max(s.records for s in summaries) - min(s.records for s in summaries) <= 1


def test_shards_are_told_by_index_and_count():
    assert (Shard.parse("0/1"), Shard.parse("3/16")) == (Shard(), Shard(3, 16))
    for text in ("4/4", "1", "-1/4", "a/b", "1/4 ", "", "0/0", "123456/999999"):
        with pytest.raises(ValueError, match=r"must be INDEX/COUNT"):
            Shard.parse(text)


def test_a_stream_cannot_be_divided():
    with pytest.raises(RecordError, match=r"only a file can be divided, and only into files"):
        predict(FakeExtractor(), "-", "out", shard=Shard(0, 2))


def test_standard_input_and_output(monkeypatch, capsysbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ann Oslo\nBo Rome")))
    assert predict(FakeExtractor(), "-", "-", chunk_size=1) == Summary(2)
    lines = capsysbinary.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2"]


def test_standard_input_can_go_on_too(run, tmp_path, monkeypatch):
    lines = [f"Ann{n} Oslo" for n in range(9)]
    _interrupted(run, lines)
    text = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    extractor = FakeExtractor()
    assert predict(extractor, "-", str(tmp_path / "out")) == Summary(9)
    assert len(extractor.extracted) == 5


def test_a_device_stays_a_device(run, tmp_path):
    (tmp_path / "in").write_text("Ann Oslo\n")
    assert predict(FakeExtractor(), str(tmp_path / "in"), os.devnull) == Summary(1)
    assert not Path(os.devnull).is_file()
    assert not list(Path(os.devnull).parent.glob("null.*"))


def test_traces_go_beside_the_output(run, tmp_path):
    trace = tmp_path / "trace"
    run(["Ann Oslo", "", "Bo Rome"], trace=str(trace), on_error=lambda _: None)
    traces = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [(t["id"], t["é"]) for t in traces] == [("1", 0), ("1", 1), ("3", 0), ("3", 1)]


def test_progress_tells_the_rate_and_the_time_left(run, capfd):
    run(TEXTS)
    assert "3/3" in capfd.readouterr().err
