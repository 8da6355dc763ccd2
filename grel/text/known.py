"""Known triples, and where a text has the names of both sides.

The triples of a training split are knowledge: a sentence that has both names of one most likely
says it. The look-up writes what it finds. A model with a memory is told, and what it still does not
write can be written beside.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from grel.names import canonical, even_blanks, is_whole
from grel.records import Document, Span, Triple

# (head, relation, tail) as `Triple.key` has them, with one space for every run of blanks in a name.
Key = tuple[str, str, str]

# What the words of a text are: of corpora that come tokenized what white space parts, of any other
# runs of letters and each other sign.
BETWEEN_BLANKS = re.compile(r"\S+")
LETTERS_OR_SIGN = re.compile(r"\w+|[^\w\s]")


# In how many training documents a triple is right, and could be; see `fit`.
Known = dict[Key, tuple[int, int]]


def _even(key: tuple[str, str, str]) -> Key:
    """The key of a triple as known ones have it: where a text breaks its lines says nothing."""
    head, relation, tail = key
    return even_blanks(head), relation, even_blanks(tail)


def _keys(triples: Iterable[Triple]) -> set[Key]:
    return {_even(triple.key) for triple in triples}


def count_triples(documents: Iterable[Document]) -> Counter[Key]:
    """All triples of documents, and how many documents have each."""
    return Counter(key for document in documents for key in _keys(document.triples))


def fit(documents: Sequence[Document], word: re.Pattern[str] = BETWEEN_BLANKS) -> Known:
    """All triples of the documents, sorted, and what is to be expected of them.

    For each one, in how many documents it is right, of how many that have it or are written it: the
    share is the probability that it is right where its names stand. A document that has a triple
    counts for it also where its names are spelled otherwise or stand inside of longer ones.

    Args:
        documents: of a training split.
        word: what the words of a text are; see `Index`.
    """
    right = count_triples(documents)
    index = Index(dict.fromkeys(right, 1.0), word)
    times = Counter(right)
    for document in documents:
        times.update(_keys(index.triples(document.text)) - _keys(document.triples))
    return {key: (right[key], times[key]) for key in sorted(right)}


class Index:
    """Known triples, to be found in texts at a cost that does not grow with their number.

    Args:
        scores: of each triple.
        word: what the words of a text are; a name stands where its words do, whatever blanks are
            between them.

    Attributes:
        relations: of all known triples, sorted.
    """

    def __init__(self, scores: Mapping[Key, float], word: re.Pattern[str] = BETWEEN_BLANKS):
        self._word = word
        self.relations = tuple(sorted({relation for _, relation, _ in scores}))
        self._tails: dict[str, dict[str, list[tuple[str, float]]]] = defaultdict(dict)
        scores = {_even(key): score for key, score in scores.items()}
        self._names = {name for head, _, tail in scores for name in (head, tail)}
        for (head, relation, tail), score in scores.items():
            self._tails[head].setdefault(tail, []).append((relation, score))
        # By first word, how many words the names have that begin with it, the most first.
        lengths = defaultdict(set)
        for name in self._names:
            first, *rest = word.findall(name)
            lengths[first].add(1 + len(rest))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def places(self, text: str) -> dict[str, list[Span]]:
        """Where known names stand that are not inside of longer ones, from left to right.

        Names are as `Key` has them: composed and decomposed letters are the same, and so are
        blanks of all kinds.

        Example: of `New York` and `York`, in `York and New York`, both stand there, in `the New
        York Times` only the first, and in `New Yorkers` none.
        """
        words = list(_words(self._word, text))
        places: dict[str, list[Span]] = {}
        furthest = 0
        for number, (start, first_end) in enumerate(words):
            for length in self._lengths.get(canonical(text[start:first_end]), ()):
                if number + length > len(words):
                    continue
                end = words[number + length - 1][1]
                name = even_blanks(canonical(text[start:end]))
                # In some scripts a sign that is matched by itself belongs to the word before it.
                if name in self._names and is_whole(text, (start, end)):
                    # One that began before and reaches as far has this one inside of it, and those
                    # that begin here and are shorter lie inside of this one.
                    if end > furthest:
                        places.setdefault(name, []).append((start, end))
                        furthest = end
                    break
        return places

    def triples(self, text: str) -> list[Triple]:
        """The known triples between the names that stand in the text, by place of head and tail.

        The names are spelled as the text spells them there.
        """
        return [
            dataclasses.replace(t, head=text[slice(*t.head_span)], tail=text[slice(*t.tail_span)])
            for t in self.between(self.places(text))
            if t.head_span is not None and t.tail_span is not None
        ]

    def between(self, places: Mapping[str, Sequence[Span]]) -> list[Triple]:
        """The same of names of which it is known where they stand, as `places` tells it."""
        triples: list[Triple] = []
        for head, (place, *others) in places.items():
            tails = self._tails.get(head, {})
            for tail in places if len(places) < len(tails) else tails:
                if tail not in places or tail not in tails or (head == tail and not others):
                    continue
                tail_place = places[tail][0] if head != tail else others[0]
                triples += (
                    Triple(head, relation, tail, place, tail_place, score=score)
                    for relation, score in tails[tail]
                )
        triples.sort(key=lambda t: (t.head_span, t.tail_span, t.relation))
        return triples


def _words(word: re.Pattern[str], text: str) -> Iterator[Span]:
    """Where the words stand that the text has once its letters are composed."""
    if unicodedata.is_normalized("NFC", text):
        yield from (match.span() for match in word.finditer(text))
        return
    composed: list[str] = []
    starts: list[int] = []  # of the composed characters
    begin = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - begin < _MOST_JOINED and _joins(text[begin:end], text[end]):
            continue
        piece = text[begin:end]
        before = len(starts)
        for n in range(len(piece)):
            length = len(canonical(piece[: n + 1]))
            starts += [begin + n] * (before + length - len(starts))
        composed.append(canonical(piece))
        del starts[before + len(composed[-1]) :]
        begin = end
    starts.append(len(text))
    for match in word.finditer("".join(composed)):
        yield starts[match.start()], starts[match.end()]


# Of the characters that are one letter with its marks; more stand in no language, and composing
# them would take time that grows with their square.
_MOST_JOINED = 32


def _joins(letter: str, following: str) -> bool:
    """Whether a character belongs to the letter before it, or composes with it."""
    if following.isascii():
        return False
    if unicodedata.combining(following):
        return True
    return canonical(letter + following) != canonical(letter) + canonical(following)


class Memory:
    """The triples of training documents, as marks on the tokens of a text and as triples of it.

    A mark says of a token that the name it is part of is the head, or the tail, of a known triple
    of a relation whose other name stands in the text as well.

    Args:
        counts: of each triple, how many documents have it.
        relations: the schema, whose order is that of the marks.
        times: of each triple, how many documents have it or would be written it; see `fit`. A
            memory of an earlier version does not know.

    Attributes:
        num_marks: two for each relation, its heads' and its tails'.
    """

    def __init__(
        self,
        counts: Mapping[Key, int],
        relations: Sequence[str],
        times: Mapping[Key, int] | None = None,
    ):
        # Earlier versions had names with blanks as documents have them.
        self.counts = {_even(key): n for key, n in counts.items()}
        self.times = None if times is None else {_even(key): n for key, n in times.items()}
        self.num_marks = 2 * len(relations)
        self._number = {canonical(relation): n for n, relation in enumerate(relations)}
        self._spelled = {canonical(relation): relation for relation in relations}
        shares = {key: n / (self.times or self.counts)[key] for key, n in self.counts.items()}
        self._index = Index(shares, LETTERS_OR_SIGN)

    @classmethod
    def of(cls, documents: Sequence[Document], relations: Sequence[str]) -> Memory:
        """That of the triples of these documents."""
        known = fit(documents, LETTERS_OR_SIGN)
        counts = {key: right for key, (right, _) in known.items()}
        return cls(counts, relations, {key: times for key, (_, times) in known.items()})

    @classmethod
    def from_json(cls, text: str, relations: Sequence[str]) -> Memory:
        """What `to_json` wrote; raises LookupError, TypeError or ValueError where it did not."""
        numbers = {
            (head, relation, tail): tuple(map(int, counted))
            for head, relation, tail, *counted in json.loads(text)
        }
        if unknown := {relation for _, relation, _ in numbers} - set(map(canonical, relations)):
            raise ValueError(f"relations that the schema lacks: {sorted(unknown)}")
        if {len(counted) for counted in numbers.values()} not in ({1}, {2}, set()):
            raise ValueError("triples must have one number each, or two each")
        if any(not 0 < counted[0] <= counted[-1] for counted in numbers.values()):
            raise ValueError("a triple is right more often than it stands, or never")
        counts = {key: counted[0] for key, counted in numbers.items()}
        times = {key: counted[1] for key, counted in numbers.items() if len(counted) == 2}
        return cls(counts, relations, times if len(times) == len(counts) else None)

    def to_json(self) -> str:
        """The triples, how many documents have each, and of how many that could."""
        rows = [
            [*key, n] if self.times is None else [*key, n, self.times[key]]
            for key, n in self.counts.items()
        ]
        return json.dumps(rows, ensure_ascii=False)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes whenever the marks of a text could."""
        rows = [[*key, n] for key, n in self.counts.items()]
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()

    def triples(self, text: str) -> list[Triple]:
        """The known triples whose names stand in a text; their score is the share of `fit`.

        Raises ValueError where the shares are not known.
        """
        if self.times is None:
            raise ValueError("this memory is of an earlier version, which kept no shares")
        triples = self._index.triples(text)
        return [dataclasses.replace(t, relation=self._spelled[t.relation]) for t in triples]

    def num_known(self, documents: Iterable[Document], taught: bool = False) -> int:
        """How many triples of documents it has, each once a document.

        Args:
            documents: of any split.
            taught: whether it was made of them; then only those that another one has as well.
        """
        found = count_triples(documents)
        return sum(n for key, n in found.items() if self.counts.get(key, 0) > taught)

    @property
    def width(self) -> int:
        """Bytes that the marks of a token take."""
        return -(-self.num_marks // 8)

    def marks(self, text: str, offsets: Sequence[Span], own: Collection[Key] = ()) -> np.ndarray:
        """The marks of each token of a text as bits, [tokens, width].

        Bit 2r, from the highest of the first byte on, is that of heads of relation r, bit 2r + 1
        that of its tails.

        Args:
            text: the text.
            offsets: characters of each token.
            own: triples that the text itself taught. Those that no other document has are not
                known here: a model that is trained with its own answers learns to trust what it
                will not be told of other texts.
        """
        marked = np.zeros((len(offsets), self.num_marks), bool)
        places = self._index.places(text)
        starts, ends = np.array(offsets, int).reshape(-1, 2).T
        own = set(map(_even, own))
        for triple in self._index.between(places):
            if triple.key in own and self.counts[triple.key] == 1:
                continue
            mark = 2 * self._number[triple.relation]
            for name, bit in ((triple.head, mark), (triple.tail, mark + 1)):
                for start, end in places[name]:
                    first = np.searchsorted(ends, start, side="right")
                    marked[first : np.searchsorted(starts, end), bit] = True
        return np.packbits(marked, axis=1)
