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
    if variant == "reduced":
        config_lib.train_small_from_scratch(config)
        config.data.variant = "reduced"
        config.data.buckets = (64, 96, 128, 192, 256)
        config.tokenizer.vocab_size = 4000
        config.model.dtype = "float32"
        config.model.hidden_size = 192
        config.model.num_heads = 6
        config.model.ff_size = 768
        config.train.learning_rate = 2e-3
        config.train.num_epochs = 30.0
        config.train.eval_every = 500
    elif variant:
        raise config_lib.ConfigError(f"there is no variant {variant!r}; leave it out, or: reduced")
    return config
