"""PtDec: its decoder against numpy step by step, padding, its loss, and what is read of it."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grel.decoding.pointers import Found
from grel.models import ptdec
from grel.text.words import WORD_LENGTH
from tests.models import literal

TINY = ptdec.Config(
    num_words=40,
    num_chars=9,
    num_relations=3,
    word_features=5,
    char_features=3,
    num_filters=4,
    features=16,
    relation_features=3,
    num_steps=4,
    max_span=3,
)
AUTHORS = dataclasses.replace(TINY, quirks="authors")
MASK_KEY = jax.random.PRNGKey(0)
LENGTH_B = np.array([8, 1, 0, 6, 8, 7, 5, 6])
REAL_ROWS = np.flatnonzero(LENGTH_B)
# Of each row, relation and four pointers.
TRIPLES_B = [
    [(2, 0, 1, 4, 5), (0, 3, 3, 5, 7), (2, 5, 7, 0, 1)],
    [],
    [],
    [(1, 3, 3, 0, 2)],
    [(1, 7, 7, 6, 6), (1, 6, 6, 7, 7)],
    [(0, 0, 2, 3, 3), (0, 0, 2, 4, 4), (1, 0, 2, 4, 4)],
    [],
    [(2, 1, 1, 5, 5), (0, 2, 4, 5, 5)],
]


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: ptdec.init(TINY, jax.random.PRNGKey(0)))
    return jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes)


def _sentences(length_B, length):
    rng = np.random.default_rng(1)
    words_BS = np.zeros((len(length_B), length), np.int32)
    chars_BSK = np.zeros((len(length_B), length, WORD_LENGTH), np.int32)
    for b, n in enumerate(length_B):
        words_BS[b, :n] = rng.integers(1, TINY.num_words, n)
        for s in range(n):
            k = rng.integers(1, WORD_LENGTH + 1)
            chars_BSK[b, s, :k] = rng.integers(1, TINY.num_chars, k)
    return words_BS, chars_BSK, np.asarray(length_B)


SENTENCES = _sentences(LENGTH_B, 8)


@pytest.fixture(scope="module")
def batch():
    relation_BT = np.zeros((len(LENGTH_B), 4), np.int32)
    pointers_BT4 = np.full((*relation_BT.shape, 4), -1, np.int32)
    for b, triples in enumerate(TRIPLES_B):
        for t, (relation, *pointed) in enumerate(triples):
            relation_BT[b, t] = relation + ptdec.FIRST
            pointers_BT4[b, t] = pointed
        relation_BT[b, len(triples)] = ptdec.NONE if LENGTH_B[b] else ptdec.PAD
    num_triples = sum(map(len, TRIPLES_B))
    return ptdec.Batch(
        *SENTENCES,
        relation_BT=relation_BT,
        pointers_BT4=pointers_BT4,
        steps_per_triple_B=np.full(len(LENGTH_B), (relation_BT > 0).sum() / num_triples),
        row_B=np.arange(len(LENGTH_B)),
    )


def _with_relation_bias(params, bias_R):
    """Of PAD, NONE and the three relations."""
    relation = {**params["relation"], "bias": np.array(bias_R, np.float32)}
    return {**params, "relation": relation}


extract = jax.jit(ptdec.extract, static_argnums=0)
loss = jax.jit(ptdec.loss, static_argnums=0)


@jax.jit
def gradient(params, batch):
    """Of the mean loss, and the loss."""

    def mean(params):
        total, count = ptdec.loss(TINY, params, batch, MASK_KEY)["loss"]
        return total / count

    return jax.value_and_grad(mean)(params)


@functools.partial(jax.jit, static_argnums=0)
def _encoded(config, params, *sentences):
    return ptdec.Model(config).apply({"params": params}, *sentences, method=ptdec.Model.encode)


@functools.partial(jax.jit, static_argnums=0)
def _step(config, params, state, source, relation_B=None):
    return ptdec.Model(config).apply(
        {"params": params}, state, source, relation_B, method=ptdec.Model.step
    )


def _start(source):
    return ptdec.Model(TINY).start(source)


def _literal_step(params, c, h, z, outputs):
    """The paper, line by line: the new c and h, probabilities, relation, the triple's names.

    Pointers are those of head start, head end, tail start, tail end.
    """
    asked = literal.dense(params["past_query"], z)
    context, _ = literal.additive_attention(params["attention"], h, outputs)
    past_context, _ = literal.additive_attention(params["past_attention"], asked, outputs)
    fed = np.concatenate([z, context, past_context])
    (c, h), _ = literal.lstm(params["cell"], [fed], (c, h))
    _, E1 = literal.bilstm(params["head_layers"], [np.concatenate([o, h]) for o in outputs])
    _, E2 = literal.bilstm(
        params["tail_layers"],
        [np.concatenate([o, h, e]) for o, e in zip(outputs, E1, strict=True)],
    )
    probabilities, names = [], []
    for E, name in ((E1, "head_pointers"), (E2, "tail_pointers")):
        for side in range(2):
            p = literal.softmax([literal.dense(params[name], e)[side] for e in E])
            probabilities.append(p)
            names.append(literal.mixture(p, E, 2 * TINY.features))
    names = np.concatenate(names)
    relation = literal.softmax(literal.dense(params["relation"], np.concatenate([h, names])))
    return c, h, probabilities, relation, names


def test_the_encoder_and_all_steps_are_the_equations(params):
    words_BS, chars_BSK, _ = SENTENCES
    source = _encoded(TINY, params, *SENTENCES)
    relation_TB = np.random.default_rng(2).integers(1, 5, (3, len(LENGTH_B)))
    steps, state = [], _start(source)
    for relation_B in relation_TB:
        state, scores, _ = _step(TINY, params, state, source, jnp.array(relation_B))
        steps.append((state, scores))
    weights = literal.as_numpy(params)
    for b in REAL_ROWS:
        n = LENGTH_B[b]
        outputs = literal.word_encoder(weights["encoder"], words_BS[b, :n], chars_BSK[b, :n])
        np.testing.assert_allclose(source.outputs_BSD[b, :n], outputs, atol=1e-5)
        c = h = np.zeros(TINY.features)
        z = np.zeros(TINY.triple_features)
        for (state, scores), relation_B in zip(steps, relation_TB, strict=True):
            c, h, probabilities, relation, names = _literal_step(weights, c, h, z, outputs)
            # The sum of the triples so far, and not the last one.
            z = z + np.concatenate([names, weights["relations"]["embedding"][relation_B[b]]])
            found_4S = np.exp(scores.pointers_B4S[b])
            np.testing.assert_allclose(found_4S[:, :n], probabilities, atol=1e-4)
            assert not found_4S[:, n:].any()
            np.testing.assert_allclose(np.exp(scores.relation_BR[b]), relation, atol=1e-4)
            np.testing.assert_allclose(state.c_BD[b], c, atol=1e-4)
            np.testing.assert_allclose(state.h_BD[b], h, atol=1e-4)
            np.testing.assert_allclose(state.past_BX[b], z, atol=1e-4)


def test_the_size_is_the_formula():
    config = ptdec.Config(num_words=1000, num_chars=80, num_relations=24)
    shapes = jax.eval_shape(lambda: ptdec.init(config, jax.random.PRNGKey(0)))
    size = sum(x.size for x in jax.tree.leaves(shapes))
    assert size == 300 * 1000 + 50 * 80 + 3001 * 26 + 11_868_656


def test_a_word_does_not_feel_the_characters_of_the_next(params):
    """One filter sees no two words: what the encoder's layers are fed of word 1 stays."""
    words_BS, chars_BSK, length_B = _sentences([3], 3)

    @jax.jit
    def filtered(chars_BSK):
        _, seen = ptdec.Model(TINY).apply(
            {"params": params},
            words_BS,
            chars_BSK,
            length_B,
            method=ptdec.Model.encode,
            capture_intermediates=lambda module, _: module.name == "filters",
        )
        (filtered_BCF,) = seen["intermediates"]["encoder"]["filters"]["__call__"]
        return filtered_BCF.reshape(3, WORD_LENGTH + 2, -1).max(1)

    other_BSK = chars_BSK.copy()
    other_BSK[0, 1] = np.arange(WORD_LENGTH) % 8 + 1
    before, after = np.asarray(filtered(chars_BSK)), np.asarray(filtered(other_BSK))
    np.testing.assert_array_equal(before[[0, 2]], after[[0, 2]])
    assert (before[1] != after[1]).any()


def _assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def _row(written, b):
    return jax.tree.map(lambda x: np.asarray(x[b]), written)


def test_a_sentence_is_the_same_alone_and_padded_otherwise(params):
    """Rows of eight positions, and on their own with seven."""
    # So that every step writes a triple.
    params = _with_relation_bias(params, [0, -99, 0, 0, 0])
    words_BS, chars_BSK, _ = SENTENCES
    together = extract(TINY, params, *SENTENCES)
    for b in (3, 5, 6):
        alone = words_BS[b : b + 1, :7], chars_BSK[b : b + 1, :7], LENGTH_B[b : b + 1]
        _assert_close(_row(extract(TINY, params, *alone), 0), _row(together, b))


def test_quirk_layers_read_padding(params):
    words_BS, chars_BSK, full_B = _sentences([5], 5)
    short_B = np.array([3])
    # Without padding the encoder gives the same, with it not; pointers never see it.
    full, quirky_full, short, quirky = (
        _encoded(config, params, words_BS, chars_BSK, length_B)
        for length_B in (full_B, short_B)
        for config in (TINY, AUTHORS)
    )
    np.testing.assert_array_equal(quirky_full.outputs_BSD, full.outputs_BSD)
    assert np.abs(quirky.outputs_BSD - short.outputs_BSD)[:, :3].max() > 1e-3
    _, scores, _ = _step(AUTHORS, params, _start(quirky), quirky)
    assert np.isneginf(scores.pointers_B4S[..., 3:]).all()
    # The layers of head and tail read it too.
    _, stopped, _ = _step(AUTHORS, params, _start(quirky), quirky._replace(read_B=short_B))
    for half in (slice(0, 2), slice(2, 4)):
        difference = scores.pointers_B4S[:, half, :3] - stopped.pointers_B4S[:, half, :3]
        assert np.abs(difference).max() > 1e-3


def test_the_loss_is_its_definition(params, batch):
    sums = {k: (float(a), float(n)) for k, (a, n) in loss(TINY, params, batch, MASK_KEY).items()}
    relation_losses, pointer_losses = [], []
    weights = literal.as_numpy(params)
    for b in REAL_ROWS:
        n, triples = LENGTH_B[b], TRIPLES_B[b]
        words_S, chars_SK = batch.words_BS[b, :n], batch.chars_BSK[b, :n]
        outputs = literal.word_encoder(weights["encoder"], words_S, chars_SK)
        c = h = np.zeros(TINY.features)
        z = np.zeros(TINY.triple_features)
        for t in range(len(triples) + 1):
            gold = batch.relation_BT[b, t]
            c, h, probabilities, relation, names = _literal_step(weights, c, h, z, outputs)
            z = z + np.concatenate([names, weights["relations"]["embedding"][gold]])
            relation_losses.append(-np.log(relation[gold]))
            if t < len(triples):
                places = zip(probabilities, triples[t][1:], strict=True)
                pointer_losses.append([-np.log(p[place]) for p, place in places])
    assert (len(relation_losses), len(pointer_losses)) == (18, 11)
    relation_loss = np.mean(relation_losses)
    pointer_loss = np.mean(pointer_losses, axis=0).sum()
    means = {name: total / count for name, (total, count) in sums.items()}
    np.testing.assert_allclose(means["relation_loss"], relation_loss, rtol=1e-4)
    np.testing.assert_allclose(means["pointer_loss"], pointer_loss, rtol=1e-4)
    np.testing.assert_allclose(means["loss"], relation_loss + pointer_loss, rtol=1e-4)
    assert {name: count for name, (_, count) in sums.items()} == {
        **{"loss": 18, "relation_loss": 18, "pointer_loss": 11}
    }


def test_parts_of_a_batch_add_up_with_dropout(params, batch):
    key = jax.random.PRNGKey(3)
    whole = loss(TINY, params, batch, MASK_KEY, key)
    assert abs(float(whole["loss"][0] - loss(TINY, params, batch, MASK_KEY)["loss"][0])) > 1e-2

    def part(rows):
        """These rows in front, and empty ones behind."""
        moved = jax.tree.map(lambda x: np.roll(x, -rows.start, axis=0), batch)
        empty_B = np.arange(len(LENGTH_B)) >= rows.stop - rows.start
        moved = dataclasses.replace(moved, length_B=np.where(empty_B, 0, moved.length_B))
        moved.relation_BT[empty_B] = ptdec.PAD
        return loss(TINY, params, moved, MASK_KEY, key)

    parts = part(slice(0, 3)), part(slice(3, 8))
    assert all(float(p["loss"][1]) < 18 for p in parts)
    _assert_close(jax.tree.map(lambda a, b: a + b, *parts), whole)


def test_empty_rows_padding_and_unused_steps_leave_no_trace(params, batch):
    """Whatever stands there, loss and gradients stay."""
    is_padding_BS = np.arange(8)[None] >= LENGTH_B[:, None]
    unused_BT = batch.relation_BT < ptdec.FIRST
    changed = dataclasses.replace(
        batch,
        words_BS=np.where(is_padding_BS, 7, batch.words_BS),
        chars_BSK=np.where(is_padding_BS[..., None], 5, batch.chars_BSK),
        pointers_BT4=np.where(unused_BT[..., None], 3, batch.pointers_BT4),
    )
    expected = gradient(params, batch)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(expected))
    _assert_close(gradient(params, changed), expected)
    written = _row(extract(TINY, params, *SENTENCES), 2)
    assert (written.relation_BT == ptdec.NONE).all()
    assert (written.pointers_BT4 == -1).all()
    assert ptdec.read(written, []) == []


def test_gold_relations_are_fed_and_the_models_own_names(params, batch):
    """A step's loss feels the earlier relation, and not where the earlier gold names were."""

    def at_last_step(relation, pointed):
        relation_BT, pointers_BT4 = batch.relation_BT.copy(), batch.pointers_BT4.copy()
        relation_BT[0, 0], pointers_BT4[0, 0] = relation, pointed
        only_B = np.arange(len(LENGTH_B)) == 0
        changed = dataclasses.replace(
            batch,
            relation_BT=np.where(only_B[:, None], relation_BT, ptdec.PAD),
            pointers_BT4=pointers_BT4,
        )
        first = dataclasses.replace(changed, relation_BT=changed.relation_BT.copy())
        first.relation_BT[:, 1:] = ptdec.PAD
        both, alone = (loss(TINY, params, b, MASK_KEY)["pointer_loss"][0] for b in (changed, first))
        return float(both - alone)

    before = at_last_step(4, [0, 1, 4, 5])
    assert at_last_step(4, [2, 2, 3, 3]) == pytest.approx(before, abs=1e-4)
    assert at_last_step(2, [0, 1, 4, 5]) != pytest.approx(before, abs=1e-4)


def test_extraction_goes_on_to_none_and_feeds_itself(params):
    """Greedy steps by hand: the likeliest relation but PAD, of which the next step knows."""
    # PAD is the likeliest of all, and NONE comes sooner or later.
    params = _with_relation_bias(params, [9, 0.1, 0, 0, 0])
    written = extract(TINY, params, *SENTENCES)
    source = _encoded(TINY, params, *SENTENCES)
    state, goes_on_B = _start(source), LENGTH_B > 0
    num_written_B = np.zeros(len(LENGTH_B), int)
    for t in range(TINY.num_steps):
        state, scores, _ = _step(TINY, params, state, source)
        relation_B = scores.relation_BR[:, 1:].argmax(-1) + 1
        for b in range(len(LENGTH_B)):
            step = jax.tree.map(lambda x, b=b, t=t: x[b, t], written)
            if goes_on_B[b]:
                log_prob = scores.relation_BR[b, relation_B[b]]
                np.testing.assert_allclose(step.relation_log_prob_BT, log_prob, atol=1e-5)
            goes_on_B[b] &= relation_B[b] != ptdec.NONE
            if not goes_on_B[b]:
                assert step.relation_BT == ptdec.NONE
                assert (step.pointers_BT4 == -1).all()
                assert not step.log_prob_BT4.any()
                continue
            num_written_B[b] += 1
            assert step.relation_BT == relation_B[b]
            if LENGTH_B[b] == 1:
                continue
            log_prob_4 = scores.pointers_B4S[b, np.arange(4), step.pointers_BT4]
            np.testing.assert_allclose(step.log_prob_BT4, log_prob_4, atol=1e-4)
            head_start, head_end, tail_start, tail_end = step.pointers_BT4
            assert 0 <= head_end - head_start < 3
            assert 0 <= tail_end - tail_start < 3
            assert head_end < tail_start or tail_end < head_start
    assert num_written_B[2] == 0
    # Some end at once, some later, some never.
    assert {0, TINY.num_steps} < set(num_written_B[REAL_ROWS])


def _extracted(*steps):
    """A row of (class, four pointers), each choice of probability .5."""
    relation_T, pointers_T4 = zip(*steps, strict=True)
    return ptdec.Extracted(
        np.array(relation_T),
        np.array(pointers_T4),
        np.full(len(steps), math.log(0.5)),
        np.full((len(steps), 4), math.log(0.5)),
    )


def test_reading_stops_at_none_and_drops_what_is_said_twice():
    words = ["a", "b", "c", "a", "b"]
    row = _extracted(
        (2, [0, 1, 2, 2]),
        (2, [3, 4, 2, 2]),  # the same names elsewhere
        (3, [0, 1, 3, 4]),  # head and tail of one name
        (3, [2, 2, 3, 3]),
        (3, [-1, -1, -1, -1]),  # no room
        (1, [-1, -1, -1, -1]),
        (4, [0, 0, 2, 2]),  # behind the end
    )
    half = 0.5**5
    assert ptdec.read(row, words) == [
        Found((0, 2), (2, 3), 0, pytest.approx(half)),
        Found((2, 3), (3, 4), 1, pytest.approx(half)),
    ]


def test_a_sentence_of_one_word_has_no_room(params):
    params = _with_relation_bias(params, [0, -99, 0, 0, 0])
    written = _row(extract(TINY, params, *_sentences([1], 7)), 0)
    assert (written.relation_BT != ptdec.NONE).all()
    assert (written.pointers_BT4 == -1).all()
    assert np.isneginf(written.log_prob_BT4).all()
    assert ptdec.read(written, ["a"]) == []


def test_wrong_settings_are_refused():
    for change in ({"quirks": "none"}, {"features": 5}):
        with pytest.raises(ValueError, match=next(iter(change))):
            dataclasses.replace(TINY, **change)


def test_it_learns_a_few_sentences(batch):
    """Of up to three triples, to the last of them."""
    optimizer = optax.adam(2e-2)

    @jax.jit
    def update(params, state, gradient):
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params = ptdec.init(TINY, jax.random.PRNGKey(0))
    state = optimizer.init(params)
    for _ in range(100):
        params, state = update(params, state, gradient(params, batch)[1])
    written = extract(TINY, params, *SENTENCES)
    for b, triples in enumerate(TRIPLES_B):
        words = [str(s) for s in range(LENGTH_B[b])]
        found = [(t.relation, t.head, t.tail) for t in ptdec.read(_row(written, b), words)]
        assert found == [(r, (i, j + 1), (k, m + 1)) for r, i, j, k, m in triples]
