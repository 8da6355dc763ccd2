"""Extraction on Ray: what is written is what `predict` writes, whatever is lost on the way.

Most of it is tried without a cluster: rows are handed from one stage to the next as Ray would.
"""

import datetime
import gzip
import json
import os
import signal
from pathlib import Path

import pytest

from grel.extraction.chunks import Summary
from grel.extraction.predict import predict
from grel.files.faults import RecordError
from tests.fakes import FakeExtractor

pytest.importorskip("ray", reason="Ray is an extra: pip install 'ray[data]'")

import pyarrow as pa
import pyarrow.parquet
import ray

from grel.extraction import pool

RECORDS = [
    {"id": "a", "text": "Ann lives in Oslo", "topic": {"n": [1, None], "é": "\r"}},
    {"text": "Bo , in Rome , cut"},
    {"id": "c", "text": ""},
    {"id": 77, "text": "Eva\n? Lima", "triples": "none"},
]
LINES = [*map(json.dumps, RECORDS), "", '{"id": 1', json.dumps("Ida Paris")]


@pytest.fixture
def texts(tmp_path):
    """A folder of files of every kind, and some that are not to be read."""
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.jsonl").write_text("\n".join(LINES) + "\n")
    data = "".join(f"Ann{n} ? Oslo\n" for n in range(10))
    (folder / "more" / "lines.gz").write_bytes(gzip.compress(data.encode()))
    (folder / "list.json").write_text(json.dumps(RECORDS, indent=1))
    (folder / "cut.gz").write_bytes(gzip.compress(data.encode())[:-9])
    (folder / "_SUCCESS").write_text("{")
    (folder / ".hidden").write_text("{")
    return folder


def _by_hand(inputs, output, *, format="jsonl", chunk_size=3, input_format="auto"):
    """What `pool.run` does, in this process, each chunk in a row and a task of its own."""
    sink = pool._Sink(str(output), format)
    sink.begin()
    actor = pool._Actor(FakeExtractor)
    returns = []
    for file in pool._files([str(root) for root in inputs]):
        for row in pool._read(pa.Table.from_pylist([file]), input_format, chunk_size):
            done = actor(row)
            # A task of which nobody knows that it was done is done again.
            for _ in range(2):
                told = sink.write([done], None)
            returns.append(told)
    sink.on_write_complete(type("Result", (), {"write_returns": returns}))
    return sink.finish()


def _lines(folder, kind):
    return [
        json.loads(line)
        for path in sorted(folder.glob(f"{kind}-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def _by_predict(folder, tmp_path):
    """The records that `predict` writes for each file, ids as those of the pool, and the faults."""
    documents, faults = {}, []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name.startswith((".", "_")) or path.name == "cut.gz":
            continue
        errors = []
        predict(FakeExtractor(), str(path), str(tmp_path / "one"), on_error=errors.append)
        faults += [{"path": e.path, "line": e.line, "reason": e.reason} for e in errors]
        for line in (tmp_path / "one").read_text().splitlines():
            record = json.loads(line)
            # What was given stays.
            if record["id"] not in ("a", "c", "77"):
                record["id"] = f"{path.relative_to(folder)}:{record['id']}"
            documents.setdefault(record["id"], []).append(record)
    return documents, faults


def _check(folder, output, done, tmp_path):
    """The output is what predict writes, and the file that is cut is told of."""
    documents, faults = _by_predict(folder, tmp_path)
    written = _lines(output, "documents")
    assert len(written) == sum(map(len, documents.values())) + 9  # what stands before the cut
    for record in written:
        if not record["id"].startswith("cut.gz:"):
            assert record in documents[record["id"]]
    unread = {
        "path": str(folder / "cut.gz"),
        "line": None,
        "reason": "the compressed data ends too early",
    }
    listed = _lines(output, "faults")
    assert sorted(map(json.dumps, listed)) == sorted(map(json.dumps, [*faults, unread]))
    assert (done.summary.skipped, done.num_unread) == (len(faults), 1)
    assert done.summary.blank == 3
    told = json.loads((output / pool.SUMMARY).read_text())
    assert told == json.loads(done.summary.to_json()) | {"unread": 1}


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_what_is_written_is_what_predict_writes(texts, tmp_path, chunk_size):
    done = _by_hand([texts], tmp_path / "out", chunk_size=chunk_size)
    _check(texts, tmp_path / "out", done, tmp_path)


def test_records_that_share_a_line_do_not_share_a_file(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps([f"Ann{n} Oslo" for n in range(7)]))
    done = _by_hand([tmp_path / "list.json"], tmp_path / "out", chunk_size=2)
    ids = [record["id"] for record in _lines(tmp_path / "out", "documents")]
    assert sorted(ids) == [f"list.json:{n}" for n in range(1, 8)]
    assert done.summary.records == 7


def test_a_single_file_calls_documents_after_itself(texts, tmp_path):
    _by_hand([texts / "more" / "lines.gz"], tmp_path / "out")
    ids = {record["id"] for record in _lines(tmp_path / "out", "documents")}
    assert ids == {f"lines.gz:{n}" for n in range(1, 11)}


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["x"], ["part.txt"]),
        # As in the docstring of `pool._files`.
        (["x", "y"], ["x/part.txt", "y/part.txt"]),
        (["x/part.txt", "y/part.txt"], ["x/part.txt", "y/part.txt"]),
        (["x", "z/x"], ["x/part.txt", "z/x/part.txt"]),
        (["z/x/part.txt", "z/x/more.txt"], ["more.txt", "part.txt"]),
        (["file:{}/x/", "file:{}/y"], ["x/part.txt", "y/part.txt"]),
    ],
)
def test_no_two_files_of_several_inputs_call_documents_alike(tmp_path, inputs, names):
    for name in ("x/part.txt", "y/part.txt", "z/x/part.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("Ann ? Oslo\n")
    if "z/x/more.txt" in inputs:
        (tmp_path / "z/x/more.txt").write_text("Bo ? Rome\n")
    roots = [i.format(f"//{tmp_path}") if "{}" in i else tmp_path / i for i in inputs]
    _by_hand(roots, tmp_path / "out")
    ids = [record["id"] for record in _lines(tmp_path / "out", "documents")]
    assert sorted(ids) == [f"{name}:1" for name in names]


def test_parquet_in_and_out_says_what_json_says(texts, tmp_path):
    _by_hand([texts / "0.jsonl"], tmp_path / "lines")
    _by_hand([texts / "0.jsonl"], tmp_path / "columns", format="parquet")
    expected = _lines(tmp_path / "lines", "documents")
    rows = pa.concat_tables(
        map(pyarrow.parquet.read_table, sorted((tmp_path / "columns").glob("*.parquet")))
    ).to_pylist()

    def plain(row):
        other = json.loads(row.pop("other"))
        triples = [{k: v for k, v in t.items() if v is not None} for t in row["triples"]]
        return {**row, "triples": triples, **other}

    def key(record):
        return json.dumps(record, sort_keys=True)

    assert sorted(map(key, map(plain, rows))) == sorted(map(key, expected))

    # The columns of records as rows; what is null is missing.
    stated = [record for record in RECORDS if type(record.get("id")) is not int]
    table = pa.Table.from_pylist([{"id": None, "topic": None, **r} for r in stated])
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "in" / "0.parquet")
    done = _by_hand([tmp_path / "in"], tmp_path / "again")
    again = _lines(tmp_path / "again", "documents")
    assert [record["id"] for record in again] == ["a", "0.parquet:2"]
    assert again[0] in expected
    assert done.summary == Summary(3, 1, done.summary.tally)
    [fault] = _lines(tmp_path / "again", "faults")
    assert (fault["line"], fault["reason"]) == (3, "text is empty")


def test_columns_that_json_lacks_are_text_or_faults(tmp_path):
    rows = [
        {"text": b"Ann Oslo", "when": datetime.date(2020, 1, 2)},
        {"text": b"Bo \xff Rome", "when": None},
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    _by_hand([tmp_path / "x.parquet"], tmp_path / "out")
    [record] = _lines(tmp_path / "out", "documents")
    assert (record["text"], record["when"]) == ("Ann Oslo", "2020-01-02")
    [fault] = _lines(tmp_path / "out", "faults")
    assert (fault["path"], fault["line"]) == (str(tmp_path / "x.parquet"), 2)
    assert fault["reason"].startswith("not UTF-8: byte 0xff")
    rows = pa.table({"text": [f"Ann{n} Oslo" for n in range(9)]})
    pyarrow.parquet.write_table(rows, tmp_path / "z.parquet", row_group_size=3, compression="zstd")
    data = bytearray((tmp_path / "z.parquet").read_bytes())
    middle = pyarrow.parquet.ParquetFile(tmp_path / "z.parquet").metadata.row_group(1).column(0)
    for n in range(middle.dictionary_page_offset, middle.data_page_offset + 9):
        data[n] ^= 0xFF
    (tmp_path / "z.parquet").write_bytes(data)
    done = _by_hand([tmp_path / "z.parquet"], tmp_path / "half", chunk_size=2)
    assert (done.num_unread, len(_lines(tmp_path / "half", "documents"))) == (1, 3)
    (tmp_path / "y.parquet").write_bytes(b"PAR1")
    done = _by_hand([tmp_path / "y.parquet"], tmp_path / "no")
    assert (done.num_unread, done.summary) == (1, Summary())
    assert "cannot read" in _lines(tmp_path / "no", "faults")[0]["reason"]


def test_a_name_and_a_password_of_an_address_are_not_told():
    file = {"root": "s3://me:secret@bucket/a?endpoint_override=x", "name": "b@c?d.jsonl"}
    assert pool._path(file) == "s3://bucket/a/b@c?d.jsonl"
    assert pool._path({"root": "/a@b?c", "name": ""}) == "/a@b?c"
    with pytest.raises(RecordError) as info:
        pool._files(["nowhere://me:secret@bucket/a"])
    assert "secret" not in str(info.value)


def test_what_is_not_there_or_taken_is_refused(texts, tmp_path):
    with pytest.raises(RecordError, match="there is no file; name files"):
        pool._files([str(tmp_path / "nothing")])
    with pytest.raises(RecordError, match=r"cannot be reached: .*nowhere"):
        pool._files(["nowhere://bucket/x"])
    with pytest.raises(RecordError, match="is not empty; name another folder"):
        _by_hand([texts], texts)
    with pytest.raises(RecordError, match=r"0.jsonl: is given twice"):
        pool.run(FakeExtractor, [str(texts), f"{texts}/0.jsonl"], str(tmp_path), num_actors=1)
    with pytest.raises(RecordError, match=r"is given twice"):
        pool._files([f"file://{texts}", f"file://{texts}/"])


class Mortal(FakeExtractor):
    """Notes which processes are at work; the first that meets a certain text is killed."""

    def __init__(self, folder):
        super().__init__()
        self._folder = Path(folder)
        (self._folder / f"actor-{os.getpid()}").touch()

    def extractions(self, documents):
        if any("Ida" in document.text for document in documents):
            killed = self._folder / f"killed-{os.getpid()}"
            if not list(self._folder.glob("killed-*")):
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().extractions(documents)


@pytest.fixture(scope="module")
def cluster():
    # Whatever else runs on this machine.
    options = {"address": "local", "include_dashboard": False, "log_to_driver": False}
    ray.init(num_cpus=4, object_store_memory=1 << 28, **options)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(texts, tmp_path, cluster):
    folder = tmp_path / "processes"
    folder.mkdir()
    done = pool.run(
        lambda: Mortal(folder), [str(texts)], str(tmp_path / "out"), num_actors=2, chunk_size=2
    )
    _check(texts, tmp_path / "out", done, tmp_path)
    actors = {path.name.split("-")[1] for path in folder.glob("actor-*")}
    killed = {path.name.split("-")[1] for path in folder.glob("killed-*")}
    assert len(killed) == 1
    # Two from the start, and the one that took the place of the first that was killed.
    assert len(actors) == 3
    assert killed < actors
