"""The tokenizer that a configuration names: of a vocabulary that is read, or of one learned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import ml_collections

from grel.errors import expand_home
from grel.records import Document
from grel.text import linearize
from grel.text.wordpiece import (
    NUM_SEPARATORS,
    NUM_UNKNOWN,
    Wordpiece,
    read_vocabulary,
    train_vocabulary,
)


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
        vocabulary = read_vocabulary(expand_home(tokenizer.vocab))
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
