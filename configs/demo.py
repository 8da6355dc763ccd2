"""The main job: a tiny model on the generated corpus, in minutes on two CPU cores.

    bash launch/local.sh

Every test name is made of words that training never saw, so only copying can get them right.
"""

from grel import config as config_lib


def get_config():
    config = config_lib.get_config()
    config_lib.train_small_from_scratch(config)
    config_lib.read_off_the_text(config)
    config.data.name = "synthetic"
    config.data.num_validation = 200
    config.data.buckets = (40, 56, 96, 192)
    config.tokenizer.vocab_size = 500
    config.model.hidden_size = 128
    config.model.num_heads = 4
    config.model.ff_size = 512
    config.model.max_positions = 320
    config.model.dropout = 0.0
    config.model.attention_dropout = 0.0
    config.train.batch_size = 16
    config.train.num_epochs = 1.6
    config.train.ema_decay = 0.99
    config.decoding.max_target = 127
    config.decoding.batch_size = 32
    return config
