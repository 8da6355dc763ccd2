"""MrMep: classifiers and decoder against numpy, its loss and quirks, and what is read of it."""

import dataclasses
import functools
import math

import jax
import numpy as np
import optax
import pytest

from grel.decoding.pointers import Found
from grel.models import mrmep
from tests.models import literal

TINY = mrmep.Config(
    num_words=40,
    num_relations=3,
    word_features=5,
    features=16,
    num_heads=2,
    num_pairs=2,
    max_span=3,
    max_words=11,
)
PARA = dataclasses.replace(TINY, decoder="para")
AUTHORS = dataclasses.replace(TINY, quirks="authors")
BOTH = [pytest.param(TINY, id="paper"), pytest.param(AUTHORS, id="authors", marks=pytest.mark.slow)]
MASK_KEY = jax.random.PRNGKey(0)
# Of each row: the sentence, its relation, all relations of the sentence, four pointers a pair.
ROWS = [
    (0, 2, [0, 2], [(0, 1, 4, 5), (3, 3, 5, 7)]),
    (0, 0, [0, 2], [(4, 5, 0, 1)]),
    (1, 0, [0], [(0, 0, 0, 0)]),
    (2, -1, [], []),
    (3, 1, [1], [(1, 2, 0, 0)]),
    (4, 1, [0, 1, 2], [(0, 0, 2, 2), (0, 0, 4, 4)]),
    (4, 0, [0, 1, 2], [(3, 5, 1, 1)]),
    (4, 2, [0, 1, 2], [(3, 5, 0, 0), (0, 0, 3, 5)]),
]
LENGTH_X = np.array([8, 1, 0, 4, 6])
LENGTH_B = LENGTH_X[[row[0] for row in ROWS]]
REAL_ROWS = np.flatnonzero(LENGTH_B)


def _params(config):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: mrmep.init(config, jax.random.PRNGKey(0)))
    return jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def params():
    return _params(TINY)


@pytest.fixture(scope="module")
def batch():
    words_XS = np.random.default_rng(1).integers(1, 40, (len(LENGTH_X), 8))
    words_XS[np.arange(8)[None] >= LENGTH_X[:, None]] = 0
    holds_BR = np.zeros((len(ROWS), 4), bool)
    pointers_BT4 = np.full((len(ROWS), 2, 4), -1)
    for b, (_, _, relations, pairs) in enumerate(ROWS):
        holds_BR[b, np.array(relations, int) + mrmep.FIRST] = True
        pointers_BT4[b, : len(pairs)] = np.reshape(pairs, (-1, 4))
    return mrmep.Batch(
        words_BS=words_XS[[row[0] for row in ROWS]],
        length_B=LENGTH_B,
        relation_B=np.array([row[1] for row in ROWS]) + mrmep.FIRST,
        holds_BR=holds_BR,
        pointers_BT4=pointers_BT4,
        row_B=np.arange(len(ROWS)),
    )


extract = jax.jit(mrmep.extract, static_argnums=0)
loss = jax.jit(mrmep.loss, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def gradient(config, params, batch):
    """Of the mean loss, and the loss."""

    def mean(params):
        total, count = mrmep.loss(config, params, batch, MASK_KEY)["loss"]
        return total / count

    return jax.value_and_grad(mean)(params)


def _num_padding(config, length):
    """Positions that the authors' pointers see behind the sentence."""
    return config.max_words - length if config.quirks == "authors" else 0


def _row(written, b):
    return jax.tree.map(lambda x: np.asarray(x[b]), written)


def _assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


class Literal:
    """A sentence by the paper, line by line; `num_padding` positions of quirks."""

    def __init__(self, config, params, words, num_padding=0):
        self.config, self.params = config, literal.as_numpy(params)
        params = self.params
        vectors = [np.zeros(config.word_features), *params["words"]["embedding"][words]]
        (self.sentence, _), hidden = literal.lstm(params["encoder"], vectors, forget_bias=1.0)
        blank = np.zeros(config.features)
        filtered = literal.convolution(
            params["filters"], [blank, *hidden, *[blank] * (num_padding + 1)]
        )
        x = np.maximum(np.concatenate([np.max(filtered, axis=0), self.sentence]), 0)
        self.relations, self.holds = [], []
        for k in range(1 + config.num_relations):
            r = x @ params["relation_kernel"][k] + params["relation_bias"][k]
            self.relations.append(r)
            logits = r @ params["holds_kernel"][k] + params["holds_bias"][k]
            self.holds.append(literal.softmax(logits))
        self.seen = [self._norm(h + self._attended(h, hidden)) for h in hidden]
        self.seen += [self._norm(blank)] * num_padding

    def _attended(self, h, hidden):
        size = self.config.features // self.config.num_heads
        heads = []
        for n in range(self.config.num_heads):
            query, key, value = (
                self.params[name]["kernel"][:, n * size : (n + 1) * size]
                for name in ("query", "key", "value")
            )
            keys, values = ([o @ of_head for o in hidden] for of_head in (key, value))
            heads.append(literal.dot_attention(h @ query, keys, values))
        return np.concatenate(heads)

    def _norm(self, x):
        normed = (x - x.mean()) / np.sqrt(x.var() + 1e-8)
        return normed * self.params["norm"]["scale"] + self.params["norm"]["bias"]

    def pointers(self, relation_vector):
        """Probabilities of all pointers, (4 pairs, positions)."""
        params = self.params
        c = q = self.sentence
        probabilities = []
        for _ in range(4 * self.config.num_pairs):
            asked = params["of_state"] * q + params["of_relation"] * relation_vector
            if self.config.decoder == "layer":
                # Its weights are kept turned around.
                W = params["bilinear"]["kernel"].T
                e = [P @ W @ np.tanh(asked) for P in self.seen]
            else:
                e = [
                    params["score"] @ np.tanh(params["of_position"] * P + asked) for P in self.seen
                ]
            p = literal.softmax(e)
            context = literal.mixture(p, self.seen, len(q))
            (c, q), _ = literal.lstm(params["cell"], [context], (c, q), forget_bias=1.0)
            probabilities.append(p)
        return np.array(probabilities)


@functools.partial(jax.jit, static_argnums=0)
def _source(config, params, words_BS, length_B):
    return mrmep.Model(config).apply(
        {"params": params}, words_BS, length_B, method=mrmep.Model.encode
    )


@pytest.mark.parametrize("config", [TINY, PARA, AUTHORS], ids=["layer", "para", "authors"])
def test_classifiers_and_pointers_are_the_equations(config, batch):
    params = _params(config)
    source = _source(config, params, batch.words_BS, LENGTH_B)
    relation_B = np.arange(8) % 4
    relation_BD = source.relations_BRD[np.arange(8), relation_B]
    log_prob_BT4S = jax.jit(mrmep._decode, static_argnums=0)(config, params, source, relation_BD)
    for b in REAL_ROWS:
        n = LENGTH_B[b]
        num_padding = _num_padding(config, n)
        sentence = Literal(config, params, batch.words_BS[b, :n], num_padding)
        np.testing.assert_allclose(np.exp(source.holds_BR2[b]), sentence.holds, atol=1e-5)
        np.testing.assert_allclose(source.relations_BRD[b], sentence.relations, atol=1e-5)
        found = np.exp(log_prob_BT4S[b]).reshape(4 * config.num_pairs, -1)
        expected = sentence.pointers(sentence.relations[relation_B[b]])
        np.testing.assert_allclose(found[:, : 1 + n + num_padding], expected, atol=1e-5)
        assert not found[:, 1 + n + num_padding :].any()


def test_the_size_is_the_formula():
    def size(decoder):
        config = mrmep.Config(num_words=90_761, num_relations=24, decoder=decoder)
        shapes = jax.eval_shape(lambda: mrmep.init(config, jax.random.PRNGKey(0)))
        return sum(x.size for x in jax.tree.leaves(shapes))

    shared = 9_076_100 + 80_400 + 30_100 + 507_550 + 30_200 + 80_400
    assert size("layer") == shared + 10_200
    assert size("para") == shared + 400


def _literal_losses(config, params, batch):
    """Means over rows: of the pointers and of the classifiers."""
    pointer_losses, relation_losses = [], []
    for b in REAL_ROWS:
        n = LENGTH_B[b]
        num_padding = _num_padding(config, n)
        sentence = Literal(config, params, batch.words_BS[b, :n], num_padding)
        relations = sentence.relations
        if config is AUTHORS:
            first = batch.words_BS[0, : LENGTH_B[0]]
            relations = Literal(config, params, first, _num_padding(config, LENGTH_B[0])).relations
        probabilities = sentence.pointers(relations[batch.relation_B[b]])
        # As it is written: a mean over a table of pointers and positions, nearly all of it zero.
        table = np.zeros((4 * config.num_pairs, config.max_words + 1))
        for t, word in enumerate(batch.pointers_BT4[b].ravel()):
            table[t, word + 1] = -(1 if word < 0 else 5) * np.log(probabilities[t, word + 1])
        pointer_losses.append(table.mean())
        gold = batch.holds_BR[b].astype(int)
        relation_losses.append(
            np.mean([-np.log(p[k]) for p, k in zip(sentence.holds, gold, strict=True)])
        )
    return np.mean(pointer_losses), np.mean(relation_losses)


@pytest.mark.parametrize("config", [TINY, AUTHORS], ids=["paper", "authors"])
def test_the_loss_is_its_definition(config, params, batch):
    sums = loss(config, params, batch, MASK_KEY)
    means = {name: float(total / count) for name, (total, count) in sums.items()}
    pointer_loss, relation_loss = _literal_losses(config, params, batch)
    np.testing.assert_allclose(means["pointer_loss"], pointer_loss, rtol=1e-4)
    np.testing.assert_allclose(means["relation_loss"], relation_loss, rtol=1e-4)
    np.testing.assert_allclose(means["loss"], 3 * pointer_loss + relation_loss, rtol=1e-4)
    assert all(float(count) == 7 for _, count in sums.values())


def test_a_stop_costs_a_fifth_of_a_word_of_the_same_probability(params, batch):
    """Where pointers say the same of all eight words and the stop."""
    flat = {**params, "bilinear": {"kernel": np.zeros((16, 16), np.float32)}}

    def pointer_loss(pointer):
        asked = dataclasses.replace(
            batch, pointers_BT4=np.full((8, 2, 4), pointer), length_B=np.full(8, 8)
        )
        total, count = loss(TINY, flat, asked, MASK_KEY)["pointer_loss"]
        return float(total / count)

    # A mean over twelve positions, of which one counts.
    assert pointer_loss(-1) == pytest.approx(math.log(9) / 12)
    assert pointer_loss(3) == pytest.approx(5 * math.log(9) / 12)


@pytest.mark.parametrize("config", BOTH)
def test_a_row_feels_its_own_sentence_only(config, params, batch):
    """And by the quirk the first one of the batch, of which all relation vectors are made."""
    # No word stands in two rows, so that a word's gradient is that of its row.
    words_BS = np.pad(np.arange(1, 33).reshape(8, 4), ((0, 0), (0, 4)))
    pointers_BT4 = np.zeros((8, 2, 4), int)
    other_BT4 = pointers_BT4.copy()
    # What the last row alone is asked for differs.
    other_BT4[7] = 1
    gradients = [
        gradient(
            config,
            params,
            dataclasses.replace(
                batch, words_BS=words_BS, length_B=np.full(8, 4), pointers_BT4=asked_BT4
            ),
        )[1]["words"]["embedding"][1:33].reshape(8, -1)
        for asked_BT4 in (pointers_BT4, other_BT4)
    ]
    feels_B = np.abs(gradients[0] - gradients[1]).max(1) > 1e-6
    assert feels_B.tolist() == [config is AUTHORS, *[False] * 6, True]


def test_parts_of_a_batch_add_up_with_dropout(params, batch):
    key = jax.random.PRNGKey(3)
    whole = loss(TINY, params, batch, MASK_KEY, key)
    plain = loss(TINY, params, batch, MASK_KEY)
    for name in whole:
        assert abs(float(whole[name][0] - plain[name][0])) > 1e-3

    def part(rows):
        """These rows in front, and empty ones behind."""
        moved = jax.tree.map(lambda x: np.roll(x, -rows.start, axis=0), batch)
        empty_B = np.arange(8) >= rows.stop - rows.start
        moved = dataclasses.replace(moved, length_B=np.where(empty_B, 0, moved.length_B))
        return loss(TINY, params, moved, MASK_KEY, key)

    parts = part(slice(0, 3)), part(slice(3, 8))
    assert [float(p["loss"][1]) for p in parts] == [3, 4]
    _assert_close(jax.tree.map(lambda a, b: a + b, *parts), whole)


def test_padding_and_empty_rows_leave_no_trace(params, batch):
    """Whatever stands there, loss and gradients stay."""
    changed = dataclasses.replace(
        batch,
        words_BS=np.where(np.arange(8)[None] >= LENGTH_B[:, None], 7, batch.words_BS),
        holds_BR=np.where(LENGTH_B[:, None] == 0, True, batch.holds_BR),
    )
    expected = gradient(TINY, params, batch)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(expected))
    _assert_close(gradient(TINY, params, changed), expected)


def _favoring_yes(params):
    """So that some relations hold and some do not."""
    return {**params, "holds_bias": params["holds_bias"] + np.array([0, 1.5], np.float32)}


@pytest.mark.parametrize("config", BOTH)
def test_a_sentence_is_the_same_alone_and_padded_otherwise(config, params, batch):
    """Rows of eight positions, and on their own with six."""
    params = _favoring_yes(params)
    together = extract(config, params, batch.words_BS, LENGTH_B)
    for b in (4, 5):
        alone = extract(config, params, batch.words_BS[b : b + 1, :6], LENGTH_B[b : b + 1])
        assert alone.relation_BR.any()
        _assert_close(_row(alone, 0), _row(together, b))
    empty = _row(together, 3)
    assert (empty.pointers_BRT4 == -1).all()
    assert not any(np.any(x) for x in (empty.relation_BR, empty.log_prob_BRT4))
    assert mrmep.read(empty) == []


@pytest.mark.parametrize("config", [TINY, AUTHORS], ids=["paper", "authors"])
def test_extraction_asks_every_relation_that_holds(config, params, batch):
    params = _favoring_yes(params)
    written = extract(config, params, batch.words_BS, LENGTH_B)
    num_relations = []
    for b in REAL_ROWS:
        n = LENGTH_B[b]
        num_padding = _num_padding(config, n)
        sentence = Literal(config, params, batch.words_BS[b, :n], num_padding)
        row = _row(written, b)
        # Class 0 is no relation, whether it "holds" or not.
        holding = [k for k in (1, 2, 3) if sentence.holds[k][1] > sentence.holds[k][0]]
        num_relations.append(len(holding))
        assert row.relation_BR.tolist() == holding + [mrmep.NONE] * (3 - len(holding))
        assert (row.pointers_BRT4[len(holding) :] == -1).all()
        assert not row.log_prob_BRT4[len(holding) :].any()
        for slot, k in enumerate(holding):
            np.testing.assert_allclose(
                row.relation_log_prob_BR[slot], np.log(sentence.holds[k][1]), atol=1e-5
            )
            probabilities = sentence.pointers(sentence.relations[k])
            for number in range(2 * config.num_pairs):
                start, end = probabilities[2 * number : 2 * number + 2]
                # Of all names of three words at most, the stop and no padding included.
                _, i, j = max(
                    (start[i] + end[j], i, j)
                    for i in range(n + 1)
                    for j in (i, i + 1, i + 2)
                    if j <= n
                )
                at = slot, number // 2, slice(2 * (number % 2), 2 * (number % 2) + 2)
                assert row.pointers_BRT4[at].tolist() == [i - 1, j - 1]
                np.testing.assert_allclose(
                    row.log_prob_BRT4[at], np.log([start[i], end[j]]), atol=1e-4
                )
    assert set(num_relations) == {1, 2}


def _extracted(*relations):
    """A row of (class, positions of its pairs), each choice of probability .5."""
    relation_R, positions_RT4 = zip(*relations, strict=True)
    pointers_RT4 = np.array(positions_RT4) - 1
    half = math.log(0.5)
    return mrmep.Extracted(
        np.array(relation_R),
        pointers_RT4,
        np.full(len(relations), half),
        np.full(pointers_RT4.shape, half),
    )


def test_reading_ends_at_a_stop_and_keeps_each_triple_once():
    stop = [0, 0, 0, 0]
    row = _extracted(
        (2, [[1, 2, 5, 5], [1, 2, 5, 5], [0, 3, 4, 4], [6, 6, 7, 7]]),
        (3, [[1, 2, 5, 5], [5, 5, 1, 2], [1, 2, 5, 0], [6, 6, 7, 7]]),
        (mrmep.NONE, [stop] * 4),
    )
    half = pytest.approx(0.5**5)
    assert mrmep.read(row) == [
        Found((0, 2), (4, 5), 1, half),
        Found((0, 2), (4, 5), 2, half),
        Found((4, 5), (0, 2), 2, half),
    ]


@pytest.mark.parametrize("change", [{"quirks": "x"}, {"decoder": "x"}, {"features": 7}])
def test_wrong_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(TINY, **change)


def test_it_learns_a_few_sentences(batch):
    """Of up to three relations with one or two pairs each, to the last of them."""
    optimizer = optax.adam(2e-2)

    @jax.jit
    def update(params, state, gradient):
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params = mrmep.init(TINY, jax.random.PRNGKey(0))
    state = optimizer.init(params)
    for _ in range(100):
        params, state = update(params, state, gradient(TINY, params, batch)[1])
    written = extract(TINY, params, batch.words_BS, LENGTH_B)
    for b, (sentence, *_) in enumerate(ROWS):
        expected = {
            (relation, (i, j + 1), (k, m + 1))
            for other, relation, _, pairs in ROWS
            if other == sentence
            for i, j, k, m in pairs
        }
        found = mrmep.read(_row(written, b))
        assert {(t.relation, t.head, t.tail) for t in found} == expected
