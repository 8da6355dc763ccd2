"""WordDec against a decoder in numpy that writes word by word, and what it is trained on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grel import parallel
from grel.decoding import driver, network, program
from grel.decoding.structure import Schema
from grel.models import worddec
from grel.text import bio, linearize
from grel.text.words import EOS, PAD, PART_END, SOS, UNK, WORD_LENGTH, Words
from tests.decoding import reference
from tests.models import literal

# Two numbers of unknown words, two relations, and words from 10 on.
VOCAB, NUM_CHARS, EXCLUDED = 24, 9, Words.excluded_ids
SCHEMA = Schema({"r": (8,), "s": (9,)}, Words.form, EOS)
CONFIG = worddec.Config(
    num_words=VOCAB,
    num_chars=NUM_CHARS,
    sos_id=SOS,
    word_features=4,
    char_features=3,
    num_filters=2,
    features=6,
    label_head=True,
    alpha=0.3,
)
PLAIN = dataclasses.replace(CONFIG, label_head=False)
LENGTHS, TARGET_LENGTHS = np.array([3, 0, 6, 1]), np.array([4, 0, 2, 7])


@pytest.fixture(scope="module")
def params():
    """Larger than they are drawn, so that outputs differ; UNK is written now and then."""
    drawn = worddec.init(CONFIG, jax.random.PRNGKey(1))
    large = jax.tree.map(lambda x: 6 * x, drawn)
    large["token"]["kernel"] *= 2
    large["token"]["bias"] = drawn["token"]["bias"].at[UNK].add(2.0)
    return large


def without_labels(params):
    return {name: value for name, value in params.items() if name != "bio"}


def random_chars(rng, *shape: int):
    return rng.integers(1, NUM_CHARS, (*shape, WORD_LENGTH)) * (
        np.arange(WORD_LENGTH) < rng.integers(1, 12, (*shape, 1))
    )


@pytest.fixture(scope="module")
def batch():
    """Padding holds what must not be seen."""
    rng = np.random.default_rng(1)
    place_T = np.arange(7)
    targets_BT = rng.integers(PART_END, VOCAB, (4, 7))
    targets_BT[place_T == TARGET_LENGTHS[:, None] - 1] = EOS
    return worddec.Batch(
        words_BS=rng.integers(10, VOCAB, (4, 6)),
        chars_BSK=random_chars(rng, 4, 6),
        length_B=LENGTHS,
        targets_BT=targets_BT,
        target_length_B=TARGET_LENGTHS,
        labels_BT=rng.integers(0, 3, (4, 7)),
        row_B=np.arange(4),
    )


class LiteralDecoder:
    """Feeds a word at a time; `attended` are the positions with the highest attention so far."""

    def __init__(self, params, words, chars):
        self.p = literal.as_numpy(params)
        self.outputs = literal.word_encoder(self.p["encoder"], words, chars)
        self.carry = np.zeros((2, self.outputs.shape[1]))
        self.attended = []

    def step(self, word):
        """Logits of words and of labels."""
        context, weights = literal.additive_attention(
            self.p["attention"], self.carry[1], self.outputs
        )
        fed = np.concatenate([literal.embed(self.p["encoder"]["words"], word), context])
        self.carry, _ = literal.lstm(self.p["cell"], [fed], self.carry)
        if len(weights):
            self.attended.append(int(np.argmax(weights)))
        return [literal.dense(self.p[name], self.carry[1]) for name in ("token", "bio")]


@pytest.mark.parametrize("config", [CONFIG, PLAIN])
def test_loss_is_its_definition(params, batch, config):
    params_of = params if config.label_head else without_labels(params)
    sums = jax.jit(functools.partial(worddec.loss, config))(params_of, batch, None)
    words = labels = right = 0.0
    for row, length in enumerate(LENGTHS):
        decoder = LiteralDecoder(
            params, batch.words_BS[row, :length], batch.chars_BSK[row, :length]
        )
        fed = SOS
        for t in range(TARGET_LENGTHS[row]):
            token_logits, bio_logits = decoder.step(fed)
            fed = batch.targets_BT[row, t]
            words -= reference.log_prob(token_logits, fed)
            labels -= reference.log_prob(bio_logits, batch.labels_BT[row, t])
            right += token_logits.argmax() == fed
    expected = {"loss": words, "token_loss": words, "token_accuracy": right}
    if config.label_head:
        expected |= {"loss": 0.3 * words + 0.7 * labels, "bio_loss": labels}
    for name, value in expected.items():
        np.testing.assert_allclose(sums[name], (value, TARGET_LENGTHS.sum()), rtol=1e-4)
    assert ("bio_loss" in sums) == config.label_head
    assert batch.num_tokens == LENGTHS.sum() + TARGET_LENGTHS.sum()


def test_padding_changes_neither_loss_nor_gradient(params, batch):
    def total(params, batch):
        return worddec.loss(CONFIG, params, batch, None)["loss"][0]

    longer = batch.replace(
        words_BS=np.pad(batch.words_BS, ((0, 0), (0, 3)), constant_values=11),
        chars_BSK=np.pad(batch.chars_BSK, ((0, 0), (0, 3), (0, 0)), constant_values=1),
        targets_BT=np.pad(batch.targets_BT, ((0, 0), (0, 2)), constant_values=5),
        labels_BT=np.pad(batch.labels_BT, ((0, 0), (0, 2)), constant_values=1),
    )
    one, other = (jax.jit(jax.value_and_grad(total))(params, x) for x in (batch, longer))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-5), one, other)


def test_causality_by_gradients(params, batch):
    """What is written at a step feels the sentence and the words before, and no later one."""
    fed_1T = np.arange(10, 15)[None]
    words_1S, chars_1SK = np.array([[20, 21, 22, 23]]), batch.chars_BSK[:1, :4]

    @jax.jit
    def gradients(params):
        def logits(table):
            encoder = {**params["encoder"], "words": {"embedding": table}}
            return (
                worddec.Model(CONFIG)
                .apply(
                    {"params": {**params, "encoder": encoder}},
                    words_1S,
                    chars_1SK,
                    np.array([3]),
                    fed_1T,
                )[0][0]
                .sum(-1)
            )

        return jax.jacobian(logits)(params["encoder"]["words"]["embedding"])

    felt_TV = np.abs(gradients(params)).max(-1)
    for t in range(5):
        assert (felt_TV[t, 10 : 10 + t + 1] > 0).all()
        assert (felt_TV[t, 10 + t + 1 : 15] == 0).all()
        assert (felt_TV[t, 20:23] > 0).all()
        assert felt_TV[t, 23] == 0


def test_dropout_follows_the_row_and_needs_a_key(params, batch):
    loss = jax.jit(functools.partial(worddec.loss, CONFIG))
    key, other_key = jax.random.split(jax.random.PRNGKey(1))
    whole, none, other = (loss(params, batch, None, k) for k in (key, None, other_key))
    assert len({float(sums["loss"][0]) for sums in (whole, none, other)}) == 3
    parts = [
        loss(params, jax.tree.map(lambda x, part=part: x[part], batch), None, key)
        for part in ([3, 1], [2, 0])
    ]
    together = jax.tree.map(jnp.add, *parts)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), whole, together)


def test_a_state_goes_on_with_its_dropout(params):
    """The heads show h, and nothing is read or fed: of each step other entries are dropped."""
    config = dataclasses.replace(PLAIN, num_words=6, dropout=0.5)
    zeros = jax.tree.map(jnp.zeros_like, worddec.init(config, jax.random.PRNGKey(0)))
    shown = {
        **zeros,
        "cell": params["cell"],
        "token": {"kernel": jnp.eye(6), "bias": jnp.zeros(6)},
    }
    h_BTD, _ = jax.jit(worddec.Model(config).apply)(
        {"params": shown},
        *(np.zeros((3, 1), int), np.zeros((3, 1, WORD_LENGTH), int), np.zeros(3, int)),
        np.zeros((3, 8), int),
        np.arange(3),
        rngs={"dropout": jax.random.PRNGKey(0)},
    )
    kept = np.asarray(h_BTD) != 0
    cell = literal.as_numpy(params["cell"])
    assert 0.3 < kept.mean() < 0.7
    assert len({of_step.tobytes() for row in kept for of_step in row}) > 12
    for row in range(3):
        carry = np.zeros((2, 6))
        for t in range(8):
            (c, h), _ = literal.lstm(cell, [np.zeros(10)], carry)
            carry = c, h * kept[row, t] * 2
            np.testing.assert_allclose(h_BTD[row, t], carry[1], atol=1e-5)


def make_decoder(config, copy: str, bucket=7, max_target=9, schema=SCHEMA, **settings):
    return driver.Decoder(
        network.Functions.of(worddec, config),
        program.Options(copy, max_target, 8, (bucket,), **settings),
        frame=program.Frame(PAD, (), (), SOS, EOS),
        excluded_ids=EXCLUDED,
        schema=schema,
        unknown_id=UNK,
    )


@pytest.fixture(scope="module")
def sentences():
    """Words and their characters; known, numbered and unknown ones, and a sentence without any."""
    rng = np.random.default_rng(5)
    lengths = [*rng.integers(1, 8, 22), 0, 7]
    words = [rng.choice([UNK, 6, 7, *range(10, VOCAB)], length).tolist() for length in lengths]
    return words, [random_chars(rng, length) for length in lengths]


OTHERS = {*SCHEMA.token_ids, UNK}


@pytest.mark.parametrize("copy", ["words", "on", "off"])
def test_equals_a_literal_decoder_step_by_step(params, sentences, copy):
    """WordDec and LSTM have no labels; LSTM + copy has them."""
    config, params_of = PLAIN, without_labels(params)
    if copy == "on":
        config, params_of = CONFIG, params
    written = make_decoder(config, copy)(parallel.replicate(params_of), *sentences)
    num_unknown = 0
    for words, chars, one in zip(*sentences, written, strict=True):
        if not words:
            assert not len(one.ids)
            continue
        decoder = LiteralDecoder(params, words, chars)

        def step(_, word, decoder=decoder):
            token_logits, bio_logits = decoder.step(word)
            return token_logits, bio_logits if copy == "on" else np.array([0.0, -np.inf, -np.inf])

        steps = reference.decode(
            words,
            step,
            max_steps=9,
            start_id=SOS,
            end_id=EOS,
            excluded=EXCLUDED,
            mode=copy,
            others=OTHERS,
        )
        steps = [s for s in steps if s.token != EOS]
        assert one.ids.tolist() == [s.token for s in steps]
        assert one.labels.tolist() == [s.label for s in steps]
        assert one.attended.tolist() == decoder.attended[: len(steps)]
        np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-4)
        if copy == "words":
            assert set(one.ids.tolist()) <= {*words, *OTHERS}
        num_unknown += one.ids.tolist().count(UNK)
    assert num_unknown > 5
    assert len({tuple(one.ids.tolist()) for one in written}) > 10


def test_what_the_mask_forbids_has_no_probability(params, sentences):
    """Of all words the masked softmax is shared by those of the sentence and the others."""
    words, chars = sentences
    params_of = parallel.replicate(without_labels(params))
    allowed = sorted({*words[-1], *OTHERS})
    beams = make_decoder(
        PLAIN,
        "words",
        max_target=1,
        scores="renormalized",
        num_beams=len(allowed) + 3,
        num_best=len(allowed) + 3,
    )
    (one,) = beams(params_of, words[-1:], chars[-1:])
    # Two words, or one and the end, or the end alone: all outputs begin with an allowed word.
    first = {int(found.ids[0]) for found in (one, *one.others) if len(found.ids)}
    assert first <= set(allowed) - {EOS}
    decoder = LiteralDecoder(params, words[-1], chars[-1])
    logits, _ = decoder.step(SOS)
    for found in (one, *one.others):
        if len(found.ids):
            expected = reference.log_prob(logits, found.ids[0], allowed)
            np.testing.assert_allclose(found.log_probs[0], expected, atol=1e-4)


def test_beams_and_examples_move_with_their_states(params, sentences):
    """Each row is where it would be had its own words been fed to its sentence alone."""
    words, chars = ([of[n] for n in (0, 3, 23)] for of in sentences)
    length_B = np.array([len(of) for of in words])
    words_BS = np.zeros((3, 7), int)
    chars_BSK = np.zeros((3, 7, WORD_LENGTH), int)
    for row in range(3):
        words_BS[row, : length_B[row]] = words[row]
        chars_BSK[row, : length_B[row]] = chars[row]
    state = worddec.init_decode(CONFIG, params, words_BS, length_B, 9, 2, chars_BSK)
    step = jax.jit(functools.partial(worddec.decode_step, CONFIG, params))
    *_, state = step(state, jnp.array([10, 11, 12, 13, 14, 15]))
    state = worddec.reorder_beams(state, jnp.array([[1, 0], [1, 1], [0, 0]]))
    state = worddec.take_rows(worddec.grow(state, 20), jnp.array([2, 1]))
    token_logits, bio_logits, state = step(state, jnp.array([16, 17, 18, 19]))
    for row, (sentence, fed) in enumerate(
        [(2, (14, 16)), (2, (14, 17)), (1, (13, 18)), (1, (13, 19))]
    ):
        decoder = LiteralDecoder(params, words[sentence], chars[sentence])
        for word in fed:
            expected = decoder.step(word)
        np.testing.assert_allclose(token_logits[row], expected[0], atol=1e-4)
        np.testing.assert_allclose(bio_logits[row], expected[1], atol=1e-4)
        assert worddec.attended(state)[row] == decoder.attended[-1]


@pytest.mark.parametrize(("vocab", "num_chars"), [(1000, 80), (4321, 57)])
def test_parameters_are_as_many_as_the_authors_have(vocab, num_chars):
    config = worddec.Config(vocab, num_chars, SOS)
    shapes = jax.eval_shape(lambda: worddec.init(config, jax.random.PRNGKey(0)))
    count = sum(x.size for x in jax.tree.leaves(shapes))
    assert count == 601 * vocab + 50 * num_chars + 1_870_551


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="must be even"):
        dataclasses.replace(CONFIG, features=7)


@pytest.mark.slow
def test_the_network_that_it_is_timed_against_is_the_same(monkeypatch, capsys):
    """The benchmark runs through; both PyTorch programs have its loss, and one its outputs."""
    pytest.importorskip("torch", reason="pip install -r tests/benchmarks/requirements.txt")
    from tests.benchmarks import worddec_torch

    sizes = {"vocab": 60, "features": 12, "batch": 8, "source": 5, "target": 6, "rounds": 1}
    monkeypatch.setattr("sys.argv", ["", *(f"--{name}={n}" for name, n in sizes.items())])
    monkeypatch.setattr(worddec_torch, "machine", lambda: "anywhere")
    worddec_torch.main()
    assert capsys.readouterr().out.count("ratio to grel") == 10
    config = worddec.Config(60, worddec_torch.NUM_CHARS, SOS, word_features=12, features=12)
    # Large, so that outputs differ.
    params = jax.tree.map(lambda x: 8 * x, worddec.init(config, jax.random.PRNGKey(0)))
    case = worddec_torch.make_case(config, np.array([5, 1, 4, 3]), np.array([6, 2, 7, 1]))
    losses, num_same = worddec_torch.compare(config, params, case)
    np.testing.assert_allclose([*losses.values()], losses["grel"], rtol=1e-5)
    assert len(losses) == 3
    assert num_same == 4


PEOPLE = ("Ann", "Bo", "Eva", "Ian", "Lee", "Max", "Sue", "Tom")
CITIES = ("Oslo", "Rome", "New Delhi", "Lima")


@pytest.mark.slow
def test_learns_its_training_sentences_by_heart():
    """All three ways of decoding write them back, unknown words by their numbers among them."""
    texts, triples = [], []
    for n, person in enumerate(PEOPLE):
        one, other = CITIES[n % 4], CITIES[(n + 1) % 4]
        texts.append(f"{person} , born in {one} , lives in {other} .")
        triples.append([(person, one, "born"), (person, other, "lives")][: 1 + n % 2])
    words = Words.train(texts, ("born", "lives"), num_unknown=2)
    # Each person is met once, so that they are unknown words.
    assert not set(PEOPLE) & set(words.words)
    sources = words.encode_batch(texts)
    examples = []
    for text, source, of_text in zip(texts, sources, triples, strict=True):
        parts = [
            (words.encode_name(h, text).ids, words.encode_name(t, text).ids, words.relation_ids[r])
            for h, t, r in of_text
        ]
        target, slots = linearize.linearize(parts, words.form)
        names = [place for slot in slots for place in (slot.head, slot.tail)]
        examples.append((target, bio.label_per_entity(source.ids, target, names)[1]))

    def padded(rows, width):
        return np.array([[*row, *[0] * (width - len(row))] for row in rows])

    width = max(len(source.ids) for source in sources)
    target_width = max(len(target) for target, _ in examples) + 1
    batch = worddec.Batch(
        words_BS=padded([source.ids for source in sources], width),
        chars_BSK=np.stack([np.pad(s.chars, ((0, width - len(s.chars)), (0, 0))) for s in sources]),
        length_B=np.array([len(source.ids) for source in sources]),
        targets_BT=padded([[*target, EOS] for target, _ in examples], target_width),
        target_length_B=np.array([len(target) + 1 for target, _ in examples]),
        labels_BT=padded([labels for _, labels in examples], target_width),
        row_B=np.arange(len(texts)),
    )
    config = worddec.Config(
        num_words=len(words.vocabulary),
        num_chars=words.num_chars,
        sos_id=SOS,
        word_features=16,
        char_features=8,
        num_filters=8,
        features=32,
        label_head=True,
        alpha=0.5,
    )
    params = worddec.init(config, jax.random.PRNGKey(0))
    optimizer = optax.adam(1e-2)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry

            def mean(params):
                total, count = worddec.loss(config, params, batch, None)["loss"]
                return total / count

            updates, state = optimizer.update(jax.grad(mean)(params), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=250)[0][0]

    trained = parallel.replicate(train(params))
    schema = Schema(words.relation_ids, words.form, EOS)
    for copy in ("words", "on", "off"):
        decoder = make_decoder(config, copy, width, target_width + 2, schema)
        written = decoder(trained, [s.ids for s in sources], [s.chars for s in sources])
        for text, source, of_text, one in zip(texts, sources, triples, written, strict=True):
            ids = one.ids.tolist()
            slots = linearize.parse(ids, words.form).triples
            said = [
                (
                    words.decode(ids[slot.head], source),
                    words.decode(ids[slot.tail], source),
                    words.relation(ids[slot.relation]),
                )
                for slot in slots
            ]
            assert said == of_text, (copy, text)
