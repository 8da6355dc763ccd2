"""BERT as a family: wordpieces in, linearized triples out, written token by token.

The network is `models.bert`; here are its fields, its tokenizer, its examples and its decoder.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

import jax
import ml_collections
import numpy as np

from grel import parallel, records
from grel.data import augment, features
from grel.data.pipeline import Batches
from grel.decoding import driver, greedy, network, program
from grel.decoding.structure import Schema
from grel.errors import ConfigError, expand_home
from grel.families import base, tokens
from grel.families.base import Prepared, Splits
from grel.fields import Fields
from grel.models import bert, bert_decoding, flops, losses
from grel.pretrained import port
from grel.text import bio, linearize, vocabulary
from grel.text.known import Memory
from grel.text.wordpiece import RELATION_FORMS, Wordpiece

_LOG = logging.getLogger(__name__)

SEGMENTS = {
    "bert": {"num_segments": 2, "source_segment": 0, "target_segment": 1},
    "unilm": {"num_segments": 6, "source_segment": 4, "target_segment": 5},
}

_FIELDS = Fields(
    {
        "data.cache_dir": "~/.cache/grel/features",  # tokenized examples; "" keeps them in memory
        "data.buckets": (64, 96, 128, 192, 256, 512),  # packed lengths to pad to
        "data.labelling": "per_entity",  # or "global_lcs", the letter of the paper
        "data.triple_form": "htr",  # head, tail, relation; "rht" writes the relation first
        # Of triples in the target: as in the "file", by "position", or by "relation" first.
        "data.order": "file",
        # Of training examples: the share that is joined with others, how many at most; and the
        # share in which names are swapped for others of the same relation and role.
        "data.join_rate": 0.0,
        "data.join_max": 4,
        "data.swap_rate": 0.0,
        # A BERT vocab.txt; "" learns a vocabulary from the training split.
        "tokenizer.vocab": "",
        "tokenizer.vocab_size": 8000,  # of a learned vocabulary
        "tokenizer.lowercase": False,
        "tokenizer.relation_as": "words",  # or "token": one reserved token for each relation
        "model.size": "base",  # tiny, mini, small, base, large
        "model.init_from": "",  # checkpoint or Hugging Face folder to start from; "" is fresh
        # Mark in a sentence the names of training triples that have both names there.
        "model.memory": False,
        "model.head": "vocabulary",  # or "pointer", which scores only what can be written
        "model.objective": "mlm",  # or "causal", or "pseudo"
        # The shape; 0 is what the size says.
        "model.num_layers": 0,
        "model.hidden_size": 0,
        "model.num_heads": 0,
        "model.ff_size": 0,
        "model.max_positions": 512,
        # Of fresh parameters; narrow models learn faster with 1/sqrt(width).
        "model.init_stddev": 0.02,
        "model.segments": "bert",  # 0 and 1; "unilm" is 4 and 5 of a table of 6
        "model.layer_norm_eps": 1e-12,  # UniLM and MPNet have 1e-5
        # Of distances between tokens, by which heads attend too: 32 in MPNet, 0 (none) in BERT.
        "model.relative_buckets": 0,
        "model.dropout": 0.1,
        "model.attention_dropout": 0.1,
        "model.dtype": "float32",  # of the computation; bfloat16 on accelerators
        # Round to bfloat16 what dense layers multiply, and nothing else: on CPUs that have
        # instructions for such products, which AVX512_BF16 and AMX are.
        "model.half_products": False,
        # One compiled layer that all layers' parameters run through; without it layers compile one
        # by one, and run faster on CPUs.
        "model.scan_layers": True,
        "model.remat": False,  # scan layers, and recompute each in the backward pass, for memory
        "model.source_mask_rate": 0.15,  # of the source's positions, for "mlm"
        "model.target_mask_rate": 0.15,  # of the target's
        "model.alpha": 0.1,  # weight of the token loss against the label loss
        "model.label_smoothing": 0.0,  # of target tokens
        # Most tokens that greedy search guesses for the model to verify in one step; 0 is none.
        "decoding.draft": 0,
        # Write triples of the memory beside the model's that were right in at least this share of
        # the training sentences with both names; 0 is none.
        "decoding.known_share": 0.0,
    },
    {
        "data.labelling": tuple(bio.LABELLINGS),
        "data.triple_form": linearize.TRIPLE_FORMS,
        "data.order": features.ORDERS,
        "tokenizer.relation_as": RELATION_FORMS,
        "model.size": tuple(bert.SIZES),
        "model.head": bert.HEADS,
        "model.objective": losses.OBJECTIVES,
        "model.segments": tuple(SEGMENTS),
        "model.dtype": ("float32", "bfloat16"),
    },
    {
        "data.join_rate": (0.0, 1.0),
        "data.join_max": (1, 64),
        "data.swap_rate": (0.0, 1.0),
        "tokenizer.vocab_size": (64, 1 << 20),
        "model.num_layers": (0, math.inf),
        "model.hidden_size": (0, math.inf),
        "model.num_heads": (0, math.inf),
        "model.ff_size": (0, math.inf),
        "model.max_positions": (16, math.inf),
        "model.init_stddev": (0.0, 1.0),
        "model.layer_norm_eps": (1e-15, 1e-1),
        "model.relative_buckets": (0, 256),
        "model.dropout": (0.0, 0.9),
        "model.attention_dropout": (0.0, 0.9),
        "model.source_mask_rate": (0.0, 1.0),
        "model.target_mask_rate": (0.0, 1.0),
        "model.alpha": (0.0, 1.0),
        "model.label_smoothing": (0.0, 0.9),
        "decoding.draft": (0, 16),
        "decoding.known_share": (0.0, 1.0),
    },
)


@dataclasses.dataclass(frozen=True)
class System(base.Trained):
    """Everything but the parameters.

    Attributes:
        config: the whole configuration.
        wordpiece: tokenizer and relation schema.
        model: the network's shape and behavior.
        memory: the triples of the training split, where the model is told of them.
    """

    NETWORK: ClassVar[ModuleType] = bert
    FIELDS: ClassVar[Fields] = _FIELDS | tokens.DECODING

    config: ml_collections.ConfigDict
    wordpiece: Wordpiece
    model: bert.Config
    memory: Memory | None = None

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> None:
        """Refuses shapes, buckets and decoding options that do not go together."""
        shape = {n: fields[f"model.{n}"] or v for n, v in bert.SIZES[fields["model.size"]].items()}
        if shape["hidden_size"] % shape["num_heads"]:
            raise ConfigError(
                f"config.model.hidden_size is {shape['hidden_size']}; it must divide by "
                f"config.model.num_heads, {shape['num_heads']}"
            )
        if fields["model.relative_buckets"] % 4:
            raise ConfigError(
                f"config.model.relative_buckets is {fields['model.relative_buckets']}; it must "
                "divide by 4: MPNet has 32, and 0 is none"
            )
        if fields["model.objective"] == "mlm" and not fields["model.target_mask_rate"]:
            raise ConfigError(
                "config.model.target_mask_rate is 0, so that no token of a target would be "
                "learned; the paper's is 0.15"
            )
        buckets = fields["data.buckets"]
        if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 4:
            raise ConfigError(f"config.data.buckets is {buckets}; it must ascend from 4 or more")
        if buckets[-1] > fields["model.max_positions"]:
            raise ConfigError(
                f"config.data.buckets goes up to {buckets[-1]}, beyond config.model.max_positions "
                f"{fields['model.max_positions']}"
            )
        tokens.check(fields)
        if fields["decoding.known_share"] and not fields["model.memory"]:
            raise ConfigError(
                f"config.decoding.known_share is {fields['decoding.known_share']}, but this model "
                "has no memory: set it to 0, or train with config.model.memory=True"
            )
        if fields["decoding.max_target"] + 16 > fields["model.max_positions"]:
            raise ConfigError(
                f"config.decoding.max_target {fields['decoding.max_target']} leaves no room for a "
                f"sentence in config.model.max_positions {fields['model.max_positions']}"
            )

    @classmethod
    def learn(
        cls,
        config: ml_collections.ConfigDict,
        splits: Splits,
        earlier: Mapping[str, Any] | None = None,
    ) -> System:
        """With the vocabulary that is named, or one learned from "train"; relations of all splits.

        A learned one of a run that goes on is that run's own: a later version might learn another.
        """
        t = config.tokenizer
        if earlier is not None and not expand_home(t.vocab).is_file():
            return cls.from_about(config, earlier)
        relations = records.relations(itertools.chain.from_iterable(splits.values()))
        wordpiece = vocabulary.make_wordpiece(
            t, splits["train"], relations, config.data.triple_form
        )
        memory = None
        if config.model.memory:
            memory = Memory.of(splits["train"], wordpiece.relations)
        return cls.build(config, wordpiece, memory)

    @classmethod
    def build(
        cls, config: ml_collections.ConfigDict, wordpiece: Wordpiece, memory: Memory | None = None
    ) -> System:
        """A system for a checked configuration, with this tokenizer and this memory."""
        c = config.model
        writable_ids: tuple[int, ...] = ()
        if c.head == "pointer":
            schema = Schema(wordpiece.relation_ids, wordpiece.form, wordpiece.sep_id)
            writable_ids = schema.token_ids
        model = bert.Config(
            vocab_size=len(wordpiece.vocabulary),
            mask_id=wordpiece.mask_id,
            sep_id=wordpiece.sep_id,
            max_positions=c.max_positions,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
            layer_norm_eps=c.layer_norm_eps,
            dtype=c.dtype,
            half_products=c.half_products,
            scan_layers=c.scan_layers,
            remat=c.remat,
            objective=c.objective,
            head=c.head,
            writable_ids=writable_ids,
            source_mask_rate=c.source_mask_rate,
            target_mask_rate=c.target_mask_rate,
            alpha=c.alpha,
            label_smoothing=c.label_smoothing,
            num_marks=memory.num_marks if memory else 0,
            relative_buckets=c.relative_buckets,
            init_stddev=c.init_stddev,
            **{name: c[name] or value for name, value in bert.SIZES[c.size].items()},
            **SEGMENTS[c.segments],
        )
        return cls(config, wordpiece, model, memory)

    @classmethod
    def from_about(cls, config: ml_collections.ConfigDict, about: Mapping[str, Any]) -> System:
        """With the tokenizer and the memory that `about` holds."""
        wordpiece, memory = Wordpiece.from_json(about["wordpiece"]), None
        if config.model.memory:
            memory = Memory.from_json(about["memory"], wordpiece.relations)
        return cls.build(config, wordpiece, memory)

    def about(self) -> dict[str, Any]:
        """Configuration, tokenizer and memory."""
        about = {"config": self.config.to_json(), "wordpiece": self.wordpiece.to_json()}
        return about | ({"memory": self.memory.to_json()} if self.memory else {})

    def identity(self) -> dict[str, Any]:
        """The network, the tokenizer and the memory."""
        memory = {"memory": self.memory.fingerprint} if self.memory else {}
        return super().identity() | memory

    @property
    def tokenizer(self) -> Wordpiece:
        """The wordpieces."""
        return self.wordpiece

    def prepare(self, splits: Splits) -> dict[str, Prepared]:
        """Examples of each split, cached on disk, in batches by packed length."""
        c = self.config
        rates = augment.Rates(c.data.join_rate, c.data.join_max, c.data.swap_rate)
        prepared: dict[str, Prepared] = {}
        made: dict[str, features.Features] = {}
        for split, documents in splits.items():
            options = features.Options(
                c.data.labelling,
                c.data.order,
                c.data.buckets[-1],
                memory=self.memory,
                taught=split == "train",
            )
            made[split] = features.build(
                documents, self.wordpiece, options, c.data.cache_dir or None
            )
            augmentation = None
            if split == "train" and (rates.join or rates.swap):
                augmentation = augment.Augmentation(
                    made[split], self.wordpiece, options, rates, c.seed
                )
            batches = Batches(
                made[split],
                self.wordpiece,
                c.train.batch_size,
                c.data.buckets,
                seed=c.seed if split == "train" else None,
                shard=parallel.process(),
                augment=augmentation,
            )
            prepared[split] = Prepared(
                batches,
                made[split].fingerprint,
                functools.partial(features.documents_of, documents, self.wordpiece, options),
            )
        for note in features.notes(splits, made, self.wordpiece):
            _LOG.warning("%s", note)
        if self.memory is not None:
            for split, documents in splits.items():
                _LOG.info(
                    "memory: %d of the %d triples of %s are known from other documents",
                    self.memory.num_known(documents, taught=split == "train"),
                    sum(len(document.without_duplicates().triples) for document in documents),
                    split,
                )
        return prepared

    def step_flops(self, batch: Any) -> float:
        """By `models.flops`, of tokens that are no padding."""
        m = self.model
        total = 0.0
        for source, length in zip(
            batch.source_length_B.tolist(), batch.length_B.tolist(), strict=True
        ):
            predicted = target = length - source
            if m.objective == "mlm":
                predicted = m.source_mask_rate * source + m.target_mask_rate * target
            num_twins = target if m.objective == "pseudo" else 0
            total += flops.train_step(m, 1, length, predicted, num_twins)
        return total

    def pretrained(self, key: jax.Array) -> tuple[Any, port.TensorReport] | None:
        """Those of `config.model.init_from`, for this vocabulary."""
        if not self.config.model.init_from:
            return None
        return port.load(
            self.config.model.init_from,
            self.model,
            self.wordpiece.vocabulary,
            key,
            self.wordpiece.reserved_ids,
        )

    def writer(self) -> tokens.WordpieceWriter:
        """Greedy or beam search with the copy mechanism, as `config.decoding` says."""
        writer = tokens.WordpieceWriter(self.wordpiece, self.decoder(), self.memory)
        return writer.remembering(self.config.decoding.known_share)

    def decoder(self) -> driver.Decoder:
        """A decoder as `config.decoding` says."""
        num_steps = greedy.num_steps_for(self.config.decoding.max_target)
        longest = self.model.max_positions - num_steps
        w = self.wordpiece
        return tokens.make_decoder(
            self.config,
            network.Functions.of(bert_decoding, self.model),
            w,
            frame=program.Frame.packed(w.pad_id, w.cls_id, w.sep_id),
            buckets=[*(b for b in self.config.data.buckets if b < longest), longest],
            head=self.model.head,
            joined_V=np.array([token.startswith("##") for token in w.vocabulary]),
        )
