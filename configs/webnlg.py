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
    config.eval.split = "validation"
    config.model.dtype = "bfloat16"
    if config_lib.has_variant(variant, "small"):
        config_lib.train_small_from_scratch(config)
    return config
