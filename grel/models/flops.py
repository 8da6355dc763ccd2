"""Operations that BERT's matrix products take, by formula: 2abc for one of [a, b] and [b, c].

They are those that the result needs, whatever an implementation does beyond that: padding and rows
that have ended are not counted, nor what is computed a second time. What is no product of matrices
(softmax, norms, the optimizer) is left out, as is the label head, of three columns.
"""

from __future__ import annotations

from grel.models import bert


def _layers(config: bert.Config, num_tokens: float, num_keys: float, num_layers: int) -> float:
    """Of layers over tokens that attend to so many keys each."""
    projections = config.hidden_size * (4 * config.hidden_size + 2 * config.ff_size)
    attention = 2 * num_keys * config.hidden_size
    return 2 * num_tokens * num_layers * (projections + attention)


def _head(config: bert.Config, num_predicted: float, num_places: float) -> float:
    """Of the token logits; those of a head that points are of the places of a source."""
    width = config.hidden_size
    if config.head == "vocabulary":
        return 2 * num_predicted * width * (width + config.vocab_size)
    transforms = 2 * width  # of the bilinear product's query and of the vocabulary's head
    scores = 2 * num_places + len(config.writable_ids)
    return 2 * num_predicted * width * (transforms + scores)


def _keys_of_places(config: bert.Config, num_places: float) -> float:
    """Of what a head that points compares its queries with."""
    return 2 * num_places * config.hidden_size**2 if config.head == "pointer" else 0


def train_step(
    config: bert.Config, num_rows: int, length: int, num_predicted: float, num_twins: int = 0
) -> float:
    """Of rows of `length` with `num_predicted` predicted positions; backward is twice forward.

    Twins are positions behind a row, in the "pseudo" objective.
    """
    with_twins = length + num_twins
    layers = _layers(config, num_rows * with_twins, with_twins, config.num_layers)
    head = _head(config, num_rows * num_predicted, length)
    return 3 * (layers + head + _keys_of_places(config, num_rows * length))


def decode(config: bert.Config, num_sources: int, source: float, written: float) -> float:
    """Of greedy decoding with cached keys and values.

    Args:
        num_sources: how many are read.
        source: mean length of one, with [CLS] and [SEP].
        written: mean number of tokens that are written for one, the end token included.
    """
    reads = num_sources * source
    read = _keys_of_places(config, reads)
    if config.head == "pointer":
        read += _layers(config, reads, source, config.num_layers)
    else:  # of the last layer only keys and values are needed
        read += _layers(config, reads, source, config.num_layers - 1)
        read += 2 * reads * 2 * config.hidden_size**2
    num_fed = 1 if config.objective == "causal" else 2  # [MASK] too
    num_tokens = num_sources * written
    steps = _layers(config, num_tokens * num_fed, source + written / 2, config.num_layers)
    return read + steps + _head(config, num_tokens, source)
