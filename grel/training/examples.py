"""What a training run reads: the batches of its splits, and what is known of their documents."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import ml_collections

from grel import parallel
from grel.corpora import sources
from grel.data import augment, features
from grel.data.pipeline import Batches
from grel.records import Document
from grel.runs.record import TOKENIZER, TRAINING_DATA, VALIDATION_DATA
from grel.scoring.corpus import CorpusStatistics, corpus_statistics
from grel.scoring.seen import SeenTriples
from grel.text.wordpiece import Wordpiece

_LOG = logging.getLogger(__name__)

Splits = Mapping[str, Sequence[Document]]


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run reads.

    Attributes:
        train, validation: batches; of training in an order that goes on over epochs without end.
        train_documents: gives the document of each training example, which takes its time.
        validation_documents: the whole split.
        seen: the triples of training.
        fingerprints: of data and tokenizer; see `record.Facts`.
        corpora: statistics by split.
    """

    train: Batches
    validation: Batches
    train_documents: Callable[[], Iterable[Document]]
    validation_documents: Sequence[Document]
    seen: SeenTriples
    fingerprints: dict[str, str]
    corpora: dict[str, CorpusStatistics]

    def ids(self, step: int) -> list[str]:
        """Of the documents that a training step learns from; joined examples have more of them."""
        documents = list(self.train_documents())
        return [documents[number].id for number in self.train.examples(step - 1)]


def make_wordpiece(config: ml_collections.ConfigDict, splits: Splits) -> Wordpiece:
    """The tokenizer that the configuration asks for, with the relations of all splits."""
    relations = {t.relation for split in splits.values() for d in split for t in d.triples}
    return sources.make_wordpiece(
        config.tokenizer, splits["train"], relations, config.data.triple_form
    )


def prepare(
    config: ml_collections.ConfigDict, splits: Splits, wordpiece: Wordpiece
) -> TrainingData:
    """Features and batches of "train" and "validation".

    Raises features.FeaturesError where documents cannot become features.
    """
    c = config
    options = features.Options(c.data.labelling, c.data.order, c.data.buckets[-1])
    batches: dict[str, Batches] = {}
    made: dict[str, features.Features] = {}
    rates = augment.Rates(c.data.join_rate, c.data.join_max, c.data.swap_rate)
    for split, documents in splits.items():
        found = features.build(documents, wordpiece, options, c.data.cache_dir or None)
        made[split] = found
        augmentation = None
        if split == "train" and (rates.join or rates.swap):
            augmentation = augment.Augmentation(found, wordpiece, options, rates, c.seed)
        batches[split] = Batches(
            found,
            wordpiece,
            c.train.batch_size,
            c.data.buckets,
            seed=c.seed if split == "train" else None,
            shard=parallel.process(),
            augment=augmentation,
        )
    for note in features.notes(splits, made, wordpiece):
        _LOG.warning("%s", note)
    return TrainingData(
        batches["train"],
        batches["validation"],
        functools.partial(features.documents_of, splits["train"], wordpiece, options),
        splits["validation"],
        SeenTriples.of(splits["train"]),
        {
            TRAINING_DATA: features.fingerprint(splits["train"], wordpiece, options),
            VALIDATION_DATA: features.fingerprint(splits["validation"], wordpiece, options),
            TOKENIZER: wordpiece.fingerprint,
        },
        {split: corpus_statistics(documents) for split, documents in splits.items()},
    )
