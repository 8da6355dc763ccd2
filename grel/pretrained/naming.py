"""The names that BERT's tensors have elsewhere, and the parameters of ours that they are.

One table serves both ways: to read checkpoints (`port`) and to write them (`grel.exports`). What
only grel has, the BIO head and the pointer, has names of its own there, under `grel.`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

# Beside weights that grel wrote: relations, reserved ids, the head; see docs/EXPORT.md.
SCHEMA = "grel.json"


class Row(NamedTuple):
    """A tensor, the parameter that it is, and what is between the two.

    Attributes:
        tensor: its name; `{}` is the layer's number, which our parameters have as their leading
            axis.
        parameter: our path to it.
        num_inputs: PyTorch keeps a kernel as (outputs, inputs), ours has so many input axes first;
            0 is no kernel.
    """

    tensor: str
    parameter: str
    num_inputs: int = 0

    @property
    def per_layer(self) -> bool:
        """Whether there is one for each layer."""
        return "{}" in self.tensor

    @property
    def in_head(self) -> bool:
        """Whether a checkpoint may lack it."""
        return self.tensor.startswith((HEAD, OWN))


def _dense(tensor: str, parameter: str, num_inputs: int = 1) -> list[Row]:
    return [
        Row(f"{tensor}.weight", f"{parameter}/kernel", num_inputs),
        Row(f"{tensor}.bias", f"{parameter}/bias"),
    ]


def _norm(tensor: str, parameter: str) -> list[Row]:
    return [
        Row(f"{tensor}.weight", f"{parameter}/norm/scale"),
        Row(f"{tensor}.bias", f"{parameter}/norm/bias"),
    ]


WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
SEGMENTS = "embeddings.token_type_embeddings.weight"
DISTANCES = "encoder.relative_attention_bias.weight"
HEAD = "cls.predictions."
OWN = "grel."
_LAYER = "encoder.layer.{}."

TABLE = (
    Row(WORDS, "words/embedding"),
    Row(POSITIONS, "positions/embedding"),
    Row(SEGMENTS, "segments/embedding"),
    *_norm("embeddings.LayerNorm", "embedding_norm"),
    Row(DISTANCES, "distances/embedding"),
    *_dense(_LAYER + "attention.self.query", "layers/query"),
    *_dense(_LAYER + "attention.self.key", "layers/key"),
    *_dense(_LAYER + "attention.self.value", "layers/value"),
    *_dense(_LAYER + "attention.output.dense", "layers/attention_out", num_inputs=2),
    *_norm(_LAYER + "attention.output.LayerNorm", "layers/attention_norm"),
    *_dense(_LAYER + "intermediate.dense", "layers/ff_in"),
    *_dense(_LAYER + "output.dense", "layers/ff_out"),
    *_norm(_LAYER + "output.LayerNorm", "layers/ff_norm"),
    *_dense(HEAD + "transform.dense", "transform"),
    *_norm(HEAD + "transform.LayerNorm", "transform_norm"),
    Row(HEAD + "bias", "token_bias"),
    *_dense(OWN + "bio", "bio"),
    *_dense(OWN + "pointer_query", "pointer_query"),
    *_dense(OWN + "pointer_key", "pointer_key"),
)

# Tensors that have no part in a model, and why.
UNUSED = (
    (r"embeddings\.position_ids", "0, 1, 2, ...: not a parameter"),
    (r"pooler\.dense\.(weight|bias)", "for classifying whole sentences"),
    (r"cls\.seq_relationship\.(weight|bias)", "for predicting the next sentence"),
    (r"grel\.pointer_(query|key)\.(weight|bias)", "of a head that points; model.head is another"),
)

# Tensors that are stored twice; a file may hold either or both.
COPIES = {HEAD + "decoder.weight": WORDS, HEAD + "decoder.bias": HEAD + "bias"}

# Fields of a Transformers config.json, and those of our Config that are the same.
CONFIG = {
    "num_hidden_layers": "num_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "intermediate_size": "ff_size",
    "layer_norm_eps": "layer_norm_eps",
}
# The one that MPNet has besides.
MPNET_CONFIG = {"relative_attention_num_buckets": "relative_buckets"}
# What our model is without a field.
CONSTANTS = {"hidden_act": "gelu", "position_embedding_type": "absolute"}


def to_theirs(params: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Names and tensors, of parameters by path; a view of each where that can be."""
    for row in TABLE:
        if row.parameter not in params:
            continue
        array = np.asarray(params[row.parameter])
        for number, of_one in enumerate(array if row.per_layer else array[None]):
            yield row.tensor.format(number), _turned(of_one, row)


def _turned(array: np.ndarray, row: Row) -> np.ndarray:
    """A parameter, of one layer, as PyTorch keeps it."""
    if row.num_inputs:
        return array.reshape(math.prod(array.shape[: row.num_inputs]), -1).T
    return array if row.parameter.endswith("embedding") else array.reshape(-1)
