"""Texts in, documents with triples out: what every extractor offers, however it finds the triples.

Whoever uses an extractor needs nothing more than this, so that a system of another kind is used by
the same commands and the same lines of Python.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

from grel.extraction.reading import Extraction
from grel.families.writer import Tally
from grel.records import Document


class TextExtractor(abc.ABC):
    """Extracts triples from texts; what differs between kinds of extractors is abstract."""

    @property
    @abc.abstractmethod
    def relations(self) -> Sequence[str]:
        """All relations that it knows."""

    @abc.abstractmethod
    def extractions(self, documents: Sequence[Document]) -> list[Extraction]:
        """The same documents with extracted triples one by one, each with what went wrong."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """JSON that is the same for two extractors only if they extract the same."""

    @abc.abstractmethod
    def balanced(
        self, end_bias: float, min_score: float, known_share: float = 0.0
    ) -> TextExtractor:
        """The same extractor with another balance of precision and recall.

        Args:
            end_bias: is added to the logit of the end token; below 0 more is written.
            min_score: triples with a lower `score` are dropped and counted.
            known_share: known triples are written beside that were right in at least this share of
                training documents; 0 writes none.

        Raises ConfigError where it has no such balance.
        """

    def known(self, documents: Sequence[Document]) -> list[Document]:
        """The same documents with all triples that `known_share` could add, if there are any."""
        return [dataclasses.replace(document, triples=()) for document in documents]

    def __call__(self, texts: Sequence[str]) -> list[Document]:
        """A document for each text, with ids "0", "1", ...; one of white space has no triples.

        Raises:
            TypeError: `texts` is no sequence of strings.
            ValueError: a text holds half of a surrogate pair, which no encoding has.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one string; give a list of strings")
        return self.documents([Document(str(i), text) for i, text in enumerate(texts)])[0]

    def documents(self, documents: Sequence[Document]) -> tuple[list[Document], Tally]:
        """The same documents with extracted instead of given triples, and what went wrong."""
        return summarize(self.extractions(documents))


def summarize(extractions: Sequence[Extraction]) -> tuple[list[Document], Tally]:
    """The documents alone, and what went wrong with all of them."""
    documents = [extraction.document for extraction in extractions]
    return documents, sum((extraction.tally for extraction in extractions), Tally())


def check_texts(documents: Sequence[Document]) -> None:
    """Raises TypeError or ValueError where a text is none; see `TextExtractor.__call__`."""
    for index, document in enumerate(documents):
        text: object = document.text  # whatever the user gave
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"texts[{index}] is of type {kind}; it must be a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"texts[{index}] holds half of a surrogate pair at character {error.start}: decode "
                "it as UTF-8, or UTF-16 where it came from JavaScript or Windows"
            ) from None
