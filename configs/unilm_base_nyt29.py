"""NYT29 from UniLM base, with the paper's hyper-parameters.

    python -m grel.main --mode=train --config=configs/unilm_base_nyt29.py \\
        --workdir=runs/unilm_base_nyt29 --config.data.manual_dir=DIR

DIR holds train, dev and test, each as .sent, .tup and .pointer; weights/ holds
unilm1-base-cased.bin and unilm1-base-cased-vocab.txt, as Microsoft published them.

The paper, which names base and describes large, reports .691 F1 on the test split. It was not to
be repeated here: the weights were not at hand, and the recipe was tried with random ones.
"""

from grel import config as config_lib


def get_config():
    config = config_lib.get_config()
    config.data.name = "nyt29"
    config_lib.start_from_unilm(config, "base")
    return config
