"""Recurrent layers as loops in numpy, over one row without its padding at a time.

They are the definitions that `grel.models.recurrent` and what is built of it are held against, and
share with them the names of the parameters alone.
"""

import jax
import numpy as np


def as_numpy(params):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(params, inputs, carry=None, forget_bias=0.0):
    """(c, h) after the inputs of one row, and h after each of them, [inputs, D]."""
    p = as_numpy(params)
    size = len(p["bias"]) // 4
    (c, h), outputs = np.zeros((2, size)) if carry is None else carry, []
    for x in inputs:
        i, f, g, o = np.split(np.concatenate([x, h]) @ p["kernel"] + p["bias"], 4)
        c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return (c, h), np.array(outputs).reshape(-1, size)


def bilstm(params, inputs):
    """The outputs of both directions side by side."""
    _, ahead = lstm(params["forward"], inputs)
    _, back = lstm(params["backward"], inputs[::-1])
    return np.concatenate([ahead, back[::-1]], axis=-1)


def attention(params, query, outputs):
    """Additive attention: context and weights."""
    p = as_numpy(params)
    asked = query @ p["query"]["kernel"] + p["query"]["bias"]
    scores = [
        np.tanh(o @ p["key"]["kernel"] + asked) @ p["score"]["kernel"][:, 0] + p["score"]["bias"][0]
        for o in outputs
    ]
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ outputs, weights


def embed(table, i):
    """A row of a table; padding is zeros, whatever its row is."""
    return np.asarray(table["embedding"], np.float64)[i] * (i != 0)


def word_encoder(params, words, chars):
    """Outputs of the word encoder; the sequence of characters is built and slid over."""
    p = as_numpy(params["filters"])
    sequence = [0, 0]
    for of_word in chars:
        sequence += [*of_word, 0, 0]
    vectors = [embed(params["chars"], i) for i in sequence]
    step = len(chars[0]) + 2 if len(chars) else 0
    inputs = []
    for n, word in enumerate(words):
        filtered = [
            sum(vectors[at + k] @ p["kernel"][k] for k in range(3)) + p["bias"]
            for at in range(n * step, (n + 1) * step)
        ]
        features = np.tanh(np.max(filtered, axis=0))
        inputs.append(np.concatenate([embed(params["words"], word), features]))
    return bilstm(params["layers"], inputs)
