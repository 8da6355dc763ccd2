"""Parts put together are the whole; tests/test_multiprocess.py runs it in real processes."""

import json

import pytest

from grel import parallel
from grel.extraction.sharing import SharedExtractor
from grel.extraction.texts import TextExtractor
from grel.families.writer import Tally
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
