"""A Transformers folder: encoder and heads as PyTorch keeps them, for `BertModel` and others.

Names are those that checkpoints are read by (`grel.pretrained.naming`), so that a run can start
from what was written here, and is then where the exported one was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util
from transformers import BertConfig

from grel.exports.schema import ExportError, write_schema
from grel.families.bert import System
from grel.models import bert
from grel.pretrained import naming


def write(folder: Path, system: System, params: Any) -> None:
    """Writes weights, config.json, tokenizer and schema into a folder.

    Args:
        folder: a new one.
        system: of the run; params: its parameters on the host.

    Raises ExportError where no BertModel computes what the run does.
    """
    if system.model.relative_buckets:
        raise ExportError(
            "the run attends by distances (config.model.relative_buckets), which no BertModel "
            "does; use --to=stablehlo"
        )
    flat = traverse_util.flatten_dict(params, sep="/")
    tensors = {
        _prefixed(name): np.ascontiguousarray(array) for name, array in naming.to_theirs(flat)
    }
    weights = safetensors.numpy.save(tensors, {"format": "pt"})
    (folder / "model.safetensors").write_bytes(weights)
    config = _config(system.model, system.wordpiece.pad_id)
    (folder / "config.json").write_bytes(config.to_json_string().encode())
    write_schema(folder, system)


def _prefixed(name: str) -> str:
    """The encoder's tensors as those of a model with a head, which has it under `bert.`."""
    return name if name.startswith((naming.HEAD, naming.OWN)) else f"bert.{name}"


def _config(model: bert.Config, pad_id: int) -> BertConfig:
    fields: dict[str, Any] = {
        **{theirs: getattr(model, ours) for theirs, ours in naming.CONFIG.items()},
        **naming.CONSTANTS,
        "architectures": ["BertForMaskedLM"],
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_positions,
        "type_vocab_size": model.num_segments,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": model.attention_dropout,
        "initializer_range": model.init_stddev,
        "pad_token_id": pad_id,
        "dtype": "float32",
    }
    return BertConfig(**fields)
