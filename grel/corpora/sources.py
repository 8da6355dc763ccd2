"""The documents of a split that a configuration names."""

from __future__ import annotations

import ml_collections

from grel.corpora import builders
from grel.records import Document


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
