"""NYT24 from UniLM large: the paper's system, with its hyper-parameters.

    python -m grel.main --mode=train --config=configs/unilm_large_nyt24.py \\
        --workdir=runs/unilm_large_nyt24 --config.data.manual_dir=DIR

DIR holds train, dev and test, each as .sent, .tup and .pointer; weights/ holds
unilm1-large-cased.bin and unilm1-large-cased-vocab.txt, as Microsoft published them.

The paper reports .863 F1 on the test split. It was not to be repeated here: the weights
were not at hand, and the recipe was tried with random ones of the same shape.
"""

from grel import config as config_lib


def get_config():
    config = config_lib.get_config()
    config.data.name = "nyt24"
    config_lib.start_from_unilm(config, "large")
    return config
