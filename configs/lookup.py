"""The look-up: known triples of the training split, no model; the floor of every corpus.

    python -m grel.main --mode=train --config=configs/lookup.py:nyt24-reduced \\
        --workdir=runs/lookup --config.data.manual_dir=DIR

It is fitted in seconds, and evaluated, extracted with and tabled like any other run. The argument
is the corpus: `:nyt24`, `:nyt24-reduced`, `:nyt29`, `:nyt29-reduced`, `:webnlg`, `:synthetic` or
`:jsonl`, which it is without one. On the validation split of `:nyt24-reduced` it scores .783 F1,
and 0 on triples not seen in training, as it must.
"""

from grel import config as config_lib


def get_config(corpus="jsonl"):
    config = config_lib.get_config("lookup")
    config_lib.set_corpus(config, corpus)
    return config
