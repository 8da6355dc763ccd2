"""The configuration: every field with its default and meaning, and the checks before a run.

Recipes in `configs/` start from `default()` and change what differs. The tree is locked, so that a
misspelled field is refused where it is written, and `check` refuses values that could not work
before anything is compiled.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_collections

from grel import training
from grel.data import features
from grel.decoding import copying
from grel.models import FAMILIES
from grel.wordpiece import RELATION_FORMS, Wordpiece


class ConfigError(ValueError):
    """A configuration that cannot work: names the field and says what would."""


def default() -> ml_collections.ConfigDict:
    """The paper's settings for a model of BERT-base size trained from scratch."""
    c = ml_collections.ConfigDict()
    c.seed = 0

    c.data = ml_collections.ConfigDict()
    c.data.name = "nyt24"  # nyt24, nyt29, webnlg, jsonl or synthetic
    c.data.variant = ""  # of the data set: "official" or "reduced" for nyt24 and nyt29
    c.data.manual_dir = ""  # folder with the raw files
    c.data.data_dir = ""  # where tensorflow-datasets keeps its own; "" is ~/tensorflow_datasets
    c.data.cache_dir = "~/.cache/grel/features"  # tokenized examples; "" keeps them in memory
    c.data.num_train = 0  # use the first so many training examples; 0 is all
    c.data.num_validation = 0  # likewise, for scoring during training
    c.data.buckets = (64, 96, 128, 192, 256, 512)  # packed lengths to pad to
    c.data.labelling = "per_entity"  # or "global_lcs", the letter of the paper
    c.data.order = "file"  # of triples in the target; or "position"

    c.tokenizer = ml_collections.ConfigDict()
    c.tokenizer.vocab = ""  # a BERT vocab.txt; "" learns a vocabulary from the training split
    c.tokenizer.vocab_size = 8000  # of a learned vocabulary
    c.tokenizer.lowercase = False
    c.tokenizer.relation_as = "words"  # or "token": one reserved token for each relation

    c.model = ml_collections.ConfigDict()
    c.model.family = "bert"
    c.model.size = "base"  # tiny, mini, small, base, large
    c.model.objective = "mlm"  # or "causal"
    c.model.max_positions = 512
    c.model.segments = "bert"  # 0 and 1; "unilm" is 4 and 5 of a table of 6
    c.model.layer_norm_eps = 1e-12  # UniLM has 1e-5
    c.model.dropout = 0.1
    c.model.attention_dropout = 0.1
    c.model.dtype = "float32"  # of the computation; bfloat16 on accelerators
    c.model.remat = False  # recompute layers in the backward pass, for memory
    c.model.mask_rate = 0.15
    c.model.alpha = 0.1  # weight of the token loss against the label loss

    c.train = ml_collections.ConfigDict()
    c.train.batch_size = 64  # over all devices of all processes
    c.train.accumulation = 1  # slices that a device's rows are run in
    c.train.num_epochs = 30.0
    c.train.learning_rate = 3e-5
    c.train.warmup_fraction = 0.1  # of all steps
    c.train.weight_decay = 0.01
    c.train.clip_norm = 1.0
    c.train.log_every = 50  # steps
    c.train.eval_every = 0  # steps; 0 is once an epoch
    c.train.checkpoint_every = 500  # steps
    c.train.keep = 2  # newest checkpoints kept beside the best

    c.decoding = ml_collections.ConfigDict()
    c.decoding.copy = "on"  # "off" lets every token through; "su" is the rule of Su (2021)
    c.decoding.max_target = 128  # most wordpieces written for a sentence
    c.decoding.batch_size = 64  # over all devices of all processes

    c.eval = ml_collections.ConfigDict()
    c.eval.split = "test"
    c.eval.checkpoint = "best"  # or "latest"
    c.eval.protocol = "exact"  # a name in grel.scoring.protocols
    return c.lock()


SEGMENTS = {
    "bert": {"num_segments": 2, "source_segment": 0, "target_segment": 1},
    "unilm": {"num_segments": 6, "source_segment": 4, "target_segment": 5},
}
