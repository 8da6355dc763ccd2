"""NYT24 from scratch.

    python -m grel.main --mode=train --config=configs/nyt24.py --workdir=runs/nyt24 \\
        --config.data.manual_dir=DIR

DIR holds train, dev and test, each as .sent, .tup and .pointer. The paper starts from UniLM; this
recipe has its hyper-parameters but no pretrained weights, so expect far less than its .863 F1.

`configs/nyt24.py:reduced` is for two CPU cores and for those who have only the dev split: it trains
a small model on dev without its last 500 sentences and validates on these. RESULTS.md says what
came of it; never compare that with numbers on the official splits.
"""

from grel import config as config_lib


def get_config(variant=""):
    config = config_lib.get_config()
    config.data.name = "nyt24"
    config.model.dtype = "bfloat16"
    if config_lib.has_variant(variant, "reduced"):
        config_lib.train_small_from_scratch(config)
        config.data.variant = "reduced"
    return config
