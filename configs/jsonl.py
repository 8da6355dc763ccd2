"""Your own corpus: a folder with train.jsonl, validation.jsonl and test.jsonl.

    python -m grel.main --mode=train --config=configs/jsonl.py --workdir=runs/mine \\
        --config.data.manual_dir=DIR

`python -m grel.convert --help` lists the formats that such files can be made from. The relations
are those that occur in the files.

`configs/jsonl.py:small` trains a small model on two CPU cores.
"""

from grel import config as config_lib


def get_config(variant=""):
    config = config_lib.get_config()
    config.data.name = "jsonl"
    config.model.dtype = "bfloat16"
    if config_lib.has_variant(variant, "small"):
        config_lib.train_small_from_scratch(config)
    return config
