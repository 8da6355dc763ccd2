"""The balance of precision and recall, against trying everything."""

import dataclasses
import itertools
import random

import pytest

from grel.errors import ConfigError
from grel.extraction import tuning
from grel.extraction.reading import Extraction
from grel.extraction.texts import TextExtractor
from grel.families.writer import Tally
from grel.records import Document, Triple
from grel.scoring import protocols


class Scripted(TextExtractor):
    """Writes what it is told to for each bias, without what scores too little."""

    relations = ("r",)

    def __init__(self, by_bias, end_bias=0.0, min_score=0.0, model="m"):
        self.by_bias, self.end_bias, self.min_score, self.model = (
            by_bias,
            end_bias,
            min_score,
            model,
        )

    def balanced(self, end_bias, min_score):
        return Scripted(self.by_bias, end_bias, min_score, self.model)

    def extractions(self, documents):
        return [
            Extraction(
                dataclasses.replace(
                    document,
                    triples=tuple(
                        triple
                        for triple in self.by_bias[self.end_bias][document.id]
                        if triple.score >= self.min_score
                    ),
                ),
                Tally(),
                (),
            )
            for document in documents
        ]

    def identity(self):
        return {
            "params": self.model,
            "end_bias": self.end_bias,
            "min_score": self.min_score,
            "windows": True,
        }


def _case(seed):
    rng = random.Random(seed)
    gold = [
        Document(str(n), "a b c", tuple(Triple(h, "r", t) for h, t in rng.sample(PAIRS, 2)))
        for n in range(12)
    ]
    by_bias = {
        bias: {
            document.id: [
                Triple(h, "r", t, score=rng.choice([0.1, 0.3, 0.3, 0.55, 0.8, 0.95]))
                for h, t in rng.sample(PAIRS, rng.randint(0, 4))
            ]
            for document in gold
        }
        for bias in (-1.0, 0.0, 1.0)
    }
    return gold, Scripted(by_bias)


PAIRS = list(itertools.permutations("abc", 2))


@pytest.mark.parametrize("seed", range(8))
def test_the_best_pair_of_all(seed):
    gold, extractor = _case(seed)

    def f1(end_bias, min_score):
        predictions, _ = extractor.balanced(end_bias, min_score).documents(gold)
        return protocols.score(gold, predictions, protocols.PROTOCOLS["exact"]).total.f1

    tuned = tuning.tune(extractor, gold, "exact", (1.0, -1.0, 0.0))
    tried = {(b, s): f1(b, s) for b in (0.0, 1.0, -1.0) for s in (0.0, 0.2, 0.4, 0.7, 0.9)}
    assert tuned["f1"] == max(tried.values()) > 0
    assert f1(*tuning.read(tuned, extractor)) == tuned["f1"]


def test_of_equally_good_ones_the_smaller_bias_and_what_keeps_more():
    gold = [Document("1", "a b", (Triple("a", "r", "b"),))]
    found = {"1": [Triple("a", "r", "b", score=0.4)]}
    tuned = tuning.tune(Scripted({0.0: found, -1.0: found}), gold, "exact", (-1.0, 0.0))
    assert (tuned["end_bias"], tuned["min_score"], tuned["f1"]) == (0.0, 0.0, 1.0)


def test_a_balance_belongs_to_what_it_was_found_for():
    gold, extractor = _case(0)
    tuned = tuning.tune(extractor, gold, "exact", (0.0,))
    assert tuning.read(tuned, extractor.balanced(-1.0, 0.7)) == tuning.read(tuned, extractor)
    other = Scripted(extractor.by_bias, model="another")
    with pytest.raises(ConfigError, match="tuned with another params: use the same, or run"):
        tuning.read(tuned, other)
    with pytest.raises(ConfigError, match="was not tuned: python -m grel"):
        tuning.read(None, extractor)
