"""The configuration: every field with its default and meaning, and the checks before a run.

Recipes in `configs/` start from `get_config()` and change what differs. The tree is locked, so that
a misspelled field is refused where it is written, and `check` refuses values that could not work
before anything is compiled.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_collections

from grel.corpora.builders import BUILDERS
from grel.corpora.synthetic import SPLITS
from grel.data import features
from grel.decoding import copying
from grel.errors import UserError
from grel.models import FAMILIES, bert, losses
from grel.runs import layout
from grel.scoring.protocols import PROTOCOLS
from grel.text import bio
from grel.text.linearize import TRIPLE_FORMS
from grel.text.wordpiece import RELATION_FORMS


class ConfigError(UserError):
    """A configuration that cannot work: names the field and says what would."""


# How the learning rate goes on after the warm-up.
SCHEDULES = ("linear", "cosine", "constant")

# The family that has no model, and all fields that it depends on; see `grel.extraction.lookup`.
LOOKUP = "lookup"
LOOKUP_FIELDS = (
    *("data.name", "data.variant", "data.manual_dir", "data.data_dir"),
    *("data.num_train", "data.num_validation", "model.family", "eval."),
)


def get_config() -> ml_collections.ConfigDict:
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
    c.data.triple_form = "htr"  # head, tail, relation; "rht" writes the relation first
    c.data.order = "file"  # of triples in the target; or by "position", or by "relation" first
    # Of training examples: the share that is joined with others, how many at most; and the share in
    # which names are swapped for others of the same relation and role.
    c.data.join_rate = 0.0
    c.data.join_max = 4
    c.data.swap_rate = 0.0

    c.tokenizer = ml_collections.ConfigDict()
    c.tokenizer.vocab = ""  # a BERT vocab.txt; "" learns a vocabulary from the training split
    c.tokenizer.vocab_size = 8000  # of a learned vocabulary
    c.tokenizer.lowercase = False
    c.tokenizer.relation_as = "words"  # or "token": one reserved token for each relation

    c.model = ml_collections.ConfigDict()
    c.model.family = "bert"  # or "lookup": no model, known triples; see grel.extraction.lookup
    c.model.size = "base"  # tiny, mini, small, base, large
    c.model.init_from = ""  # checkpoint file or Hugging Face folder to start from; "" is fresh
    c.model.head = "vocabulary"  # or "pointer", which scores only what can be written
    c.model.objective = "mlm"  # or "causal", or "pseudo"
    # The shape; 0 is what the size says.
    c.model.num_layers = 0
    c.model.hidden_size = 0
    c.model.num_heads = 0
    c.model.ff_size = 0
    c.model.max_positions = 512
    c.model.init_stddev = 0.02  # of fresh parameters; narrow models learn faster with 1/sqrt(width)
    c.model.segments = "bert"  # 0 and 1; "unilm" is 4 and 5 of a table of 6
    c.model.layer_norm_eps = 1e-12  # UniLM has 1e-5
    c.model.dropout = 0.1
    c.model.attention_dropout = 0.1
    c.model.dtype = "float32"  # of the computation; bfloat16 on accelerators
    c.model.remat = False  # recompute layers in the backward pass, for memory
    c.model.source_mask_rate = 0.15  # of the source's positions, for "mlm"
    c.model.target_mask_rate = 0.15  # of the target's
    c.model.alpha = 0.1  # weight of the token loss against the label loss
    c.model.label_smoothing = 0.0  # of target tokens

    c.train = ml_collections.ConfigDict()
    c.train.batch_size = 64  # over all devices of all processes
    c.train.accumulation = 1  # slices that a device's rows are run in
    c.train.num_epochs = 30.0
    c.train.learning_rate = 3e-5
    c.train.schedule = "linear"  # after the warm-up: down to 0; or "cosine", or "constant"
    c.train.warmup_fraction = 0.1  # of all steps
    c.train.weight_decay = 0.01
    c.train.clip_norm = 1.0
    c.train.adam_b2 = 0.999  # lower for runs of few steps
    c.train.ema_decay = 0.0  # of the parameters' moving average, which then is what extracts
    c.train.patience = 0  # validations without a better F1 after which a run ends; 0 is never
    c.train.max_skipped = 10  # steps in a row without a finite loss, at which a run stops
    c.train.log_every = 50  # steps
    c.train.eval_every = 0  # steps; 0 is once an epoch
    c.train.checkpoint_every = 500  # steps
    c.train.keep = 2  # newest checkpoints kept beside the best

    c.decoding = ml_collections.ConfigDict()
    c.decoding.copy = "on"  # "off" lets all tokens through; "su": Su (2021); "words": WordDec
    c.decoding.structure = "off"  # "on" writes whole triples of copied entities, known relations
    c.decoding.relations = ()  # with structure "on", the only relations to write; () is all
    c.decoding.label = "argmax"  # the likeliest; or "joint": the likeliest (label, token)
    c.decoding.scores = "raw"  # of tokens; or "renormalized" over those that the label allows
    c.decoding.num_beams = 1  # of the search; 1 is greedy
    c.decoding.num_best = 1  # outputs kept of those that the beams found
    c.decoding.length_penalty = 0.0  # of beams, as UniLM's: score / ((5 + length) / 6) ** this
    c.decoding.end_bias = 0.0  # added to the end token's logit: below 0 more is written
    c.decoding.max_target = 128  # most wordpieces written for a sentence
    c.decoding.batch_size = 64  # over all devices of all processes

    c.eval = ml_collections.ConfigDict()
    c.eval.split = "test"
    c.eval.name = ""  # of the folder below WORKDIR/eval; "" is the split
    c.eval.checkpoint = "best"  # or "latest"
    c.eval.protocol = "exact"  # a name in grel.scoring.protocols
    c.eval.end_biases = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0)  # that --mode=tune tries
    return c.lock()


def has_variant(given: str, offered: str) -> bool:
    """Whether a recipe's argument asks for the one variant that it offers.

    Raises ConfigError on any other argument.
    """
    if given not in ("", offered):
        raise ConfigError(f"the recipe has no variant {given!r}: leave it out, or say :{offered}")
    return given == offered


def train_small_from_scratch(config: ml_collections.ConfigDict) -> None:
    """Sets a narrow model, and what it learns fastest with on a few CPU cores without a checkpoint.

    Every target token is supervised ("causal"), initial weights are larger, and Adam forgets old
    second moments sooner; the paper's settings suppose a pretrained model.
    """
    config.tokenizer.vocab_size = 4000
    config.model.size = "tiny"
    config.model.hidden_size = 192
    config.model.num_heads = 6
    config.model.ff_size = 768
    config.model.objective = "causal"
    config.model.init_stddev = 0.09
    config.model.dtype = "float32"
    config.model.alpha = 0.7
    config.train.batch_size = 32
    config.train.num_epochs = 30.0
    config.train.learning_rate = 2e-3
    config.train.adam_b2 = 0.98
    config.train.eval_every = 500


def read_off_the_text(config: ml_collections.ConfigDict) -> None:
    """Sets what learns and extracts best where no head was pretrained; see RESULTS.md.

    The head scores only what can be written, the relation is one token and comes first, triples are
    sorted by it, every target token is supervised, nothing but whole triples is written, label and
    token are chosen together, since such a head knows better than the label where a name ends, and
    what extracts is a moving average of the parameters.
    """
    config.data.triple_form = "rht"
    config.data.order = "relation"
    config.tokenizer.relation_as = "token"
    config.model.head = "pointer"
    config.model.objective = "causal"
    config.model.alpha = 0.7
    config.train.ema_decay = 0.999
    config.decoding.structure = "on"
    config.decoding.label = "joint"


def start_from_unilm(config: ml_collections.ConfigDict, size: str) -> None:
    """Sets UniLM v1 of the size "base" or "large", cased, with the paper's training."""
    config.tokenizer.vocab = f"weights/unilm1-{size}-cased-vocab.txt"
    config.tokenizer.vocab_size = 28996
    config.model.size = size
    config.model.init_from = f"weights/unilm1-{size}-cased.bin"
    config.model.segments = "unilm"
    config.model.layer_norm_eps = 1e-5
    config.model.dtype = "bfloat16"


SEGMENTS = {
    "bert": {"num_segments": 2, "source_segment": 0, "target_segment": 1},
    "unilm": {"num_segments": 6, "source_segment": 4, "target_segment": 5},
}


def leaves(config: ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted name, such as "train.batch_size"; sequences as tuples."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = tuple(value) if isinstance(value, list) else value
    return found


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as an older checkpoint has them, under the names that they have now."""
    new = {old: (old,) for old in fields} | _RENAMED
    return {name: value for old, value in fields.items() for name in new[old]}


_RENAMED = {"model.mask_rate": ("model.source_mask_rate", "model.target_mask_rate")}


def in_use(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The fields that a run depends on, nested, to be recorded: those of a model are all."""
    if config.model.family != LOOKUP:
        return config.to_dict()
    found: dict[str, Any] = {}
    for name, value in leaves(config).items():
        if name.startswith(LOOKUP_FIELDS):
            section, field = name.split(".")
            found.setdefault(section, {})[field] = value
    return found


def check_min_score(min_score: float) -> None:
    """Raises ConfigError unless it is a probability."""
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}; it must be in [0, 1]")


def check(config: ml_collections.ConfigDict, *, num_devices: int, num_processes: int) -> None:
    """Refuses what could not work: raises ConfigError with one line for the first such field."""
    fields = leaves(config)
    defaults = leaves(get_config())
    missing, unknown = defaults.keys() - fields.keys(), fields.keys() - defaults.keys()
    if missing or unknown:
        raise ConfigError(
            f"config lacks {sorted(missing)} and has unknown {sorted(unknown)}: start the recipe "
            "from grel.config.get_config()"
        )
    for name, default_value in defaults.items():
        if type(fields[name]) is not type(default_value):
            raise ConfigError(
                f"config.{name} is {fields[name]!r}; it must be of type "
                f"{type(default_value).__name__}"
            )
    for name, choices in _CHOICES.items():
        if fields[name] not in choices:
            raise ConfigError(f"config.{name} is {fields[name]!r}; one of {', '.join(choices)}")
    for name, (low, high) in _RANGES.items():
        if not low <= fields[name] <= high:
            raise ConfigError(f"config.{name} is {fields[name]}; it must be in [{low}, {high}]")
    if not fields["eval.end_biases"]:
        raise ConfigError("config.eval.end_biases is empty; (0.0,) tunes the least score alone")
    if (name := fields["eval.name"]) and (name in (".", "..") or Path(name).name != name):
        raise ConfigError(f"config.eval.name is {name!r}; it must be the name of a folder")
    if fields["model.family"] == LOOKUP:
        for name in fields:
            if not name.startswith(LOOKUP_FIELDS) and fields[name] != defaults[name]:
                raise ConfigError(
                    f"config.{name} is {fields[name]!r}; a look-up has no use for it: leave it out"
                )
        return
    shape = {n: fields[f"model.{n}"] or v for n, v in bert.SIZES[fields["model.size"]].items()}
    if shape["hidden_size"] % shape["num_heads"]:
        raise ConfigError(
            f"config.model.hidden_size is {shape['hidden_size']}; it must divide by "
            f"config.model.num_heads, {shape['num_heads']}"
        )
    for name in ("train.batch_size", "decoding.batch_size"):
        parts = num_devices * num_processes
        parts *= fields["train.accumulation"] if name == "train.batch_size" else 1
        if fields[name] % parts:
            raise ConfigError(
                f"config.{name} is {fields[name]}; it must divide by {parts} (devices, processes "
                "and accumulation)"
            )
    if fields["model.objective"] == "mlm" and not fields["model.target_mask_rate"]:
        raise ConfigError(
            "config.model.target_mask_rate is 0, so that no token of a target would be learned; "
            "the paper's is 0.15"
        )
    buckets = fields["data.buckets"]
    if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 4:
        raise ConfigError(f"config.data.buckets is {buckets}; it must ascend from 4 or more")
    if buckets[-1] > fields["model.max_positions"]:
        raise ConfigError(
            f"config.data.buckets goes up to {buckets[-1]}, beyond config.model.max_positions "
            f"{fields['model.max_positions']}"
        )
    try:
        copying.check(**{n: fields[f"decoding.{n}"] for n in copying.CHOICES})
    except ValueError as error:
        raise ConfigError(f"config.decoding: {error}") from None
    if fields["decoding.relations"] and fields["decoding.structure"] == "off":
        raise ConfigError(
            "config.decoding: relations can be restricted with structure='on' only; set it, or "
            "leave them out"
        )
    if fields["decoding.num_best"] > fields["decoding.num_beams"]:
        raise ConfigError(
            f"config.decoding.num_best is {fields['decoding.num_best']}; it must be at most "
            f"config.decoding.num_beams, {fields['decoding.num_beams']}"
        )
    if fields["decoding.max_target"] + 16 > fields["model.max_positions"]:
        raise ConfigError(
            f"config.decoding.max_target {fields['decoding.max_target']} leaves no room for a "
            f"sentence in config.model.max_positions {fields['model.max_positions']}"
        )


_CHOICES = {
    "data.name": tuple(BUILDERS),
    "data.labelling": tuple(bio.LABELLINGS),
    "data.triple_form": TRIPLE_FORMS,
    "data.order": features.ORDERS,
    "tokenizer.relation_as": RELATION_FORMS,
    "model.family": (*FAMILIES, LOOKUP),
    "model.size": tuple(bert.SIZES),
    "model.head": bert.HEADS,
    "model.objective": losses.OBJECTIVES,
    "model.segments": tuple(SEGMENTS),
    "model.dtype": ("float32", "bfloat16"),
    "train.schedule": SCHEDULES,
    **{f"decoding.{name}": choices for name, choices in copying.CHOICES.items()},
    "eval.split": SPLITS,
    "eval.checkpoint": tuple(layout.CHECKPOINTS),
    "eval.protocol": tuple(PROTOCOLS),
}

_RANGES = {
    "seed": (0, 2**31 - 1),
    "data.num_train": (0, math.inf),
    "data.num_validation": (0, math.inf),
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
    "model.dropout": (0.0, 0.9),
    "model.attention_dropout": (0.0, 0.9),
    "model.source_mask_rate": (0.0, 1.0),
    "model.target_mask_rate": (0.0, 1.0),
    "model.alpha": (0.0, 1.0),
    "model.label_smoothing": (0.0, 0.9),
    "train.batch_size": (1, math.inf),
    "train.accumulation": (1, math.inf),
    "train.num_epochs": (1e-6, math.inf),
    "train.learning_rate": (0.0, 1.0),
    "train.warmup_fraction": (0.0, 1.0),
    "train.weight_decay": (0.0, 1.0),
    "train.clip_norm": (1e-6, math.inf),
    "train.adam_b2": (0.0, 0.999999),
    "train.ema_decay": (0.0, 0.999999),
    "train.patience": (0, math.inf),
    "train.max_skipped": (1, math.inf),
    "train.log_every": (1, math.inf),
    "train.eval_every": (0, math.inf),
    "train.checkpoint_every": (1, math.inf),
    "train.keep": (1, math.inf),
    "decoding.num_beams": (1, 64),
    "decoding.num_best": (1, 64),
    "decoding.length_penalty": (0.0, 10.0),
    "decoding.end_bias": (-100.0, 100.0),
    "decoding.max_target": (1, math.inf),
    "decoding.batch_size": (1, math.inf),
}
