"""UniLM v1 in numpy, written from its published code and sharing nothing with grel's models."""

import math

import numpy as np

HEAD = "cls.predictions."


def random_checkpoint(config, seed=0, stddev=0.4):
    """Random tensors in UniLM's layout, by default large enough that every one of them shows."""
    rng = np.random.default_rng(seed)
    d, f = config.hidden_size, config.ff_size
    tensors = {}

    def put(name, *shape):
        mean = np.float32(name.endswith("LayerNorm.weight"))
        tensors[name] = mean + np.float32(stddev) * rng.standard_normal(shape, np.float32)

    def put_dense(name, outputs, inputs):
        put(f"{name}.weight", outputs, inputs)
        put(f"{name}.bias", outputs)

    def put_norm(name):
        put(f"{name}.weight", d)
        put(f"{name}.bias", d)

    for table, rows in (
        ("word", config.vocab_size),
        ("position", config.max_positions),
        ("token_type", config.num_segments),
    ):
        put(f"bert.embeddings.{table}_embeddings.weight", rows, d)
    put_norm("bert.embeddings.LayerNorm")
    for n in range(config.num_layers):
        layer = f"bert.encoder.layer.{n}"
        for projection in ("query", "key", "value"):
            put_dense(f"{layer}.attention.self.{projection}", d, d)
        put_dense(f"{layer}.attention.output.dense", d, d)
        put_norm(f"{layer}.attention.output.LayerNorm")
        put_dense(f"{layer}.intermediate.dense", f, d)
        put_dense(f"{layer}.output.dense", d, f)
        put_norm(f"{layer}.output.LayerNorm")
    put_dense("bert.pooler.dense", d, d)
    put_dense(HEAD + "transform.dense", d, d)
    put_norm(HEAD + "transform.LayerNorm")
    put(HEAD + "bias", config.vocab_size)
    tensors[HEAD + "decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    put_dense("cls.seq_relationship", 2, d)
    return tensors


def _gelu(x):
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def logits(tensors, source_ids, target_ids, *, num_layers, num_heads, segments, eps):
    """UniLM v1's forward pass over one packed pair, in loops, after its published code."""

    def dense(x, name):
        return x @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    ids = [*source_ids, *target_ids]
    length, num_source = len(ids), len(source_ids)
    table = "bert.embeddings.{}_embeddings.weight"
    hidden = np.array(
        [
            tensors[table.format("word")][token].astype(np.float64)
            + tensors[table.format("position")][place]
            + tensors[table.format("token_type")][segments[place >= num_source]]
            for place, token in enumerate(ids)
        ]
    )
    hidden = norm(hidden, "bert.embeddings.LayerNorm")
    mask = np.zeros((length, length))
    for query in range(length):
        for key in range(length):
            if key >= num_source and key > query:
                mask[query, key] = -10000.0
    for n in range(num_layers):
        layer = f"bert.encoder.layer.{n}"
        query, key, value = (
            dense(hidden, f"{layer}.attention.self.{p}") for p in ("query", "key", "value")
        )
        size = hidden.shape[1] // num_heads
        context = np.zeros_like(hidden)
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size) + mask
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            context[:, part] = weights / weights.sum(-1, keepdims=True) @ value[:, part]
        hidden = norm(
            dense(context, f"{layer}.attention.output.dense") + hidden,
            f"{layer}.attention.output.LayerNorm",
        )
        inner = _gelu(dense(hidden, f"{layer}.intermediate.dense"))
        hidden = norm(dense(inner, f"{layer}.output.dense") + hidden, f"{layer}.output.LayerNorm")
    transformed = norm(_gelu(dense(hidden, HEAD + "transform.dense")), HEAD + "transform.LayerNorm")
    return transformed @ tensors[HEAD + "decoder.weight"].T + tensors[HEAD + "bias"]
