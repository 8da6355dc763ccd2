"""NYT29 from scratch.

    python -m grel.main --mode=train --config=configs/nyt29.py --workdir=runs/nyt29 \\
        --config.data.manual_dir=DIR

DIR holds train, dev and test, each as .sent, .tup and .pointer; the text is lower-cased. The
paper's model, which starts from UniLM, reaches .691 F1; without pretrained weights expect less.

`configs/nyt29.py:reduced` is for two CPU cores and for those who have only the dev split: it trains
a small model on dev without its last 500 sentences and validates on these.
"""

from grel import config as config_lib


def get_config(variant=""):
    config = config_lib.get_config()
    config.data.name = "nyt29"
    config.model.dtype = "bfloat16"
    if config_lib.has_variant(variant, "reduced"):
        config_lib.train_small_from_scratch(config)
        config.data.variant = "reduced"
    return config
