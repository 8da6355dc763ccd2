"""The word-level tokenizer: a text is split at blanks, and what is too rare has a number.

Systems before pretrained models read and write whole words, and know those that the training texts
have often enough. A rare word would be UNK, and names made of rare words one name; so the words
that the vocabulary lacks are numbered in each text, by first occurrence, as in
`grel.text.wordpiece`: a system that copies can then write any of them, and the text says which word
a number stands for. Ids: PAD, UNK, SOS, EOS, `;`, `|`, the numbered words, the relations, one id
each, and then the words. No text yields a reserved id: a word `;` is a word.
Source: Nayak and Ng (2020); Luong et al. (2015) for the numbers.
"""

from __future__ import annotations

import collections
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from grel.names import canonical
from grel.records import Span
from grel.text import bio, linearize
from grel.text.wordpiece import VocabularyError

PAD, UNK, SOS, EOS, PART_END, TRIPLE_END = range(6)
_RESERVED = ("[PAD]", "[UNK]", "[SOS]", "[EOS]", ";", "|")
NUM_UNKNOWN = 8  # different unknown words that a text may have and that are told apart
WORD_LENGTH = 10  # characters of a word that a model sees

# Blanks are those of grel.records.
_WORD = re.compile(r"[^\s\u200b]+")


class Encoding(NamedTuple):
    """The words of one text.

    Attributes:
        ids: of the words.
        offsets: the `[start, end)` characters of each.
        chars: ids of their characters, [words, WORD_LENGTH]: cut, or filled up with 0.
        words: as the vocabulary spells them.
        unknown_ids: those of the vocabulary.
    """

    ids: list[int]
    offsets: list[Span]
    chars: np.ndarray
    words: list[str]
    unknown_ids: tuple[int, ...]

    def part(self, tokens: slice) -> Encoding:
        """Some of the words, one after the other; unknown ones are numbered as of a text alone.

        A model that has learned from short texts then meets what it knows, and as many words are
        told apart in each part as in a text.
        """
        known, words = self.ids[tokens], self.words[tokens]
        number_of: dict[str, int] = {}
        ids = [
            _numbered(word, number_of, self.unknown_ids) if i in self.unknown_ids else i
            for i, word in zip(known, words, strict=True)
        ]
        return Encoding(ids, self.offsets[tokens], self.chars[tokens], words, self.unknown_ids)


def _numbered(word: str, number_of: dict[str, int], unknown_ids: Sequence[int]) -> int:
    """The id of an unknown word, which is added to `number_of` where it is new there."""
    number = number_of.setdefault(word, len(number_of))
    return unknown_ids[min(number, len(unknown_ids) - 1)]


class Words:
    """A vocabulary of words and characters together with a relation schema.

    Args:
        words: that have an id of their own, each once.
        chars: the characters, each once; ids are 0 of padding, 1 of what is not among them, then
            these.
        relations: one id each.
        num_unknown: so many unknown words of a text are told apart; 0 makes all of them UNK.

    Attributes:
        vocabulary: token strings by id; several may be equal.
        num_chars: ids of characters.
        first_word_id: words have this id and those after it.
        pad_id, unk_id, sos_id, eos_id: special ids.
        part_end_id, triple_end_id: the separators `;` and `|` of a target.
        unknown_ids: of words that the vocabulary lacks, in the order in which a text has them; the
            last is UNK, which one with more of them has for all that are left.
        relation_ids: relation -> the one id that writes it.
        form: how a target puts them together.
        excluded_ids: never copied.

    Raises VocabularyError for what `train` would not have made.
    """

    pad_id, unk_id, sos_id, eos_id = PAD, UNK, SOS, EOS
    part_end_id, triple_end_id = PART_END, TRIPLE_END
    form = linearize.Form(PART_END, TRIPLE_END)
    excluded_ids = (PAD, SOS, EOS, PART_END, TRIPLE_END)

    def __init__(
        self,
        words: Sequence[str],
        chars: str,
        relations: Iterable[str],
        *,
        num_unknown: int = NUM_UNKNOWN,
    ):
        self.words, self.chars = tuple(words), chars
        self.relations = tuple(sorted(set(relations)))
        self.num_unknown = num_unknown
        self._check()
        first_relation = len(_RESERVED) + num_unknown
        self.first_word_id = first_relation + len(self.relations)
        self.vocabulary = (
            *_RESERVED,
            *[_RESERVED[UNK]] * num_unknown,
            *self.relations,
            *self.words,
        )
        self.num_chars = 2 + len(chars)
        self.unknown_ids = (*range(len(_RESERVED), first_relation), UNK)
        self.relation_ids: dict[str, tuple[int, ...]] = {
            relation: (i,) for i, relation in enumerate(self.relations, start=first_relation)
        }
        self._relation_of = {ids: relation for relation, ids in self.relation_ids.items()}
        self._id_of = {word: i for i, word in enumerate(self.words, start=self.first_word_id)}
        self._char_id_of = {char: i for i, char in enumerate(chars, start=2)}

    def _check(self) -> None:
        for word in self.words:
            if not isinstance(word, str) or not _WORD.fullmatch(word) or canonical(word) != word:
                raise VocabularyError(
                    f"{word!r} in the vocabulary is not one word as texts have it"
                )
        if len(set(self.words)) != len(self.words):
            raise VocabularyError("the vocabulary holds a word twice; all must differ")
        if not isinstance(self.chars, str) or len(set(self.chars)) != len(self.chars):
            raise VocabularyError("the vocabulary's characters must be a text, each of them once")
        for relation in self.relations:
            if not isinstance(relation, str) or not relation:
                raise VocabularyError(f"{relation!r} is not the name of a relation")
        if type(self.num_unknown) is not int or self.num_unknown < 0:
            raise VocabularyError(f"num_unknown is {self.num_unknown!r}; it must be 0 or more")

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        relations: Iterable[str],
        *,
        min_count: int = 2,
        num_unknown: int = NUM_UNKNOWN,
    ) -> Words:
        """Learns the vocabulary of training texts: words seen `min_count` times, all characters.

        Frequent words come first.
        """
        counts = collections.Counter(
            canonical(match.group()) for text in texts for match in _WORD.finditer(text)
        )
        frequent = (word for word, count in counts.items() if count >= min_count)
        words = sorted(frequent, key=lambda word: (-counts[word], word))
        chars = "".join(sorted(set().union(*counts)))
        return cls(words, chars, relations, num_unknown=num_unknown)

    def encode(self, text: str) -> Encoding:
        """The words of one text."""
        return self._encode(text, {})

    def encode_batch(self, texts: Iterable[str]) -> list[Encoding]:
        """The words of many texts; unknown ones are numbered in each text anew."""
        return [self.encode(text) for text in texts]

    def encode_name(self, name: str, text: str) -> Encoding:
        """The words of a name of this text, its unknown ones numbered as they are there.

        Those that the text lacks are numbered on.
        """
        number_of: dict[str, int] = {}
        self._encode(text, number_of)
        return self._encode(name, number_of)

    def _encode(self, text: str, number_of: dict[str, int]) -> Encoding:
        """The words, with the unknown ones by number; new ones are added to `number_of`."""
        offsets = [match.span() for match in _WORD.finditer(text)]
        words = [canonical(text[start:end]) for start, end in offsets]
        ids = []
        for word in words:
            known = self._id_of.get(word)
            if known is None:
                known = _numbered(word, number_of, self.unknown_ids)
            ids.append(known)
        chars = np.zeros((len(words), WORD_LENGTH), np.int32)
        for row, word in enumerate(words):
            seen = [self._char_id_of.get(char, UNK) for char in word[:WORD_LENGTH]]
            chars[row, : len(seen)] = seen
        return Encoding(ids, offsets, chars, words, self.unknown_ids)

    def holds_unknown(self, ids: Iterable[int]) -> bool:
        """Whether a word that the vocabulary lacks is among them."""
        return any(i in self.unknown_ids for i in ids)

    def decode(
        self, ids: Sequence[int], source: Encoding | None = None, attended: Sequence[int] = ()
    ) -> str:
        """Words joined by blanks; what the vocabulary lacks is looked up in the source.

        A numbered word is the one with that number there, and UNK the word of the source at that
        place of `attended` (METHOD section 6, rule "words"), which are as many as there are ids, -1
        for none.

        Example: with the vocabulary `in`, the text `Ada in Ulm` and two numbers, the ids of the
        second number and of `in` give `Ulm in`; UNK with 0 attended gives `Ada`.
        """
        spelled = [] if source is None else source.words
        word_of = {} if source is None else dict(zip(source.ids, source.words, strict=True))
        word_of.pop(UNK, None)  # of which it may be any
        words = []
        for n, i in enumerate(ids):
            place = attended[n] if n < len(attended) else -1
            is_attended = i == UNK and 0 <= place < len(spelled)
            words.append(spelled[place] if is_attended else word_of.get(i, self.vocabulary[i]))
        return " ".join(words)

    def relation(self, ids: Sequence[int]) -> str | None:
        """The relation that these ids write, or None where they write none of the schema."""
        return self._relation_of.get(tuple(ids))

    def to_json(self) -> str:
        """All that `from_json` needs to build the same tokenizer again."""
        return json.dumps(
            {
                "words": self.words,
                "chars": self.chars,
                "relations": self.relations,
                "num_unknown": self.num_unknown,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Words:
        return cls(**json.loads(text))

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, some text or relation could be encoded differently."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def word_span(
    name: str, text: str, offsets: Sequence[Span], span: Span | None = None
) -> Span | None:
    """Where a name stands among the words of a text, as `[start, end)` words.

    `offsets` are the characters of the words. If the annotated characters `span` begin and end
    where words do, they decide; else the name's first occurrence as a run of words, if any.

    Example: `York` in `New York , York` is at (1, 2), and with the characters (11, 15) at (3, 4).
    """
    if span is not None:
        starts = {start: i for i, (start, _) in enumerate(offsets)}
        ends = {end: i for i, (_, end) in enumerate(offsets, start=1)}
        if span[0] in starts and starts[span[0]] < ends.get(span[1], 0):
            return starts[span[0]], ends[span[1]]
    words = [canonical(text[start:end]) for start, end in offsets]
    wanted = [canonical(match.group()) for match in _WORD.finditer(name)]
    first = next(iter(bio.occurrences(words, wanted)), None)
    return None if first is None else (first, first + len(wanted))
