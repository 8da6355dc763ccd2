"""UniLM v1, cased: the paper's system, with its hyper-parameters.

    python -m grel.main --mode=train --config=configs/unilm.py:large-nyt24 \\
        --workdir=runs/unilm --config.data.manual_dir=DIR

The argument is SIZE-CORPUS: `:base-nyt24`, `:large-nyt24`, `:base-nyt29`, `:large-nyt29`,
`:base-webnlg`, `:base-jsonl`, which it is without one, and so on; corpora are those of
`configs/bert.py`, with their files, and your own. weights/ holds unilm1-SIZE-cased.bin and
unilm1-SIZE-cased-vocab.txt, as Microsoft published them.

The paper, which names base and describes large, reports .863 F1 on the test split of NYT24 and .691
on that of NYT29. It was not to be repeated here: the weights were not at hand, and the recipe was
tried with random ones of the same shape.
"""

from grel import config as config_lib

SIZES = ("base", "large")


def get_config(which="base-jsonl"):
    size, corpus = config_lib.split_argument(which, "SIZE", SIZES)
    config = config_lib.get_config()
    config_lib.set_corpus(config, corpus)
    config.tokenizer.vocab = f"weights/unilm1-{size}-cased-vocab.txt"
    config.tokenizer.vocab_size = 28996
    config.model.size = size
    config.model.init_from = f"weights/unilm1-{size}-cased.bin"
    config.model.segments = "unilm"
    config.model.layer_norm_eps = 1e-5
    config.model.dtype = "bfloat16"
    return config
