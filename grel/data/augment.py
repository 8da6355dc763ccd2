"""More training examples out of those that there are: sentences joined, names swapped.

Joining teaches long outputs and that the end comes late; swapping a name for another one of the
same relation and role teaches to read a name off the sentence and not off the training triples.
An epoch is made anew from the seed and its number alone, so that a run that was stopped goes on
with the examples that it would have had, and every process of a pod makes the same ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from grel.data.features import Example, Features, Options, gather
from grel.text import bio, linearize
from grel.text.wordpiece import Wordpiece

Ids = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Rates:
    """How much is changed.

    Attributes:
        join: share of the examples that others are joined to; join_max: most that are.
        swap: share of the examples, joined ones included, in which a name is swapped.
    """

    join: float = 0.0
    join_max: int = 4
    swap: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Facts:
    """An example as it is changed: the source, its marks, and (head, tail, relation) as ids."""

    source: Ids
    marks: np.ndarray
    triples: tuple[tuple[Ids, Ids, Ids], ...]


class Augmentation:
    """The examples of each epoch.

    Args:
        features: the examples as they are.
        wordpiece, options: what they were made with.
        rates: how much is changed.
        seed: of what is random.
    """

    def __init__(
        self,
        features: Features,
        wordpiece: Wordpiece,
        options: Options,
        rates: Rates,
        seed: int,
    ):
        self._features, self._wordpiece, self._options = features, wordpiece, options
        self._rates, self._seed = rates, seed
        self._facts = [
            self._parse(source, features.marks[start : start + len(source)], target)
            for start, (source, target) in zip(
                features.start_E[:-1], features.sequences(), strict=True
            )
        ]
        # Names by relation and role (0 head, 1 tail); a dict keeps their order, a set would not.
        pools: dict[tuple[Ids, int], dict[Ids, None]] = {}
        for facts in self._facts:
            for *names, relation in facts.triples:
                for role, name in enumerate(names):
                    pools.setdefault((relation, role), {})[name] = None
        self._names = {key: list(pool) for key, pool in pools.items()}
        self._starts_word_V = np.array([not t.startswith("##") for t in wordpiece.vocabulary])

    def __call__(self, epoch: int) -> Features:
        """The examples of an epoch: as many as there are, each changed or as it is."""
        return gather(self._epoch(epoch), self._features)

    def _epoch(self, epoch: int) -> Iterator[Example | int]:
        """For each example a new one, or its number where it stays."""
        rng = np.random.default_rng((self._seed, epoch, _STREAM))
        for index, original in enumerate(self._facts):
            facts = original
            if rng.random() < self._rates.join:
                count = rng.integers(1, self._rates.join_max + 1)
                others = rng.integers(0, len(self._facts), count)
                facts = self._joined([original, *(self._facts[i] for i in others)])
            if rng.random() < self._rates.swap:
                facts = self._swapped(facts, rng)
            example = None if facts is original else self._write(facts)
            yield index if example is None else example

    def _parse(self, source: Sequence[int], marks: np.ndarray, target: Sequence[int]) -> _Facts:
        parsed = linearize.parse(target, self._wordpiece.form)
        triples = (
            (tuple(target[s.head]), tuple(target[s.tail]), tuple(target[s.relation]))
            for s in parsed.triples
        )
        return _Facts(tuple(source), marks, tuple(triples))

    def _write(self, facts: _Facts) -> Example | None:
        """None where it has become too long."""
        target, slots = linearize.linearize(facts.triples, self._wordpiece.form)
        if len(facts.source) + len(target) + 3 > self._options.max_length:
            return None
        entities = [place for slot in slots for place in (slot.head, slot.tail)]
        labels = bio.LABELLINGS[self._options.labelling](facts.source, target, entities)
        return Example(facts.source, target, *labels, facts.marks)

    def _joined(self, parts: Sequence[_Facts]) -> _Facts:
        """The texts one after the other, and all their triples in the order that targets have.

        Unknown words are numbered in each text, so that at most the first may have some. A name may
        have one that its own text spells otherwise.
        """
        parts = [parts[0], *(part for part in parts[1:] if not self._holds_unknown(part))]
        triples = dict.fromkeys(triple for part in parts for triple in part.triples)
        if self._options.order == "relation":
            # Sorting is stable, and within a relation the parts come in the order of the text.
            names = self._wordpiece.relation
            triples = dict.fromkeys(sorted(triples, key=lambda triple: names(triple[2]) or ""))
        source = tuple(i for part in parts for i in part.source)
        marks = np.concatenate([part.marks for part in parts])
        return _Facts(source, marks, tuple(triples))

    def _holds_unknown(self, facts: _Facts) -> bool:
        names = (name for head, tail, _ in facts.triples for name in (head, tail))
        return any(map(self._wordpiece.holds_unknown, (facts.source, *names)))

    def _swapped(self, facts: _Facts, rng: np.random.Generator) -> _Facts:
        """One name replaced wherever it stands; as it was where that would touch anything else."""
        if not facts.triples:
            return facts
        *names, relation = facts.triples[rng.integers(len(facts.triples))]
        role = int(rng.integers(2))
        old, pool = names[role], self._names[relation, role]
        new = pool[rng.integers(len(pool))]
        places = self._words(facts.source, old)
        others = {name for *both, _ in facts.triples for name in both} - {old}
        if not places or new == old or bio.occurrences(facts.source, new):
            return facts
        if self._wordpiece.holds_unknown((*old, *new)):
            return facts
        taken = {j for name in others for i in bio.occurrences(facts.source, name)
                 for j in range(i, i + len(name))}  # fmt: skip
        if any(j in taken for i in places for j in range(i, i + len(old))):
            return facts
        source: list[int] = []
        marks: list[np.ndarray] = []
        behind = 0
        for place in places:
            if place >= behind:
                source += (*facts.source[behind:place], *new)
                # What was known of the old name is known of the new one.
                marks += (*facts.marks[behind:place], *[facts.marks[place]] * len(new))
                behind = place + len(old)
        source += facts.source[behind:]
        marks += [*facts.marks[behind:]]
        triples = (
            (new if head == old else head, new if tail == old else tail, relation)
            for head, tail, relation in facts.triples
        )
        return _Facts(tuple(source), np.stack(marks), tuple(triples))

    def _words(self, source: Ids, name: Ids) -> list[int]:
        """Where the name stands as whole words; nowhere if it stands inside a word as well."""
        places = bio.occurrences(source, name)
        for place in places:
            end = place + len(name)
            inside = not self._starts_word_V[source[place]]
            if inside or (end < len(source) and not self._starts_word_V[source[end]]):
                return []
        return places


# Apart from the numbers that batches are shuffled by.
_STREAM = 1
