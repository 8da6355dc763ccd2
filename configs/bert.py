"""The paper's model from scratch, on a public corpus or your own.

    python -m grel.main --mode=train --config=configs/bert.py:nyt24 --workdir=runs/nyt24 \\
        --config.data.manual_dir=DIR

The argument is the corpus: `:nyt24` (which it is without one), `:nyt24-reduced`, `:nyt29`,
`:nyt29-reduced`, `:webnlg`, or `:jsonl`, your own. `-small` behind it makes a model that two CPU
cores train: `:nyt24-reduced-small`, `:nyt29-reduced-small`, `:webnlg-small`, `:jsonl-small`.

For NYT24 and NYT29, DIR holds train, dev and test, each as .sent, .tup and .pointer. The paper
starts from UniLM; this recipe has its hyper-parameters but no pretrained weights, so expect far
less than its .863 and .691 F1. The reduced corpora are for those who have only the dev split: they
train on dev without its last 500 sentences, and validate on these. RESULTS.md says what came of it;
never compare that with numbers on the official splits.

For WebNLG, DIR holds train_triples.json and val_triples.json (and test_triples.json, if you have
it) in the format of CasRel. Its 216 relations are single reserved tokens.

For your own, DIR holds train.jsonl, validation.jsonl and test.jsonl; the relations are those that
occur in them. `python -m grel.convert --help` lists the formats that such files are made from.
"""

from grel import config as config_lib


def get_config(corpus="nyt24"):
    config = config_lib.get_config()
    config_lib.set_corpus(config, corpus.removesuffix("-small"))
    config.model.dtype = "bfloat16"
    if config.data.name == "webnlg":
        config.tokenizer.relation_as = "token"
        config.eval.split = "validation"
    if corpus.endswith("-small"):
        config_lib.train_small_from_scratch(config)
    return config
