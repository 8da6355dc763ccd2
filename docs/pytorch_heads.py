"""The heads of what `python -m grel.export --to=hf` wrote, in PyTorch: logits of packed pairs.

Needs torch, transformers and safetensors, and nothing of grel.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.functional import gelu, layer_norm, linear
from transformers import BertModel


def load(folder):
    """(encoder, all tensors by name, grel.json)."""
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    schema = json.loads((Path(folder) / "grel.json").read_text(encoding="utf-8"))
    return encoder, load_file(Path(folder) / "model.safetensors"), schema


def seq2seq_mask(source_length, length, size):
    """UniLM's, [batch, query, key], of `[CLS] source [SEP] target [SEP] padding`: True sees.

    `source_length` counts `[CLS] source [SEP]`, `length` all but the padding.
    """
    place = torch.arange(size)
    in_source = place < source_length[:, None]
    causal = place <= place[:, None]
    allow = in_source[:, None, :] | (~in_source[:, :, None] & causal)
    return allow & (place < length[:, None])[:, None, :]


@torch.no_grad()
def logits(model, tokens, source_length, length):
    """Token logits and BIO logits at every position.

    Tokens are the vocabulary's; of a model that points, those of all places (-inf where nothing can
    be taken) and behind them of `writable_ids`. A "causal" model predicts what comes next, others
    what stands where [MASK] was fed.
    """
    encoder, tensors, schema = model
    size, width = tokens.shape[1], encoder.config.hidden_size
    in_source = torch.arange(size) < source_length[:, None]
    segments = schema["segments"]
    mask = seq2seq_mask(source_length, length, size)
    hidden = encoder(
        tokens,
        # Transformers takes a mask over pairs as one to add, with an axis for the heads.
        attention_mask=(~mask[:, None]) * torch.finfo(torch.float32).min,
        token_type_ids=torch.where(in_source, segments["source"], segments["target"]),
    ).last_hidden_state

    def dense(name, x):
        return linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    bio = dense("grel.bio", hidden)
    norm = "cls.predictions.transform.LayerNorm"
    transformed = layer_norm(
        gelu(dense("cls.predictions.transform.dense", hidden)),
        (width,),
        tensors[f"{norm}.weight"],
        tensors[f"{norm}.bias"],
        encoder.config.layer_norm_eps,
    )
    words = tensors["bert.embeddings.word_embeddings.weight"]
    bias = tensors["cls.predictions.bias"]
    if schema["head"] == "vocabulary":
        return transformed @ words.T + bias, bio
    place = torch.arange(size)
    inside = (place > 0) & (place < source_length[:, None] - 1)
    query = dense("grel.pointer_query", hidden) * width**-0.5
    places = query @ dense("grel.pointer_key", hidden).mT + transformed @ words[tokens].mT
    places += torch.where(inside, bias[tokens], -torch.inf)[:, None]
    writable = schema["writable_ids"]
    others = transformed @ words[writable].T + bias[writable]
    return torch.cat([places, others], dim=-1), bio
