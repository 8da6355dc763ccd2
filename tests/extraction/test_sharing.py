"""Parts put together are the whole; tests/test_multiprocess.py runs it in real processes."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from grel import parallel
from grel.extraction import sharing
from grel.extraction.predict import predict
from grel.extraction.sharing import SharedExtractor, predict_together
from grel.extraction.texts import TextExtractor
from grel.families.writer import Tally
from grel.files.faults import RecordError
from grel.pods.watch import PodError
from grel.records import Document, Triple
from tests.fakes import FakeExtractor


class Telling(TextExtractor):
    """Remembers which documents it was given, and the balance."""

    relations = ("r",)

    def __init__(self, balance=None):
        self.fake, self.balance = FakeExtractor(), balance

    def extractions(self, documents):
        return self.fake.extractions(documents)

    def identity(self):
        return {"balance": self.balance}

    def balanced(self, *balance):
        return Telling(balance)


@pytest.mark.parametrize("num_documents", [0, 1, 2, 7])
def test_three_processes_equal_one(monkeypatch, num_documents):
    documents = [Document(str(n), f"Ann lives in Oslo {n} cut") for n in range(num_documents)]
    expected = Telling().documents(documents)
    sent, done = [], []
    monkeypatch.setattr(parallel, "gather_bytes", lambda data: sent.append(data) or [data])
    for index in range(3):
        monkeypatch.setattr(parallel, "process", lambda index=index: (index, 3))
        one = Telling()
        SharedExtractor(one).documents(documents)
        done.append(one.fake.extracted)
    assert [name for part in done for name in part] == [document.id for document in documents]
    assert max(map(len, done)) - min(map(len, done)) <= 1
    assert all(json.loads(data)["tally"].keys() == vars(Tally()).keys() for data in sent)
    monkeypatch.setattr(parallel, "gather_bytes", lambda data: sent)
    assert SharedExtractor(Telling()).documents(documents) == expected
    assert expected[1].cut == num_documents


def test_options_are_those_of_every_process():
    shared = SharedExtractor(Telling())
    assert shared.relations == ("r",)
    assert shared.balanced(-1.0, 0.5, 0.7).identity() == {"balance": (-1.0, 0.5, 0.7)}
    (document,) = shared.known([Document("1", "Ann", (Triple("Ann", "r", "Ann"),))])
    assert (document.id, document.triples) == ("1", ())
    assert isinstance(shared.balanced(-1.0, 0.5), SharedExtractor)


class Pod:
    """Processes of a pod, which are threads here."""

    def __init__(self, monkeypatch, count):
        self.count, self.own = count, threading.local()
        self.barrier, self.sent = threading.Barrier(count, timeout=30), [b""] * count
        monkeypatch.setattr(parallel, "in_pod", lambda: True)
        monkeypatch.setattr(parallel, "process", lambda: (self.own.index, count))
        monkeypatch.setattr(parallel, "gather_bytes", self.gather)
        monkeypatch.setattr(parallel, "wait_for_all", lambda name: self.barrier.wait())

    def gather(self, data):
        self.sent[self.own.index] = data
        self.barrier.wait()
        sent = list(self.sent)
        self.barrier.wait()
        return sent

    def run(self, command):
        """What `command(index)` gives or raises in each process."""

        def one(index):
            self.own.index = index
            try:
                return command(index)
            except (RecordError, PodError, RuntimeError) as error:
                return error

        with ThreadPoolExecutor(self.count) as threads:
            return list(threads.map(one, range(self.count)))


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    lines = (json.dumps({"id": str(n), "text": f"Ann lives in Oslo {n}"}) for n in range(7))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_parts_of_a_file_are_put_together_and_nothing_is_left(monkeypatch, tmp_path, texts):
    expected = predict(FakeExtractor(), str(texts), str(tmp_path / "alone"))
    pod = Pod(monkeypatch, 3)
    found = pod.run(lambda _: predict_together(FakeExtractor(), str(texts), str(tmp_path / "out")))
    assert found == [expected] * 3
    assert (tmp_path / "out").read_bytes() == (tmp_path / "alone").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"texts.jsonl", "alone", "out"}


def test_parts_that_are_complete_are_not_done_again(monkeypatch, tmp_path, texts):
    """Where putting them together was interrupted, as by a lost process."""
    pod, join = Pod(monkeypatch, 3), sharing._join
    monkeypatch.setattr(sharing, "_join", lambda *_: pod.barrier.abort() or 1 / 0)
    monkeypatch.setattr(sharing.journal, "is_finished", _until_aborted(pod))
    with pytest.raises(ZeroDivisionError):
        pod.run(lambda _: predict_together(FakeExtractor(), str(texts), str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    pod = Pod(monkeypatch, 3)
    assert sharing._join is join
    extractors = [FakeExtractor() for _ in range(3)]
    target = str(tmp_path / "out")
    found = pod.run(lambda index: predict_together(extractors[index], str(texts), target))
    assert [extractor.extracted for extractor in extractors] == [[]] * 3
    assert [summary.records for summary in found] == [7] * 3
    assert len((tmp_path / "out").read_text().splitlines()) == 7
    assert {path.name for path in tmp_path.iterdir()} == {"texts.jsonl", "out"}


def _until_aborted(pod):
    is_finished = sharing.journal.is_finished

    def checked(target):
        if pod.barrier.broken:
            raise RuntimeError("another process was lost")
        return is_finished(target)

    return checked


def test_inputs_that_differ_are_told_before_anything_is_extracted(monkeypatch, tmp_path, texts):
    other = tmp_path / "other.jsonl"
    other.write_text(texts.read_text().replace("Oslo", "Rome"))
    pod, extractors = Pod(monkeypatch, 2), [FakeExtractor(), FakeExtractor()]
    paths = str(texts), str(other)
    errors = pod.run(
        lambda index: predict_together(extractors[index], paths[index], str(tmp_path / "out"))
    )
    for error, extractor in zip(errors, extractors, strict=True):
        assert isinstance(error, PodError)
        assert "not as in process 0: --input (process 1)" in str(error)
        assert extractor.extracted == []


def test_parts_that_are_not_to_be_seen_are_told(monkeypatch, tmp_path, texts):
    monkeypatch.setattr(sharing, "_SEEN_WITHIN", 0.5)
    for name in "ab":
        (tmp_path / name).mkdir()
    targets = [str(tmp_path / name / "out") for name in "ab"]
    errors = Pod(monkeypatch, 2).run(
        lambda index: predict_together(FakeExtractor(), str(texts), targets[index])
    )
    for error, name, number in zip(errors, "ab", (1, 0), strict=True):
        assert isinstance(error, RecordError)
        assert str(error).startswith(f"{tmp_path / name / 'out'}-0000{number}-of-00002.partial: ")
        assert "--output must be on storage that all of them see" in str(error)
