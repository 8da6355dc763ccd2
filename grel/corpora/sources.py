"""What a configuration names: the documents of a split, and a tokenizer for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import ml_collections

from grel.corpora import builders
from grel.records import Document
from grel.text import linearize
from grel.text.wordpiece import (
    NUM_SEPARATORS,
    NUM_UNKNOWN,
    Wordpiece,
    read_vocabulary,
    train_vocabulary,
)


def load_split(
    data: ml_collections.ConfigDict, split: str, *, limited: bool = False
) -> list[Document]:
    """Documents of a split under `config.data`, without duplicate triples.

    All of them, or where `limited`, for training, as many as `num_train` and `num_validation` say.

    Raises builders.CorpusError or records.RecordError where the files are missing or faulty.
    """
    documents = builders.load(
        data.name,
        data.variant,
        split,
        manual_dir=data.manual_dir or None,
        data_dir=data.data_dir or None,
    )
    limits = {"train": data.num_train, "validation": data.num_validation}
    limit = limits.get(split, 0) if limited else 0
    return [document.without_duplicates() for document in documents[: limit or None]]


def make_wordpiece(
    tokenizer: ml_collections.ConfigDict,
    documents: Sequence[Document],
    relations: Iterable[str],
    triple_form: str = "htr",
) -> Wordpiece:
    """The vocabulary that `config.tokenizer` names, or one learned from the documents.

    Raises wordpiece.VocabularyError where it cannot serve.
    """
    relations = sorted(set(relations))
    if tokenizer.vocab:
        vocabulary = read_vocabulary(Path(tokenizer.vocab).expanduser())
    else:
        texts: Iterable[str] = (document.text for document in documents)
        num_reserved = NUM_SEPARATORS + NUM_UNKNOWN - 1
        if tokenizer.relation_as == "token":
            num_reserved += len(relations)
        else:
            # Names are written as often as there are triples, so they are learned that often.
            words = linearize.relation_words(relations)
            names = (words[triple.relation] for d in documents for triple in d.triples)
            texts = itertools.chain(texts, names)
        vocabulary = train_vocabulary(
            texts,
            tokenizer.vocab_size,
            lowercase=tokenizer.lowercase,
            num_reserved=num_reserved,
        )
    return Wordpiece(
        vocabulary,
        relations,
        lowercase=tokenizer.lowercase,
        relation_as=tokenizer.relation_as,
        triple_form=triple_form,
    )
