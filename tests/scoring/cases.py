"""Random gold and predicted documents for the tests of scoring; names of few letters collide."""

import random

from grel.records import Document, Triple


def random_triple(rng: random.Random, relations: str, scored: bool = False) -> Triple:
    head, tail = (" ".join(rng.choices("ab", k=rng.choice((1, 1, 2, 3)))) for _ in range(2))
    spans = [(start := rng.randrange(2), start + len(name)) for name in (head, tail)]
    score = rng.choice((None, 0.0, 0.25, 0.5, 0.55, 0.9, 1.0)) if scored else None
    return Triple(head, rng.choice(relations), tail, *spans, score=score)


def random_corpus(
    rng: random.Random, most_documents: int = 3, scored: bool = False
) -> tuple[list[Document], list[Document]]:
    """Gold and predicted documents with repeats, empty sides and the odd unknown relation."""
    gold, predictions = [], []
    for number in range(rng.randint(1, most_documents)):
        true = [random_triple(rng, "xy") for _ in range(rng.randrange(7))]
        noise = [random_triple(rng, "xyz", scored) for _ in range(rng.randrange(5))]
        kept = [
            Triple(*t.key, t.head_span, t.tail_span, score=rng.random() if scored else None)
            for t in rng.sample(true, k=rng.randint(0, len(true)))
        ]
        predicted = noise + kept
        rng.shuffle(predicted)
        gold.append(Document(f"d{number}", "a b", tuple(true)))
        predictions.append(Document(f"d{number}", "a b", tuple(predicted)))
    return gold, predictions
