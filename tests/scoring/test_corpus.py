"""Corpus statistics against hand-made corpora and the counts known of the public ones."""

from pathlib import Path

import pytest

from grel.records import Document, Triple
from grel.scoring.corpus import LENGTH_CLASSES, CorpusStatistics, corpus_statistics, length_classes

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("head", "tail", "classes"),
    [
        ("Paris", "France", set()),
        ("New York", "USA", {"2"}),
        ("USA", "New York", {"2"}),
        ("World Health Organization", "Geneva", {"2", "3"}),
        ("University of New York", "Albany", {"2", "3+"}),
        ("World Health Organization", "Geneva in western Switzerland", {"2", "3", "3+"}),
        ("Ann\tMoore", "Time", {"2"}),
        ("  Paris ", "France", set()),
    ],
)
def test_length_classes(head, tail, classes):
    assert length_classes(Triple(head, "r", tail)) == classes


def test_the_classes_are_those_of_the_contract():
    assert list(LENGTH_CLASSES) == ["2", "3", "3+"]


def test_statistics_count_examples_by_length_and_triples_without_duplicates():
    documents = [
        Document("a", "t", (Triple("New York", "in", "USA"), Triple("Old York", "in", "UK"))),
        Document("b", "t", (Triple("New York", "in", "USA"),) * 2),
        Document("c", "t", (Triple("A B C", "in", "D"), Triple("A", "of", "B C D E"))),
        Document("d", "t", (Triple("Paris", "in", "France"),)),
        Document("e", "t"),
    ]
    statistics = corpus_statistics(documents)
    assert statistics.examples == 5
    assert statistics.triples == 2 + 1 + 2 + 1
    assert statistics.relations == 2
    assert statistics.multi_token == {"2": 3, "3": 1, "3+": 1}


def test_triples_that_differ_in_spans_only_are_duplicates():
    first = Triple("A", "r", "B", (0, 1), (2, 3))
    second = Triple("A", "r", "B", (4, 5), (2, 3))
    assert corpus_statistics([Document("a", "A B A", (first, second))]).triples == 1


def test_an_empty_corpus_has_zero_in_every_class():
    statistics = corpus_statistics([])
    assert (statistics.examples, statistics.triples, statistics.relations) == (0, 0, 0)
    assert statistics.multi_token == {"2": 0, "3": 0, "3+": 0}


def _read_ptrnet(stem: Path) -> list[Document]:
    documents = []
    with (
        open(f"{stem}.sent", encoding="utf-8") as texts,
        open(f"{stem}.tup", encoding="utf-8") as f,
    ):
        for number, (text, line) in enumerate(zip(texts, f, strict=True)):
            parts = [part.strip().split(" ; ") for part in line.split(" | ")]
            triples = tuple(Triple(head, relation, tail) for head, tail, relation in parts)
            documents.append(Document(str(number), text.strip(), triples))
    return documents


@pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora of ../shared/data are not here")
@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        # 22 of the 24 and 25 of the 29 relations of these corpora occur in their dev splits.
        ("nyt24", CorpusStatistics(5000, 7985, 22, {"2": 3301, "3": 560, "3+": 121})),
        ("nyt29", CorpusStatistics(7033, 8766, 25, {"2": 4666, "3": 760, "3+": 184})),
    ],
)
def test_counts_of_public_dev_splits(corpus, expected):
    assert corpus_statistics(_read_ptrnet(SHARED / corpus / "dev")) == expected
