"""CopyRE and CopyMTL, sentence by sentence and number by number; what a batch has to agree with."""

import math

import numpy as np

from tests.models import literal
from tests.models.literal import dense, mixture, selu, softmax

STOP = -1


def read_both_ways(weights, vectors, forget_bias):
    """Outputs of both directions side by side, and the mean of their last states."""
    (ahead, back), outputs = literal.bilstm(weights, vectors, forget_bias)
    return outputs, tuple((a + b) / 2 for a, b in zip(ahead, back, strict=True))


def select(tree, n):
    return {k: select(v, n) if isinstance(v, dict) else v[n] for k, v in tree.items()}


def copyre(config, params, words, length, gold=None):
    """What is chosen for one sentence: rows of three choices, and of three probabilities.

    The probabilities are those of `gold`, where it is given.
    """
    authors = config.quirks == "authors"
    encoder = params["encoder"]
    vectors = [encoder["words"]["embedding"][word] for word in words]
    read = len(words) if authors else length
    outputs, state = read_both_ways(encoder["layers"], vectors[:read], forget_bias=1)

    def step(w, v, state):
        query = state[0] if authors else state[1]
        beta = [selu(dense(w["attention"], np.concatenate([o, query])))[0] for o in outputs]
        context = mixture(softmax(beta), outputs, 2 * config.features)
        context = context / len(words) if authors else context
        u = dense(w["combine"], np.concatenate([v, context]))
        state, _ = literal.lstm(w["cell"], [u], state, forget_bias=1)
        y = state[1]
        relations = selu(dense(w["relation"], y)) + w["relation_bias"]
        stop = selu(dense(w["stop"], y)) + w["stop_bias"]
        copies = [selu(dense(w["copy"], np.concatenate([o, y])))[0] for o in outputs]
        return state, list(relations), copies, float(stop[0])

    return _choose(config, params, vectors, state, step, gold, copymtl=False)


def copymtl(config, params, words, length, gold=None):
    """As `copyre`; and the outputs of the encoder, which the tagger goes by."""
    authors = config.quirks == "authors"
    encoder = params["encoder"]
    vectors = [encoder["words"]["embedding"][word] for word in words]
    outputs, state = read_both_ways(encoder["layers"], vectors[:length], forget_bias=0)
    outputs = [(o[: config.features] + o[config.features :]) / 2 for o in outputs]
    seen = outputs
    if authors:
        seen = outputs + [np.zeros(config.features)] * (len(words) - length)

    def step(w, v, state):
        beta = [dense(w["attention"], np.concatenate([o, state[1]]))[0] for o in seen]
        context = mixture(softmax(beta), seen, config.features)
        u = dense(w["combine"], np.concatenate([v, context]))
        state, _ = literal.lstm(w["cell"], [u], state)
        y = state[1]
        copies = []
        for o in seen:
            inner = dense(w["fuse"], selu(np.concatenate([o, y])))
            copies.append(dense(w["copy"], selu(inner))[0])
        return state, list(dense(w["relation"], y)), copies, float(dense(w["stop"], y)[0])

    choices, probabilities = _choose(
        config, params, vectors, state, step, gold, copymtl=True, choosable=length
    )
    return choices, probabilities, outputs


def _choose(config, params, vectors, state, step, gold, *, copymtl, choosable=None):
    authors = config.quirks == "authors"
    encoder = params["encoder"]
    start = state
    last = (0 * state[0], 0 * state[1])
    v = encoder["go"][0]
    choices, probabilities = [], []
    for n in range(config.num_triples):
        w = dict(params.get("decoder", {}))
        w.update(select(params.get("decoders", {}), n))
        if config.decoder == "multi":
            if n > 0 or authors:
                state = ((start[0] + last[0]) / 2, (start[1] + last[1]) / 2)
            if not copymtl:
                v = encoder["go"][0]
        triple, of_triple, head = [], [], STOP
        for part in range(3):
            state, relations, copies, stop = step(w, v, state)
            if part == 2 and not copymtl and head != STOP:
                copies[head] = 0 if authors else -math.inf
            scores = [*(relations if part == 0 else copies), stop]
            allowed = range(len(scores))
            if part and choosable is not None:
                allowed = [*range(choosable), len(copies)]
            best = max(allowed, key=lambda i: scores[i])
            choice = STOP if best == len(scores) - 1 else best
            fed = gold[n][part] if gold is not None and config.teacher_forcing == "on" else choice
            if part == 1:
                head = fed
            asked = choice if gold is None else gold[n][part]
            triple.append(choice)
            of_triple.append(softmax(scores)[asked])
            if fed == STOP:
                v = encoder["relations"][-1] if part == 0 else encoder["stop"][0]
            else:
                v = encoder["relations"][fed] if part == 0 else vectors[fed]
        last = state
        choices.append(triple)
        probabilities.append(of_triple)
    return choices, probabilities
