"""Layers as loops in NumPy, over one row without its padding, one position at a time.

They are the definitions that the networks of `grel.models` are held against, each of them written
once, and share with the networks the names of the parameters alone. `params` are trees of
`as_numpy`; a sentence is its words' vectors, and may have none.
"""

import itertools

import jax
import numpy as np


def as_numpy(params):
    """Parameters as the layers take them, in double precision."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def selu(x):
    return 1.0507009873554805 * np.where(x >= 0, x, 1.6732632423543772 * (np.exp(x) - 1))


def softmax(scores):
    """Probabilities in proportion to exp(score); of no scores none."""
    powers = np.exp(np.array(scores) - max(scores, default=0))
    return powers / powers.sum()


def mixture(weights, vectors, size):
    """The sum of vectors of this size, each by its weight; zeros where there is none."""
    total = np.zeros(size)
    for weight, vector in zip(weights, vectors, strict=True):
        total = total + weight * vector
    return total


def dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def embed(table, i):
    """A row of a table; padding is zeros, whatever its row is."""
    return table["embedding"][i] * (i != 0)


def lstm(params, inputs, carry=None, forget_bias=0.0):
    """(c, h) after the inputs of one row, and h after each of them, [inputs, D]."""
    size = len(params["bias"]) // 4
    (c, h), outputs = np.zeros((2, size)) if carry is None else carry, []
    for x in inputs:
        i, f, g, o = np.split(dense(params, np.concatenate([x, h])), 4)
        c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return (c, h), np.array(outputs).reshape(-1, size)


def bilstm(params, inputs, forget_bias=0.0):
    """(c, h) after the inputs in either direction, and outputs, those of both side by side."""
    ahead, outputs = lstm(params["forward"], inputs, forget_bias=forget_bias)
    back, reversed_outputs = lstm(params["backward"], inputs[::-1], forget_bias=forget_bias)
    return (ahead, back), np.concatenate([outputs, reversed_outputs[::-1]], axis=-1)


def additive_attention(params, query, outputs):
    """v . tanh(U o + W q + b) + b_v for each output: the context and the weights."""
    scores = []
    for output in outputs:
        asked = dense(params["key"], output) + dense(params["query"], query)
        scores.append(dense(params["score"], np.tanh(asked))[0])
    weights = softmax(scores)
    return mixture(weights, outputs, len(query)), weights


def dot_attention(query, keys, values, biases=None):
    """The values by a softmax of q . k / sqrt(size), with what is added to each."""
    scores = np.array([query @ key / np.sqrt(len(query)) for key in keys])
    weights = softmax(scores if biases is None else scores + biases)
    return mixture(weights, values, len(values[0]))


def convolution(params, vectors):
    """What a filter says of each window of its width, of which none reaches beyond the ends."""
    width = len(params["kernel"])
    filtered = []
    for start in range(len(vectors) - width + 1):
        parts = [vectors[start + k] @ params["kernel"][k] for k in range(width)]
        filtered.append(sum(parts) + params["bias"])
    return np.array(filtered)


def word_encoder(params, words, chars):
    """Outputs for one sentence; the characters of each word stand by themselves in padding."""
    inputs = []
    for word, of_word in zip(words, chars, strict=True):
        vectors = [embed(params["chars"], i) for i in [0, 0, *of_word, 0, 0]]
        of_chars = np.tanh(np.max(convolution(params["filters"], vectors), axis=0))
        inputs.append(np.concatenate([embed(params["words"], word), of_chars]))
    return bilstm(params["layers"], inputs)[1]


def tag_scores(params, emissions):
    """The score that a conditional random field gives each tag sequence, by the sequence."""
    scores = {}
    for tags in itertools.product(range(len(params["start"])), repeat=len(emissions)):
        score = params["start"][tags[0]] + params["end"][tags[-1]] if tags else 0.0
        for emission, tag in zip(emissions, tags, strict=True):
            score += emission[tag]
        for tag, following in itertools.pairwise(tags):
            score += params["transition"][tag, following]
        scores[tags] = float(score)
    return scores
