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
    """Writes what it is told to for each bias, and knows; nothing that scores too little."""

    relations = ("r",)

    def __init__(self, by_bias, known=None, model="m", balance=(0.0, 0.0, 0.0)):
        self.by_bias, self.by_id, self.model = by_bias, known or {}, model
        self.end_bias, self.min_score, self.known_share = balance

    def balanced(self, end_bias, min_score, known_share=0.0):
        balance = end_bias, min_score, known_share
        return Scripted(self.by_bias, self.by_id, self.model, balance)

    def known(self, documents):
        return [dataclasses.replace(d, triples=self.by_id.get(d.id, ())) for d in documents]

    def extractions(self, documents):
        extractions = []
        for document in documents:
            best = {}
            for triple in self.by_id.get(document.id, ()):
                if self.known_share and triple.score >= self.known_share:
                    best[triple.key] = triple
            for triple in self.by_bias[self.end_bias][document.id]:
                if triple.key not in best or best[triple.key].score < triple.score:
                    best[triple.key] = triple
            kept = tuple(triple for triple in best.values() if triple.score >= self.min_score)
            extractions.append(Extraction(dataclasses.replace(document, triples=kept), Tally(), ()))
        return extractions

    def identity(self):
        return {
            "params": self.model,
            "end_bias": self.end_bias,
            "min_score": self.min_score,
            "known_share": self.known_share,
            "windows": True,
        }


def _case(seed, knows=False):
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
    known = {
        document.id: tuple(
            Triple(h, "r", t, score=rng.choice([0.05, 1 / 3, 0.6, 1.0]))
            for h, t in rng.sample(PAIRS, rng.randint(0, 3))
        )
        for document in gold
        if knows
    }
    return gold, Scripted(by_bias, known)


PAIRS = list(itertools.permutations("abc", 2))


@pytest.mark.parametrize("knows", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_best_balance_of_all(seed, knows):
    gold, extractor = _case(seed, knows)

    def f1(end_bias, min_score, known_share):
        predictions, _ = extractor.balanced(end_bias, min_score, known_share).documents(gold)
        return protocols.score(gold, predictions, protocols.PROTOCOLS["exact"]).total.f1

    tuned = tuning.tune(extractor, gold, "exact", (1.0, -1.0, 0.0))
    biases, min_scores = (0.0, 1.0, -1.0), (0.0, 0.08, 0.2, 0.32, 0.4, 0.58, 0.7, 0.9, 0.97)
    # All that is written beside differs between these shares.
    shares = (0.0, 0.1, 0.5, 0.9) if knows else (0.0,)
    tried = [f1(*balance) for balance in itertools.product(biases, min_scores, shares)]
    assert tuned["f1"] == max(tried) > 0
    assert f1(*tuning.read(tuned, extractor)) == tuned["f1"]


def test_known_triples_are_written_where_that_helps():
    gold = [Document("1", "a b c", (Triple("a", "r", "b"), Triple("b", "r", "c")))]
    found = {0.0: {"1": [Triple("a", "r", "b", score=0.4)]}}
    right, wrong = Triple("b", "r", "c", score=0.75), Triple("c", "r", "a", score=0.4)
    tuned = tuning.tune(Scripted(found, {"1": (right, wrong)}), gold, "exact", (0.0,))
    # Of .7, .6 and .5 that which adds least; .4 would let the wrong one through.
    assert (tuned["known_share"], tuned["min_score"], tuned["f1"]) == (0.7, 0.0, 1.0)
    tuned = tuning.tune(Scripted(found, {"1": (wrong,)}), gold, "exact", (0.0,))
    assert tuned["known_share"] == 0.0


def test_a_balance_of_an_earlier_version_adds_nothing_known():
    gold, extractor = _case(0)
    tuned = tuning.tune(extractor, gold, "exact", (0.0,))
    del tuned["known_share"]
    assert tuning.read(tuned, extractor).known_share == 0.0


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
    for change in ({"of": 3}, {"end_bias": "a"}, {"known_share": None}):
        with pytest.raises(ConfigError, match=r"tuned.json holds no balance: run --mode=tune"):
            tuning.read(tuned | change, extractor)
    with pytest.raises(ConfigError, match="was not tuned: python -m grel"):
        tuning.read(None, extractor)
