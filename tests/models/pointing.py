"""Layers in numpy, one position and one row at a time, for the systems that point at words."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def lstm_step(params, c, h, x, forget_bias=0.0):
    gates = np.concatenate([x, h]) @ params["kernel"] + params["bias"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(g)
    return c, sigmoid(o) * np.tanh(c)


def lstm(params, xs, forget_bias=0.0):
    """The last c, and all outputs."""
    c = h = np.zeros(params["kernel"].shape[1] // 4)
    outputs = []
    for x in xs:
        c, h = lstm_step(params, c, h, x, forget_bias)
        outputs.append(h)
    return c, outputs


def bilstm(params, xs):
    _, ahead = lstm(params["forward"], xs)
    _, back = lstm(params["backward"], xs[::-1])
    return [np.concatenate(both) for both in zip(ahead, back[::-1], strict=True)]


def attention(params, query, outputs):
    scores = [
        dense(params["score"], np.tanh(dense(params["key"], o) + dense(params["query"], query)))[0]
        for o in outputs
    ]
    return sum(w * o for w, o in zip(softmax(np.array(scores)), outputs, strict=True))


def size(shapes):
    """Parameters in a tree of shapes."""
    return sum(size(v) if isinstance(v, dict) else int(np.prod(v.shape)) for v in shapes.values())
