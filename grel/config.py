"""The configuration: the fields that all families share, and the checks before a run.

Recipes in `configs/` start from `get_config(FAMILY)` and change what differs. A family adds fields
of its own (`grel/families/`). The tree is locked, so that a misspelled field is refused where it is
written, and `check` refuses values that could not work before anything is compiled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path

import ml_collections

from grel.corpora.synthetic import SPLITS
from grel.errors import ConfigError
from grel.families.base import Trained
from grel.families.registry import FAMILIES
from grel.fields import Fields, leaves
from grel.runs import layout
from grel.scoring.protocols import PROTOCOLS

# What a recipe's argument may name: data sets, and their variants but for the first, the default.
# They are those of `corpora.builders.BUILDERS`, which stands on tensorflow-datasets: what needs no
# corpus need not wait for it.
CORPORA = ("nyt24", "nyt24-reduced", "nyt29", "nyt29-reduced", "webnlg", "jsonl", "synthetic")

_COMMON = Fields(
    {
        "model.family": "bert",  # a name in `families.registry.FAMILIES`; decides the other fields
        "data.name": "nyt24",  # nyt24, nyt29, webnlg, jsonl or synthetic
        "data.variant": "",  # of the data set: "official" or "reduced" for nyt24 and nyt29
        "data.manual_dir": "",  # folder with the raw files
        "data.data_dir": "",  # where tensorflow-datasets keeps its own; "" is ~/tensorflow_datasets
        "data.num_train": 0,  # use the first so many training examples; 0 is all
        "data.num_validation": 0,  # likewise, for scoring during training
        "eval.split": "test",
        "eval.name": "",  # of the folder below WORKDIR/eval; "" is the split
        "eval.checkpoint": "best",  # or "latest"
        "eval.protocol": "exact",  # a name in grel.scoring.protocols
    },
    {
        "model.family": tuple(FAMILIES),
        "data.name": tuple(corpus for corpus in CORPORA if "-" not in corpus),
        "eval.split": SPLITS,
        "eval.checkpoint": tuple(layout.CHECKPOINTS),
        "eval.protocol": tuple(PROTOCOLS),
    },
    {"data.num_train": (0, math.inf), "data.num_validation": (0, math.inf)},
)

# How the learning rate goes on after the warm-up.
SCHEDULES = ("linear", "cosine", "constant")

# Of all families that learn from batches.
_TRAINING = Fields(
    {
        "seed": 0,
        "train.batch_size": 64,  # over all devices of all processes
        "train.accumulation": 1,  # slices that a device's rows are run in
        "train.num_epochs": 30.0,
        "train.learning_rate": 3e-5,
        "train.schedule": "linear",  # after the warm-up: down to 0; or "cosine", or "constant"
        "train.warmup_fraction": 0.1,  # of all steps
        "train.weight_decay": 0.01,
        "train.clip_norm": 1.0,
        "train.adam_b1": 0.9,
        "train.adam_b2": 0.999,  # lower for runs of few steps
        "train.ema_decay": 0.0,  # of the parameters' moving average, which then is what extracts
        "train.patience": 0,  # validations without a better F1 after which a run ends; 0 is never
        "train.max_skipped": 10,  # steps in a row without a finite loss, at which a run stops
        "train.log_every": 50,  # steps
        "train.eval_every": 0,  # steps; 0 is once an epoch
        "train.checkpoint_every": 500,  # steps
        "train.keep": 2,  # newest checkpoints kept beside the best
    },
    {"train.schedule": SCHEDULES},
    {
        "seed": (0, 2**31 - 1),
        "train.batch_size": (1, math.inf),
        "train.accumulation": (1, math.inf),
        "train.num_epochs": (1e-6, math.inf),
        "train.learning_rate": (0.0, 1.0),
        "train.warmup_fraction": (0.0, 1.0),
        "train.weight_decay": (0.0, 1.0),
        "train.clip_norm": (1e-6, math.inf),
        "train.adam_b1": (0.0, 0.999999),
        "train.adam_b2": (0.0, 0.999999),
        "train.ema_decay": (0.0, 0.999999),
        "train.patience": (0, math.inf),
        "train.max_skipped": (1, math.inf),
        "train.log_every": (1, math.inf),
        "train.eval_every": (0, math.inf),
        "train.checkpoint_every": (1, math.inf),
        "train.keep": (1, math.inf),
    },
)


def fields_of(family: str) -> Fields:
    """All fields of a family's configurations; the defaults are the paper's."""
    system = FAMILIES[family]
    training = _TRAINING if issubclass(system, Trained) else Fields({}, {}, {})
    found = _COMMON | training | system.FIELDS
    return found._replace(defaults={**found.defaults, "model.family": family})


def get_config(family: str = "bert") -> ml_collections.ConfigDict:
    """The defaults of a family: for "bert", the paper's settings for a base model from scratch."""
    return fields_of(family).config().lock()


def split_argument(given: str, kind: str, choices: Collection[str]) -> tuple[str, str]:
    """A recipe's argument that is a choice, a dash and a corpus, as in "base-nyt24", taken apart.

    Raises ConfigError, which calls the choices by their `kind`, on a choice that there is not, and
    where there is nothing behind it.
    """
    choice, _, corpus = given.partition("-")
    if choice not in choices or not corpus:
        raise ConfigError(
            f"the argument is {given!r}; it must be {kind}-CORPUS, with one of {', '.join(choices)}"
        )
    return choice, corpus


def set_corpus(config: ml_collections.ConfigDict, corpus: str) -> None:
    """Sets the corpus that a recipe's argument names, as in "nyt24" or "nyt24-reduced".

    Raises ConfigError on one that there is not.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"there is no corpus {corpus!r}; one of {', '.join(CORPORA)}")
    config.data.name, _, config.data.variant = corpus.partition("-")


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
    config.model.scan_layers = False
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


def from_json(text: str) -> ml_collections.ConfigDict:
    """The configuration that `to_json` wrote; fields that came later have their defaults.

    Raises ConfigError where it has fields that this version does not know; LookupError, TypeError,
    ValueError, AttributeError or RecursionError where it is none.
    """
    found = leaves(ml_collections.ConfigDict(json.loads(text)))
    found = {name: value for old, value in found.items() for name in _RENAMED.get(old, (old,))}
    family = found.get("model.family", "bert")
    if family not in FAMILIES:
        raise ConfigError(f"config.model.family is {family!r}; one of {', '.join(FAMILIES)}")
    config = get_config(family)
    if family == "lookup":
        # An earlier version gave it the fields of a model, which meant nothing.
        unused = leaves(get_config()).keys() - leaves(config).keys()
        found = {name: value for name, value in found.items() if name not in unused}
    if unknown := found.keys() - leaves(config).keys():
        raise ConfigError(f"written by a newer version of grel: unknown {sorted(unknown)}")
    config.update_from_flattened_dict(found)
    return config


# Fields of older versions, under the names that they have now.
_RENAMED = {"model.mask_rate": ("model.source_mask_rate", "model.target_mask_rate")}


def check_min_score(min_score: float) -> None:
    """Raises ConfigError unless it is a probability."""
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}; it must be in [0, 1]")


def check(
    config: ml_collections.ConfigDict,
    *,
    num_devices: int,
    num_processes: int,
    trains: bool = True,
) -> None:
    """Refuses what could not work: raises ConfigError with one line for the first such field.

    Args:
        num_devices: of each process.
        trains: whether it is for training, whose batches have to divide over the devices.
    """
    fields = leaves(config)
    family = fields.get("model.family")
    if family not in FAMILIES:
        raise ConfigError(f"config.model.family is {family!r}; one of {', '.join(FAMILIES)}")
    known = fields_of(family)
    missing, unknown = known.defaults.keys() - fields.keys(), fields.keys() - known.defaults.keys()
    if missing or unknown:
        raise ConfigError(
            f"config lacks {sorted(missing)} and has unknown {sorted(unknown)}: start the recipe "
            f"from grel.config.get_config({family!r})"
        )
    known.check(fields)
    if (name := fields["eval.name"]) and (name in (".", "..") or Path(name).name != name):
        raise ConfigError(f"config.eval.name is {name!r}; it must be the name of a folder")
    parts = num_devices * num_processes * fields.get("train.accumulation", 1)
    if trains and fields.get("train.batch_size", 0) % parts:
        raise ConfigError(
            f"config.train.batch_size is {fields['train.batch_size']}; it must divide by {parts} "
            "(devices, processes and accumulation)"
        )
    FAMILIES[family].check(fields)
