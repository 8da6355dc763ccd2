"""CopyRE and CopyMTL, sentence by sentence and number by number; what a batch has to agree with."""

import math

import numpy as np

STOP = -1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def selu(x):
    return 1.0507009873554805 * np.where(x >= 0, x, 1.6732632423543772 * (np.exp(x) - 1))


def softmax(scores):
    powers = np.exp(np.array(scores) - max(scores))
    return powers / powers.sum()


def lstm(weights, x, state, forget_bias):
    c, h = state
    gates = np.concatenate([x, h]) @ weights["kernel"] + weights["bias"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(g)
    return c, sigmoid(o) * np.tanh(c)


def read_both_ways(weights, vectors, features, forget_bias):
    """Outputs of both directions by position, and the mean of their last states."""
    zero = (np.zeros(features), np.zeros(features))
    ahead, back = [zero], [zero]
    for vector in vectors:
        ahead.append(lstm(weights["forward"], vector, ahead[-1], forget_bias))
    for vector in vectors[::-1]:
        back.append(lstm(weights["backward"], vector, back[-1], forget_bias))
    outputs = [(a[1], b[1]) for a, b in zip(ahead[1:], back[:0:-1], strict=True)]
    state = tuple((a + b) / 2 for a, b in zip(ahead[-1], back[-1], strict=True))
    return outputs, state


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
    outputs, state = read_both_ways(encoder["layers"], vectors[:read], config.features, 1)
    outputs = [np.concatenate(both) for both in outputs]

    def step(w, v, state):
        query = state[0] if authors else state[1]
        beta = [selu(np.concatenate([o, query]) @ w["attention"]["kernel"]) for o in outputs]
        context = np.zeros(2 * config.features)
        if outputs:
            weights = softmax([float(b[0]) for b in beta])
            context = sum(p * o for p, o in zip(weights, outputs, strict=True))
        context = context / len(words) if authors else context
        u = np.concatenate([v, context]) @ w["combine"]["kernel"]
        state = lstm(w["cell"], u, state, 1)
        y = state[1]
        relations = selu(y @ w["relation"]["kernel"]) + w["relation_bias"]
        stop = selu(y @ w["stop"]["kernel"]) + w["stop_bias"]
        copies = [selu(np.concatenate([o, y]) @ w["copy"]["kernel"])[0] for o in outputs]
        return state, list(relations), copies, float(stop[0])

    return _choose(config, params, vectors, state, step, gold, copymtl=False)


def copymtl(config, params, words, length, gold=None):
    """As `copyre`; and the outputs of the encoder, which the tagger goes by."""
    authors = config.quirks == "authors"
    encoder = params["encoder"]
    vectors = [encoder["words"]["embedding"][word] for word in words]
    outputs, state = read_both_ways(encoder["layers"], vectors[:length], config.features, 0)
    outputs = [(a + b) / 2 for a, b in outputs]
    seen = outputs
    if authors:
        seen = outputs + [np.zeros(config.features)] * (len(words) - length)

    def linear(weights, x):
        return x @ weights["kernel"] + weights["bias"]

    def step(w, v, state):
        beta = [float(linear(w["attention"], np.concatenate([o, state[1]]))[0]) for o in seen]
        context = np.zeros(config.features)
        if seen:
            context = sum(p * o for p, o in zip(softmax(beta), seen, strict=True))
        state = lstm(w["cell"], linear(w["combine"], np.concatenate([v, context])), state, 0)
        y = state[1]
        copies = []
        for o in seen:
            inner = linear(w["fuse"], selu(np.concatenate([o, y])))
            copies.append(float(linear(w["copy"], selu(inner))[0]))
        return state, list(linear(w["relation"], y)), copies, float(linear(w["stop"], y)[0])

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
