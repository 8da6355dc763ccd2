"""How many examples a second are written, labeled and packed, per core.

    python -m tests.benchmarks.data_speed [--jsonl=FILE.jsonl] [--vocab=vocab.txt]

Rates are examples per second of processor time, summed over threads, so that neither other
processes nor the number of cores change them: the median of several rounds, with the slowest and
the fastest in brackets. To aim at: 2,000 linearized and labeled, which happens once, and 20,000
packed to 128 tokens, which happens in every epoch.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence

from grel.corpora import synthetic
from grel.data import features
from grel.data.pipeline import Batches
from grel.records import Document, read_jsonl
from grel.text import bio, linearize
from grel.text.wordpiece import Wordpiece, read_vocabulary, train_vocabulary
from tests.benchmarks.timing import machine

PACKED_LENGTH = 128


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures the rates of the data pipeline.")
    parser.add_argument("--jsonl", help="records of grel (default: a generated corpus)")
    parser.add_argument("--vocab", help="a BERT vocab.txt (default: learned from the corpus)")
    parser.add_argument("--num_examples", type=int, default=5000, help="use at most so many")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    return parser


def _report(what: str, rounds: int, work: Callable[[], int]) -> None:
    """Prints the rate of `work`, which returns the number of examples it went through."""
    work()  # fills caches
    rates = []
    for _ in range(rounds):
        start = time.process_time()
        num_examples = work()
        rates.append(num_examples / (time.process_time() - start))
    spread = f"[{min(rates):,.0f} .. {max(rates):,.0f}]"
    print(f"{what:40}{statistics.median(rates):>9,.0f} examples/s  {spread}")


def _write(documents: Sequence[Document], wordpiece: Wordpiece, labelling: str) -> int:
    """Tokenizes, linearizes and labels."""
    options = features.Options(labelling=labelling)
    return sum(1 for _ in features.examples(documents, wordpiece, options))


def _tokenized(documents: Sequence[Document], wordpiece: Wordpiece) -> list[tuple[list, list]]:
    """Source ids and the ids of the triples of each document."""
    found = []
    for source, target, *_ in features.examples(documents, wordpiece, features.Options()):
        parsed = linearize.parse(target, wordpiece.form)
        found.append((source, [[target[place] for place in slots] for slots in parsed.triples]))
    return found


def _linearize_and_label(tokenized: Sequence[tuple[list, list]], wordpiece: Wordpiece) -> int:
    """Linearizes, and labels in every way that there is."""
    for source, triples in tokenized:
        target, slots = linearize.linearize(triples, wordpiece.form)
        entities = [place for slot in slots for place in (slot.head, slot.tail)]
        for label_fn in bio.LABELLINGS.values():
            label_fn(source, target, entities)
    return len(tokenized)


def _pack(batches: Batches) -> int:
    """Packs two epochs, and plans them: only one plan is kept."""
    steps = range(2 * batches.num_batches)
    return sum(int((batches[step].length_B > 0).sum()) for step in steps)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    args = _parser().parse_args(argv)
    if args.jsonl:
        documents = list(read_jsonl(args.jsonl))[: args.num_examples]
    else:
        documents = synthetic.generate("train", args.num_examples)
    texts = (document.text for document in documents)
    vocabulary = read_vocabulary(args.vocab) if args.vocab else train_vocabulary(texts, 8000)
    wordpiece = Wordpiece(vocabulary, {t.relation for d in documents for t in d.triples})
    print(f"{machine()}\n{len(documents):,} examples, {len(vocabulary):,} wordpieces")

    tokenized = _tokenized(documents, wordpiece)
    work = functools.partial(_linearize_and_label, tokenized, wordpiece)
    _report("linearize, label in both ways", args.rounds, work)
    for labelling in bio.LABELLINGS:
        work = functools.partial(_write, documents, wordpiece, labelling)
        _report(f"tokenize, linearize, label {labelling}", args.rounds, work)
    found = features.build(documents, wordpiece, features.Options(max_length=PACKED_LENGTH))
    batches = Batches(found, wordpiece, args.batch_size, (PACKED_LENGTH,), seed=0)
    _report(f"pack to {PACKED_LENGTH}", args.rounds, functools.partial(_pack, batches))


if __name__ == "__main__":
    main()
