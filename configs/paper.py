"""The other systems of the paper's tables, each with its authors' sizes and training.

    python -m grel.main --mode=train --config=configs/paper.py:worddec-nyt24 \\
        --workdir=runs/worddec --config.data.manual_dir=DIR

The argument is SYSTEM-CORPUS, and `-small` behind it makes a model that two CPU cores train in
minutes on a few thousand sentences: `:ptdec-nyt24-reduced-small`. Systems are `copyre`,
`copyre_one`, `copymtl`, `copymtl_one`, `mrmep`, `ptdec`, `worddec`, `lstm` and `lstm_copy`; corpora
`nyt24`, `nyt24-reduced`, `nyt29`, `nyt29-reduced`, `webnlg` and `jsonl`. `bash
launch/paper_tables.sh` trains and evaluates all of them, and makes the tables.

CopyRE writes the last words of names, so that its F1 is by the protocol `partial_last`; the others'
is `exact`. Word vectors are random unless `--config.tokenizer.vectors=FILE` names some.
"""

from typing import Any

from grel import config as config_lib

# By system: its family, and fields that differ from the family's defaults.
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "copyre": ("copyre", {}),
    "copyre_one": ("copyre", {"model.decoder": "one"}),
    "copymtl": ("copymtl", {}),
    "copymtl_one": ("copymtl", {"model.decoder": "one"}),
    "mrmep": ("mrmep", {}),
    "ptdec": ("ptdec", {}),
    "worddec": ("worddec", {}),
    "lstm": ("worddec", {"decoding.copy": "off"}),
    "lstm_copy": (
        "worddec",
        {"model.label_head": True, "decoding.copy": "on", "tokenizer.num_unknown": 8},
    ),
}

# Adam without decay or warm-up; only some clip.
TRAINING = {
    "train.learning_rate": 1e-3,
    "train.schedule": "constant",
    "train.warmup_fraction": 0.0,
    "train.weight_decay": 0.0,
    "train.clip_norm": 1e9,
}
OF_FAMILY = {
    "copyre": {"train.batch_size": 100, "train.num_epochs": 100.0},
    "copymtl": {"train.batch_size": 100, "train.num_epochs": 100.0},
    "mrmep": {"train.batch_size": 50, "train.num_epochs": 100.0},
    "ptdec": {
        "train.batch_size": 32,
        "train.num_epochs": 30.0,
        "train.clip_norm": 10.0,
        "train.patience": 5,
    },
    "worddec": {
        "train.batch_size": 32,
        "train.num_epochs": 30.0,
        "train.clip_norm": 10.0,
        "train.patience": 5,
    },
}
SMALL = {
    "model.word_features": 100,
    "model.char_features": 20,
    "model.num_filters": 20,
    "model.features": 100,
    "model.relation_features": 50,
    "train.num_epochs": 30.0,
}


def get_config(which="worddec-jsonl"):
    system, corpus = config_lib.split_argument(which, "SYSTEM", SYSTEMS)
    family, fields = SYSTEMS[system]
    config = config_lib.get_config(family)
    fields = {**TRAINING, **OF_FAMILY[family], **fields}
    if corpus.endswith("-small"):
        fields |= SMALL
    known = config_lib.fields_of(family).defaults
    config.update_from_flattened_dict({n: v for n, v in fields.items() if n in known})
    config_lib.set_corpus(config, corpus.removesuffix("-small"))
    return config
