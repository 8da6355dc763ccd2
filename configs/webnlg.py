"""WebNLG with full entity names, from scratch.

    python -m grel.main --mode=train --config=configs/webnlg.py --workdir=runs/webnlg \\
        --config.data.manual_dir=DIR

DIR holds train_triples.json and val_triples.json (and test_triples.json, if you have it) in the
format of CasRel. Its 216 relations are single reserved tokens.

`configs/webnlg.py:small` trains a small model on two CPU cores.
"""

from grel import config as config_lib


def get_config(variant=""):
    config = config_lib.get_config()
    config.data.name = "webnlg"
    config.tokenizer.relation_as = "token"
    config.model.dtype = "bfloat16"
    config.eval.split = "validation"
    if variant == "small":
        config_lib.train_small_from_scratch(config)
        config.tokenizer.vocab_size = 4000
        config.model.dtype = "float32"
        config.train.num_epochs = 40.0
    elif variant:
        raise config_lib.ConfigError(f"there is no variant {variant!r}; leave it out, or: small")
    return config
