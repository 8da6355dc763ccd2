"""Gold targets fed through the reader: what stands between a perfect model and F1 1.0.

python -m tests.benchmarks.read_back --jsonl=dev.jsonl --vocab=vocab.txt [--lowercase]
"""

import argparse
import dataclasses

import numpy as np

from grel.data import features
from grel.decoding.driver import Written
from grel.families.reading import read_wordpieces
from grel.names import is_whole
from grel.records import read_jsonl
from grel.scoring.protocols import PROTOCOLS, score
from grel.text.wordpiece import Wordpiece, read_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jsonl", required=True, help="records of grel")
    parser.add_argument("--vocab", required=True, help="a BERT vocab.txt")
    parser.add_argument("--lowercase", action="store_true", help="an uncased vocabulary")
    a = parser.parse_args()
    gold = [document.without_duplicates() for document in read_jsonl(a.jsonl)]
    relations = {triple.relation for document in gold for triple in document.triples}
    wordpiece = Wordpiece(read_vocabulary(a.vocab), relations, lowercase=a.lowercase)
    encodings = wordpiece.encode_batch([document.text for document in gold])
    found = features.examples(gold, wordpiece, features.Options(max_length=1 << 20))
    read = []
    for document, encoding, example in zip(gold, encodings, found, strict=True):
        ids = np.array(example.target, np.int32)
        nowhere, certain = np.full(len(ids), -1), np.zeros(len(ids))
        written = Written(ids, nowhere, certain, nowhere, nowhere, ended=True, num_cut=0)
        triples, _ = read_wordpieces(document.text, encoding, written, wordpiece)
        read.append(dataclasses.replace(document, triples=tuple(triples)))
    spans = [
        (document.text, span)
        for document in read
        for triple in document.triples
        for span in (triple.head_span, triple.tail_span)
        if span is not None
    ]
    exact = score(gold, read, PROTOCOLS["exact"]).total
    inside = sum(not is_whole(text, span) for text, span in spans)
    print(f"exact F1 {exact.f1:.4f} of {exact.gold} triples; {inside} places inside of words")


if __name__ == "__main__":
    main()
