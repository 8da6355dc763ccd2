"""The tokenizer: text to wordpiece ids and character offsets, and the reserved ids of a target.

A BERT vocabulary serves as it is: separators, and relations where they are single tokens, live in
its `[unusedN]` slots, in ascending order. Those embeddings exist in every checkpoint, no text
spells them, and no table has to grow. Texts are encoded with the special tokens switched off, so
that a sentence that spells `[SEP]` or `;` is only that: a sentence.

Words that the vocabulary lacks would all be one token, [UNK], and names made of them one name. So
they are numbered in each text: the first is [UNK], and each other one a token of its own, for which
the next free slots serve. Which is which, the text says. Source: Luong et al. (2015), "Addressing
the Rare Word Problem in Neural Machine Translation", the copyable model.
"""

from __future__ import annotations

import collections
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from grel.errors import UserError
from grel.names import canonical, even_blanks
from grel.records import Span
from grel.text import linearize

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Names of the same in MPNet's vocabulary, which holds BERT's as well and uses them for nothing.
MPNET_SPECIAL = {"<pad>": "[PAD]", "<s>": "[CLS]", "</s>": "[SEP]", "<mask>": "[MASK]"}
NUM_SEPARATORS = 2
NUM_UNKNOWN = 8  # different unknown words that a text may have, [UNK] included
RELATION_FORMS = ("words", "token")


class VocabularyError(UserError):
    """A vocabulary that cannot serve: says which file or entry, and what to do."""


_NO_MARKS = np.zeros((0, 0), np.uint8)


class Encoding(NamedTuple):
    """Wordpieces of one text.

    Attributes:
        ids: of the wordpieces.
        offsets: for each, its `[start, end)` characters.
        marks: for each, what a memory knows of it (`text.known`); empty where there is none.
    """

    ids: list[int]
    offsets: list[Span]
    marks: np.ndarray = _NO_MARKS

    def part(self, tokens: slice) -> Encoding:
        """Some of the wordpieces, one after the other."""
        return Encoding(self.ids[tokens], self.offsets[tokens], self.marks[tokens])


class Wordpiece:
    """A wordpiece vocabulary together with a relation schema.

    Attributes:
        vocabulary: token strings by id.
        pad_id, unk_id, cls_id, sep_id, mask_id: BERT's special ids.
        part_end_id, triple_end_id: the separators `;` and `|` of a target.
        unknown_ids: of words that the vocabulary lacks, in the order in which a text has them; one
            with more of them has the last id for all that are left.
        relation_ids: relation -> the ids that write it, no two alike.
        form: how a target puts them together.
        excluded_ids: never copied (METHOD section 6): [CLS], [SEP], [MASK], [PAD], separators.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        relations: Iterable[str],
        *,
        lowercase: bool = False,
        relation_as: str = "words",
        triple_form: str = "htr",
        num_unknown: int = NUM_UNKNOWN,
    ):
        self.vocabulary = tuple(vocabulary)
        self.relations = tuple(sorted(set(relations)))
        self.lowercase = lowercase
        self.relation_as = relation_as
        self.triple_form = triple_form
        self.num_unknown = num_unknown
        if fault := _fault(self.vocabulary):
            raise VocabularyError(f"the vocabulary {fault}")
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            ids[token] for token in SPECIAL
        )
        # As transformers' BertTokenizer, which takes half a second to import, but for its special
        # tokens: without them `[SEP]` in a text is text.
        self._backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
        self._backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        self._backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        num_tokens = len(self.relations) if relation_as == "token" else 0
        self.part_end_id, self.triple_end_id, *free = self._reserved(num_tokens)
        self.unknown_ids = (self.unk_id, *free[num_tokens:][: num_unknown - 1])
        self.relation_ids = self._write_relations(free[:num_tokens])
        self.form = self._make_form()
        self.excluded_ids = (
            *(self.pad_id, self.cls_id, self.sep_id, self.mask_id),
            *(self.part_end_id, self.triple_end_id),
        )
        self._relation_of = {written: relation for relation, written in self.relation_ids.items()}

    def _reserved(self, num_tokens: int) -> list[int]:
        """All slots, at least as many as the separators and `num_tokens` relation tokens take."""
        tokens = enumerate(self.vocabulary)
        slots = [i for i, token in tokens if re.fullmatch(r"\[unused\d+\]", token)]
        needed = NUM_SEPARATORS + num_tokens
        if len(slots) < needed:
            raise VocabularyError(
                f"the vocabulary has {len(slots)} [unusedN] slots and {needed} are needed for the "
                "separators and relation tokens; add lines, or set relation_as='words'"
            )
        return slots

    def _write_relations(self, free: Sequence[int]) -> dict[str, tuple[int, ...]]:
        if self.relation_as == "token":
            return {relation: (i,) for relation, i in zip(self.relations, free, strict=True)}
        if self.relation_as != "words":
            raise ValueError(
                f"relation_as is {self.relation_as!r}; it can be {' or '.join(RELATION_FORMS)}"
            )
        words = linearize.relation_words(self.relations)
        written = {relation: tuple(self.encode(name).ids) for relation, name in words.items()}
        owner: dict[tuple[int, ...], str] = {}
        for relation, name_ids in written.items():
            if not name_ids:
                raise VocabularyError(
                    f"relation {relation!r} has no wordpieces; rename it, or set "
                    "config.tokenizer.relation_as='token'"
                )
            if owner.setdefault(name_ids, relation) != relation:
                raise VocabularyError(
                    f"relations {owner[name_ids]!r} and {relation!r} have the same wordpieces in "
                    f"this vocabulary: {_advice(owner[name_ids], relation)}"
                )
        return written

    def _make_form(self) -> linearize.Form[int]:
        if self.triple_form not in linearize.TRIPLE_FORMS:
            raise ValueError(
                f"triple_form is {self.triple_form!r}; it can be "
                f"{' or '.join(linearize.TRIPLE_FORMS)}"
            )
        relation_first = self.triple_form == "rht"
        opens = relation_first and self.relation_as == "token"
        openers = {i for ids in self.relation_ids.values() for i in ids} if opens else ()
        return linearize.Form(
            self.part_end_id, self.triple_end_id, relation_first, frozenset(openers)
        )

    @property
    def reserved_ids(self) -> tuple[int, ...]:
        """Ids that no text spells: separators, relations that are single tokens, unknown words."""
        tokens = self.relation_ids.values() if self.relation_as == "token" else ()
        relations = (i for ids in tokens for i in ids)
        return self.part_end_id, self.triple_end_id, *relations, *self.unknown_ids[1:]

    def encode(self, text: str) -> Encoding:
        """Wordpieces of one text, without [CLS] and [SEP]."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """Wordpieces of many texts; runs on all cores."""
        encoded = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [
            self._numbered(text, Encoding(e.ids, e.offsets), {})
            for text, e in zip(texts, encoded, strict=True)
        ]

    def encode_name(self, name: str, text: str) -> Encoding:
        """Wordpieces of a name of this text, its unknown words numbered as they are there.

        Those that the text lacks are numbered on.
        """
        number_of: dict[str, int] = {}
        for part in (text, name):
            encoded = self._backend.encode(part, add_special_tokens=False)
            numbered = self._numbered(part, Encoding(encoded.ids, encoded.offsets), number_of)
        return numbered

    def _numbered(self, text: str, encoding: Encoding, number_of: dict[str, int]) -> Encoding:
        """The encoding with its [UNK] by number; new words are added to `number_of`."""
        if self.unk_id not in encoding.ids:
            return encoding
        ids = list(encoding.ids)
        for place, span in enumerate(encoding.offsets):
            if ids[place] == self.unk_id:
                word = canonical(self._backend.normalizer.normalize_str(text[slice(*span)]))
                number = number_of.setdefault(word, len(number_of))
                ids[place] = self.unknown_ids[min(number, len(self.unknown_ids) - 1)]
        return Encoding(ids, encoding.offsets)

    def holds_unknown(self, ids: Iterable[int]) -> bool:
        """Whether a word that the vocabulary lacks is among them."""
        return any(i in self.unknown_ids for i in ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Wordpieces as text; where the text was copied, offsets into the source say it better."""
        known = (self.unk_id if i in self.unknown_ids else i for i in ids)
        text = " ".join(self.vocabulary[i] for i in known)
        return text.replace(" ##", "").removeprefix("##")

    def relation(self, ids: Sequence[int]) -> str | None:
        """The relation that these ids write, or None where they write none of the schema."""
        return self._relation_of.get(tuple(ids))

    def save(self, folder: Path) -> None:
        """Writes vocab.txt, and tokenizer.json as Transformers and tokenizers read it.

        What grel adds to it is in neither: no text spells a special token, and words that the
        vocabulary lacks are numbered.
        """
        from transformers import BertTokenizer

        vocabulary = "".join(f"{token}\n" for token in self.vocabulary)
        (folder / "vocab.txt").write_bytes(vocabulary.encode())
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        BertTokenizer(vocab=ids, do_lower_case=self.lowercase).save_pretrained(folder)

    def to_json(self) -> str:
        """All that `from_json` needs to build the same tokenizer again."""
        return json.dumps(
            {
                "vocabulary": self.vocabulary,
                "relations": self.relations,
                "lowercase": self.lowercase,
                "relation_as": self.relation_as,
                "triple_form": self.triple_form,
                "num_unknown": self.num_unknown,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Wordpiece:
        # A tokenizer stored without a number is one of a model that knows [UNK] alone.
        return cls(**{"num_unknown": 1, **json.loads(text)})

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, some text or relation could be encoded differently."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _advice(relation: str, other: str) -> str:
    if even_blanks(relation).casefold() == even_blanks(other).casefold():
        return "they differ only in blanks or case; write them one way in the data"
    return "set config.tokenizer.relation_as='token'"


def read_vocabulary(path: str | Path) -> list[str]:
    """Reads a BERT `vocab.txt`: one token a line, the line number (from 0) is the id.

    A byte order mark is dropped. MPNet's special tokens get BERT's names, and where it has tokens
    of these names too, they get MPNet's.

    Raises VocabularyError where the file is missing, not UTF-8, has an empty line inside or a token
    twice, or lacks one of BERT's own.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot read the vocabulary: {error}") from error
    tokens = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if "" in tokens:
        raise VocabularyError(f"{path}:{tokens.index('') + 1}: an empty line in the vocabulary")
    if set(tokens).issuperset(MPNET_SPECIAL):
        exchanged = MPNET_SPECIAL | {ours: theirs for theirs, ours in MPNET_SPECIAL.items()}
        tokens = [exchanged.get(token, token) for token in tokens]
    if fault := _fault(tokens):
        raise VocabularyError(f"{path}: the vocabulary {fault}")
    return tokens


def _fault(vocabulary: Sequence[str]) -> str | None:
    """Why it cannot serve, None where it can."""
    first: dict[str, int] = {}
    for line, token in enumerate(vocabulary, start=1):
        if first.setdefault(token, line) != line:
            return f"holds token {token!r} twice, in lines {first[token]} and {line}; remove one"
    if missing := [token for token in SPECIAL if token not in first]:
        return f"lacks {', '.join(missing)}: not a BERT vocabulary"
    return None


def train_vocabulary(
    texts: Iterable[str], size: int, *, lowercase: bool = False, num_reserved: int = NUM_SEPARATORS
) -> list[str]:
    """Learns a wordpiece vocabulary of at most `size` tokens from texts, for runs from scratch.

    `num_reserved` [unusedN] slots hold what a `Wordpiece` reserves. The same texts give the
    same vocabulary: the library's own wordpiece learner numbers `##x` characters in hash order, so
    characters inside a word are learned as characters of a private Unicode plane instead, whose
    order is fixed. The few characters beyond the basic plane become [UNK].

    Raises VocabularyError where `size` does not hold all characters of the texts.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        words = splitter.pre_tokenize_str(normalizer.normalize_str(text))
        counts.update(word for word, _ in words if max(word) <= "\uffff")
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [*SPECIAL, *(f"[unused{i}]" for i in range(num_reserved))]
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=special, show_progress=False
    )
    inside = [
        word[0] + "".join(chr(ord(c) + _INSIDE_WORD) for c in word[1:])
        for word in counts.elements()
    ]
    learner.train_from_iterator(inside, trainer)
    ids = learner.get_vocab()
    if len(ids) > size:
        raise VocabularyError(
            f"{size} tokens do not hold the {len(ids) - len(special)} characters of the texts and "
            f"{len(special)} special tokens; set config.tokenizer.vocab_size to {len(ids)} or more"
        )
    return [_wordpiece(token) for token in sorted(ids, key=ids.__getitem__)]


_INSIDE_WORD = 0xF0000


def _wordpiece(token: str) -> str:
    plain = "".join(chr(ord(c) % _INSIDE_WORD) for c in token)
    return plain if plain[0] == token[0] else f"##{plain}"
