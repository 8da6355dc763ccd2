"""What a training run reads: the batches of its splits, and what is known of their documents."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from grel import records
from grel.errors import UserError
from grel.families.base import Prepared, Splits, Trained
from grel.records import Document
from grel.runs.record import TOKENIZER, TRAINING_DATA, VALIDATION_DATA
from grel.scoring.corpus import CorpusStatistics, corpus_statistics
from grel.scoring.seen import SeenTriples

_LOG = logging.getLogger(__name__)


class ExamplesError(UserError):
    """Documents that teach nothing: says why and how to mend it."""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run reads.

    Attributes:
        train, validation: the splits, made ready; training's batches go on over epochs without end.
        validation_documents: the whole split.
        seen: the triples of training.
        fingerprints: of data and tokenizer; see `record.Facts`.
        corpora: statistics by split.
    """

    train: Prepared
    validation: Prepared
    validation_documents: Sequence[Document]
    seen: SeenTriples
    fingerprints: dict[str, str]
    corpora: dict[str, CorpusStatistics]

    def ids(self, step: int) -> list[str]:
        """Of the documents that a training step learns from; joined examples have more of them."""
        documents = list(self.train.documents())
        return [documents[number].id for number in self.train.batches.examples(step - 1)]


def check(splits: Splits) -> None:
    """Tells of relations that can't be learned; raises ExamplesError where there is none."""
    learned = records.relations(splits["train"])
    if not learned:
        raise ExamplesError(
            f"none of the {len(splits['train']):,} training documents has a triple: there is "
            "nothing to learn; check the files, or how they were converted"
        )
    if new := sorted(records.relations(splits["validation"]) - learned):
        _LOG.warning(
            "%d relations occur in validation only and can't be learned: %s",
            *(len(new), ", ".join(new)),
        )


def prepare(system: Trained, splits: Splits) -> TrainingData:
    """Batches of "train" and "validation"; raises a UserError where there can be none."""
    check(splits)
    prepared = system.prepare(splits)
    return TrainingData(
        prepared["train"],
        prepared["validation"],
        splits["validation"],
        SeenTriples.of(splits["train"]),
        {
            TRAINING_DATA: prepared["train"].fingerprint,
            VALIDATION_DATA: prepared["validation"].fingerprint,
            TOKENIZER: system.tokenizer.fingerprint,
        },
        {split: corpus_statistics(documents) for split, documents in splits.items()},
    )
