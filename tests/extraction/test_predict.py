"""Prediction over files: order, faulty records, shards, and a kill at any point."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.extraction import chunks
from grel.extraction.chunks import Summary
from grel.extraction.predict import predict
from grel.extraction.shards import Shard
from grel.families.writer import Tally
from grel.files.faults import RecordError
from grel.files.parsing import MAX_LINE_BYTES
from grel.records import read_jsonl
from tests.fakes import LIVES, FakeExtractor
from tests.files.test_parsing import JSON_VALUES

ROOT = Path(__file__).parents[2]
ENCODABLE = st.characters(exclude_categories=["Cs"])
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


def _output(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]


def _written(tmp_path, data, extractor=None, **options):
    """Predicts a file of these bytes; returns (records of the output, summary)."""
    (tmp_path / "in").write_bytes(data)
    source, target = str(tmp_path / "in"), str(tmp_path / "out")
    summary = predict(extractor or FakeExtractor(), source, target, **options)
    return _output(tmp_path), summary


def test_records_need_a_text_only_and_keep_their_other_fields(tmp_path):
    records = [
        {"text": "Ann Oslo"},
        {"id": 1234567890123456789, "text": "Ann Oslo", "label": None, "n": [1.5, {"é": 10**20}]},
        {"id": "b", "text": "Ann Oslo", "triples": "none", "truncated": True, "unknown_tokens": 3},
        "Ann Oslo",
    ]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    written, summary = _written(tmp_path, data)
    assert [record["id"] for record in written] == ["1", "1234567890123456789", "b", "4"]
    assert all(len(record["triples"]) == 1 for record in written)
    others = [{k: v for k, v in r.items() if k not in ("id", "text", "triples")} for r in written]
    assert others == [{}, {"label": None, "n": [1.5, {"é": 10**20}]}, {}, {}]
    assert summary == Summary(4)
    assert [document.other for document in read_jsonl(tmp_path / "out")] == others


def test_what_the_model_did_not_see_is_told_of_each_record(run, tmp_path):
    run(["Ann Oslo", "Ann cut Oslo", "Ann windowed Oslo", "Ann ? ? Oslo"])
    told = [{k: v for k, v in r.items() if k not in ("id", "text", "triples")}
            for r in _output(tmp_path)]  # fmt: skip
    assert told == [{}, {"truncated": True}, {"windowed": True}, {"unknown_tokens": 2}]


BLANKS = ["", " \t", "\u00a0\u3000", "\r"]


def test_blank_lines_are_counted_wherever_they_stand(run):
    read, summary = run([*BLANKS, "Ann Oslo", *BLANKS, "Bo Rome", *BLANKS])
    assert read == [("5", "Ann"), ("10", "Bo")]
    assert summary == Summary(14, blank=12)
    lines = [line for line in BLANKS if line.strip("\u00a0\u3000") == line]
    read, summary = run([*lines, _record(1, "Ann Oslo"), *lines, _record(2, "Bo Rome"), *lines])
    assert read == [("id-1", "Ann"), ("id-2", "Bo")]
    assert summary == Summary(11, blank=9)


LIST = [{"id": "a", "text": "Ann\n Oslo"}, "Bo Rome", {"text": "Eva Lima"}]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "layout",
    [
        lambda: json.dumps(LIST),
        lambda: "\n\n" + json.dumps(LIST, indent=1) + "\n",
        lambda: "\ufeff[" + ",\n".join(map(json.dumps, LIST)) + "]",
        lambda: "\n".join(json.dumps(record) for record in LIST),
        lambda: "\n".join(json.dumps(record, indent=4) for record in LIST),
    ],
)
def test_json_may_be_laid_out_in_any_way(tmp_path, compress, layout):
    written, summary = _written(tmp_path, compress(layout().encode()))
    assert [record["id"] for record in written] == ["a", "2", "3"]
    assert [record["text"] for record in written] == ["Ann\n Oslo", "Bo Rome", "Eva Lima"]
    assert (summary.records, summary.skipped) == (3 + summary.blank, 0)


@pytest.mark.parametrize(
    "text", ["{{Infobox}} Oslo", "[Music] Oslo", "[[Ann]] in Oslo", "[ ] Oslo", "{Ann} Oslo"]
)
def test_a_text_that_begins_like_json_is_text_and_that_is_told(run, capfd, text):
    note = "is taken for lines of text; if it is JSON, say --input_format=jsonl"
    assert len(run([text, "Bo Rome"])[0]) == 2
    assert note in capfd.readouterr().err
    assert len(run([text, "Bo Rome"], input_format="text")[0]) == 2
    run(["Bo Rome", text])
    assert note not in capfd.readouterr().err


def test_what_the_input_is_can_be_said(run):
    assert run(['{"id": 1}', "Bo Rome"], input_format="text")[0] == [("1", '{"id":'), ("2", "Bo")]
    with pytest.raises(RecordError, match=r"in:1: not JSON: .* at column 1$"):
        run(["Ann Oslo"], input_format="jsonl")
    with pytest.raises(RecordError, match=r"column 7; if the file is lines of text, say --input_f"):
        run(['{"Ann", Oslo'])


def test_a_long_text_is_extracted_and_a_longer_one_refused_before_all_else(run):
    text = f"Ann {'東京都' * 150_000} Oslo"
    assert run([text])[0] == [("1", "Ann")]
    for lines in (["Ann Oslo", text * 4], [_record(0, "Ann Oslo"), _record(1, text * 4)]):
        extractor = FakeExtractor()
        with pytest.raises(RecordError, match=r"in:2: longer than 4,194,304 bytes; divide"):
            run(lines, extractor, chunk_size=1)
        assert extractor.extracted == []
        assert run(lines, on_error=lambda _: None)[1] == Summary(2, 1)


def test_a_record_of_too_many_places_is_written_without_them(run, tmp_path):
    read, summary = run(["Ann everywhere Oslo", "Bo Rome"])
    assert read == [("1", "Ann"), ("2", "Bo")]
    assert summary == Summary(2, without_places=1)
    (triple,) = _output(tmp_path)[0]["triples"]
    assert triple["head_span"] == [0, 3]
    assert "head_spans" not in triple


@pytest.mark.parametrize("name", ["in", "./sub/../in", "link", "hard", "out"])
@pytest.mark.parametrize("role", ["target", "trace"])
def test_no_input_is_overwritten_and_no_output_twice(tmp_path, name, role):
    (tmp_path / "sub").mkdir()
    (tmp_path / "in").write_text("Ann Oslo\n")
    (tmp_path / "link").symlink_to("in")
    os.link(tmp_path / "in", tmp_path / "hard")
    paths = {"target": f"{tmp_path}/out", "trace": f"{tmp_path}/trace", role: f"{tmp_path}/{name}"}
    if (name, role) == ("out", "target"):
        paths["trace"] = paths["target"]
    with pytest.raises(RecordError, match=r"as well; name another file$"):
        predict(FakeExtractor(), f"{tmp_path}/in", paths.pop("target"), **paths)
    assert (tmp_path / "in").read_text() == "Ann Oslo\n"
    assert sorted(os.listdir(tmp_path)) == ["hard", "in", "link", "sub"]


@pytest.mark.parametrize("suffix", ["partial", "progress"])
def test_what_an_output_is_called_meanwhile_is_no_input(tmp_path, suffix):
    source = tmp_path / f"out.{suffix}"
    source.write_text("Ann Oslo\n")
    with pytest.raises(RecordError, match=r"as well; name another file$"):
        predict(FakeExtractor(), str(source), str(tmp_path / "out"))
    assert source.read_text() == "Ann Oslo\n"


def test_shards_of_a_list_joined_are_the_whole(tmp_path):
    data = json.dumps([f"Ann{n} Oslo" for n in range(7)]).encode()
    whole, _ = _written(tmp_path, data)
    for index in range(3):
        shard = Shard(index, 3)
        predict(FakeExtractor(), str(tmp_path / "in"), str(tmp_path / "out"), shard=shard)
    parts = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("out-*")))
    assert [json.loads(line) for line in parts.splitlines()] == whole


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_no_line_of_any_text_is_lost(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any")
    lines = "\n".join(texts).split("\n")
    written, summary = _written(folder, "\n".join(lines).encode(), input_format="text")
    ids = [str(n) for n, line in enumerate(lines, start=1) if line.removeprefix("\ufeff").strip()]
    assert [record["id"] for record in written] == ids
    assert summary.skipped == 0
    assert summary.records - summary.blank == len(ids)


@given(
    st.lists(st.dictionaries(st.text(ENCODABLE), JSON_VALUES, max_size=2), max_size=2),
    st.booleans(),
)
def test_any_fields_go_through_unchanged(tmp_path_factory, others, as_list):
    known = {"id", "text", "triples", "truncated", "windowed", "unknown_tokens"}
    others = [{k: v for k, v in other.items() if k not in known} for other in others]
    records = [{**other, "id": f"é{n}", "text": "x y"} for n, other in enumerate(others)]
    data = json.dumps(records) if as_list else "\n".join(map(json.dumps, records))
    written, _ = _written(tmp_path_factory.mktemp("any"), data.encode())
    assert [{**record, "triples": 0} for record in written] == [
        {**record, "triples": 0} for record in records
    ]


def test_an_empty_file(run):
    assert run([]) == ([], Summary())


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 100])
def test_the_output_does_not_depend_on_the_chunk(run, tmp_path, chunk_size):
    lines = [f"Ann{n} cut Oslo" if n % 3 else "" for n in range(20)]
    _, summary = run(["first", *lines, "last"])
    whole = (tmp_path / "out").read_bytes()
    extractor = FakeExtractor()
    in_chunks = run(["first", *lines, "last"], extractor, chunk_size=chunk_size)
    assert (tmp_path / "out").read_bytes() == whole
    assert in_chunks[1] == summary == Summary(22, 0, Tally(cut=13), blank=7)
    assert max(extractor.chunk_sizes) <= chunk_size


def test_long_records_are_extracted_a_few_at_once(run, monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_BYTES", 100)
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
    lines = [_record(0, "Ann Oslo"), "{", _record(1, ""), _record(2, "Bo long Rome"), "7"]
    read, summary = run(lines, on_error=errors.append)
    assert read == [("id-0", "Ann")]
    assert summary == Summary(5, 4)
    assert [e.line for e in errors] == [2, 3, 5, 4]
    assert f"longer than {MAX_LINE_BYTES:,} bytes" in errors[-1].reason


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
    with pytest.raises(RecordError, match=r"input_format was 'text' and is 'jsonl' now"):
        run(lines, FakeExtractor(params="abc"), input_format="jsonl")
    with pytest.raises(RecordError, match=r"tells of 1 files, not of 2"):
        run(lines, FakeExtractor(params="abc"), trace=str(tmp_path / "trace"))
    assert len(run(lines, FakeExtractor(params="abc"))[0]) == 9


def test_a_damaged_progress_is_refused(run, tmp_path):
    _interrupted(run, [f"Ann{n} Oslo" for n in range(9)])
    progress = json.loads((tmp_path / "out.progress").read_text())
    del progress["state"]["tally"]["cut"]
    (tmp_path / "out.progress").write_text(json.dumps(progress))
    with pytest.raises(RecordError, match=r"out.progress: field 'cut' is missing; .*; remove "):
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
    run(lines)
    whole = (tmp_path / "out").read_bytes()
    (tmp_path / "out").unlink()
    summaries = []
    for index in range(count):
        shard = Shard(index, count)
        source, target = str(tmp_path / "in"), str(tmp_path / "out")
        summaries.append(predict(FakeExtractor(), source, target, shard=shard))
    parts = sorted(path for path in tmp_path.iterdir() if path.name != "in")
    assert [path.name for path in parts] == (
        [f"out-0000{i}-of-0000{count}" for i in range(count)] if count > 1 else ["out"]
    )
    assert b"".join(path.read_bytes() for path in parts) == whole
    assert sum(summaries, Summary()) == Summary(10, blank=1)
    assert max(s.records for s in summaries) - min(s.records for s in summaries) <= 1


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
    run(["Ann Oslo", "", "Bo Rome"], trace=str(trace))
    traces = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [(t["id"], t["é"]) for t in traces] == [("1", 0), ("1", 1), ("3", 0), ("3", 1)]


def test_progress_tells_the_rate_and_the_time_left(run, capfd):
    run(TEXTS)
    assert "3/3" in capfd.readouterr().err
