"""CopyRE: its equations, its quirks, what a padded batch may not change, and that it can learn."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import copyre
from grel.models.choices import STOP, Choices, Found
from tests.models import copyre_reference as reference
from tests.models import literal
from tests.models.copyre_cases import (
    LENGTH_B,
    a_batch,
    assert_same_sums,
    expected_sums,
    learn,
    random_params,
    run,
    sentences,
)

TINY = copyre.Config(
    num_words=12, num_relations=3, word_features=4, features=3, num_triples=3, decoder="one"
)
MULTI = dataclasses.replace(TINY, decoder="multi")
LEARNING = copyre.Config(num_words=40, num_relations=3, word_features=16, features=32)


CASES = [
    ("one", "paper", "off"),
    ("one", "paper", "on"),
    ("multi", "paper", "off"),
    ("multi", "authors", "off"),
]


@pytest.mark.parametrize(("decoder", "quirks", "forcing"), CASES)
def test_it_is_its_equations(decoder, quirks, forcing):
    """For each sentence by itself, so that padding and the rest of the batch change nothing.

    With the authors' quirks padding is a part of the sentence.
    """
    config = dataclasses.replace(TINY, decoder=decoder, quirks=quirks, teacher_forcing=forcing)
    for seed in range(3):
        batch = a_batch(config, seed)
        params = random_params(copyre, config, seed)
        sums, found = run(copyre, config, params, batch)
        weights = literal.as_numpy(params)
        golds = {}
        for row, length in enumerate(LENGTH_B):
            args = (config, weights, batch.words_BS[row], length)
            chosen, probabilities = reference.copyre(*args)
            assert found.choice_BN3[row].tolist() == chosen
            np.testing.assert_allclose(np.exp(found.log_prob_BN3[row]), probabilities, rtol=2e-3)
            if length:
                golds[row] = reference.copyre(*args, batch.gold_BN3[row].tolist())
        assert_same_sums(sums, expected_sums(config, batch, golds))


@pytest.mark.parametrize(("decoder", "size"), [("one", 4_646_126), ("multi", 23_230_230)])
def test_it_has_the_published_number_of_parameters(decoder, size):
    config = copyre.Config(num_words=90_760, num_relations=25, decoder=decoder)
    params = jax.eval_shape(lambda key: copyre.init(config, key), jax.random.PRNGKey(0))
    assert sum(x.size for x in jax.tree.leaves(params)) == 9_078_700 + 8_808_000 + size


def test_weights_are_drawn_as_tensorflow_does():
    params = copyre.init(LEARNING, jax.random.PRNGKey(0))
    words_VX = params["encoder"]["words"]["embedding"]
    assert not words_VX[0].any()
    assert 0 <= words_VX.min() < 0.1 < 0.9 < words_VX.max() < 1
    assert "decoder" not in params
    decoders = params["decoders"]
    bound = math.sqrt(6 / (3 * 32 + 1))
    assert 0.9 * bound < abs(decoders["copy"]["kernel"]).max() <= bound
    assert 0.5 < abs(decoders["relation_bias"]).max() <= 1
    first, second, *_ = decoders["combine"]["kernel"]
    assert (first != second).all()


@pytest.mark.parametrize("quirks", ["paper", "authors"])
def test_the_context_of_equal_weights(quirks):
    """It is the mean of the true positions; the authors' a hundredth of the mean of all."""
    config = dataclasses.replace(TINY, quirks=quirks)
    params = random_params(copyre, config)
    params["decoder"]["attention"]["kernel"] *= 0
    words_BS = jnp.pad(jnp.array([[3, 1, 4, 1, 5, 9, 2]]), ((0, 0), (0, 93)))

    @jax.jit
    def context_and_outputs(params):
        encoder = {"params": params["encoder"]}
        source = copyre.Encoder(config).apply(encoder, words_BS, jnp.array([7]))
        decoder = copyre.Decoder(config).bind({"params": params["decoder"]})
        context_BD = decoder.context(source.state, source, decoder.keys(source.outputs_BSD))
        return context_BD[0], source.outputs_BSD[0]

    context_D, outputs_SD = context_and_outputs(params)
    expected_D = outputs_SD[:7].mean(0) if quirks == "paper" else outputs_SD.mean(0) / 100
    np.testing.assert_allclose(context_D, expected_D, rtol=1e-4, atol=1e-7)


def test_empty_rows_add_nothing_and_slices_add_up():
    params, batch = random_params(copyre, MULTI), a_batch(MULTI)

    def of_rows(*counts_B):
        part = batch.replace(length_B=np.where(counts_B, LENGTH_B, 0))
        return run(copyre, MULTI, params, part)[0]

    whole = of_rows(True, True, True, True)
    assert whole["loss"][1] == 3 * 9
    assert not any(jax.tree.leaves(of_rows(False, False, False, False)))
    parts = of_rows(True, False, True, False), of_rows(False, True, False, True)
    assert_same_sums(jax.tree.map(lambda a, b: a + b, *parts), whole)


def test_several_equal_decoders_are_not_one():
    """The second of them starts from the start, and halfway between the encoder and the first."""
    one_params = random_params(copyre, TINY, seed=1)
    repeated = jax.tree.map(lambda x: jnp.stack([x] * 3), one_params["decoder"])
    batch = a_batch(TINY)
    _, one = run(copyre, TINY, one_params, batch)
    _, multi = run(copyre, MULTI, {"encoder": one_params["encoder"], "decoders": repeated}, batch)
    np.testing.assert_array_equal(one.choice_BN3[:, 0], multi.choice_BN3[:, 0])
    np.testing.assert_allclose(one.log_prob_BN3[:, 0], multi.log_prob_BN3[:, 0], rtol=1e-4)

    @jax.jit
    def fourth_step(choice_B3):
        encoder = {"params": one_params["encoder"]}
        source = copyre.Encoder(TINY).apply(encoder, batch.words_BS, LENGTH_B)
        decoder = copyre.Decoder(TINY).bind({"params": one_params["decoder"]})
        keys = decoder.keys(source.outputs_BSD)
        state, vector_BX = source.state, source.go_BX
        for part in range(3):
            state, _ = decoder.step(state, vector_BX, source, keys)
            vectors = source.relations_BRX if part == 0 else source.vectors_BPX
            vector_BX = vectors[np.arange(4), choice_B3[:, part]]
        (c_BD, h_BD), (first_c_BD, first_h_BD) = source.state, state
        halfway = (c_BD + first_c_BD) / 2, (h_BD + first_h_BD) / 2
        _, scores = decoder.step(halfway, source.go_BX, source, keys)
        return jax.nn.log_softmax(jnp.concatenate([scores.relation_BR, scores.stop_B1], axis=1))

    log_prob_BR = fourth_step(multi.choice_BN3[:, 0])
    best_B = log_prob_BR.argmax(1)
    np.testing.assert_array_equal(multi.choice_BN3[:, 1, 0], np.where(best_B == 3, STOP, best_B))
    np.testing.assert_allclose(multi.log_prob_BN3[:, 1, 0], log_prob_BR.max(1), rtol=1e-4)
    assert (abs(multi.log_prob_BN3[:, 1, 0] - one.log_prob_BN3[:, 1, 0]) > 1e-3).all()


def test_one_decoder_ranks_positions_alike_in_all_triples():
    """The head is the best of all positions and the tail the second; each decoder has its own."""
    pairs = {TINY: [], MULTI: []}
    for config, seed in itertools.product(pairs, range(8)):
        # Small enough for selu not to make ties.
        params = jax.tree.map(lambda x: x / 3, random_params(copyre, config, seed))
        _, found = run(copyre, config, params, a_batch(config, seed, np.array([6] * 4)))
        for choice_N3 in found.choice_BN3.tolist():
            pairs[config].append({(h, t) for _, h, t in choice_N3 if STOP not in (h, t)})
    assert sum(map(len, pairs[TINY])) > 8
    assert all(len(of_sentence) <= 1 for of_sentence in pairs[TINY])
    assert any(len(of_sentence) > 1 for of_sentence in pairs[MULTI])


def test_reading():
    row = Choices(
        np.array(
            [
                [2, 0, 4],
                [STOP, STOP, STOP],
                [1, 3, STOP],
                [2, 0, 4],
                [STOP, 1, 7],
            ]
        ),
        np.log(np.full((5, 3), 0.5)),
    )
    eighth = pytest.approx(0.125)
    assert copyre.read(TINY, row, 5) == [
        Found((0, 1), (4, 5), 2, eighth),
        Found((3, 4), None, 1, eighth),
        Found((1, 2), None, None, eighth),
    ]


@pytest.mark.parametrize("field", ["decoder", "teacher_forcing", "quirks"])
def test_unknown_choices_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} is 'perhaps'; one of"):
        dataclasses.replace(TINY, **{field: "perhaps"})


@pytest.mark.parametrize(
    ("decoder", "num_triples", "rows"),
    [pytest.param("one", 1, 32, marks=pytest.mark.slow), ("multi", 5, 8)],
)
def test_it_learns_a_few_sentences_by_heart(decoder, num_triples, rows):
    """More than one triple a sentence is beyond the one decoder, which ranks positions once.

    Not to the last choice: a position at the floor of selu has no gradient to come up again.
    """
    config = dataclasses.replace(LEARNING, decoder=decoder)
    means = learn(copyre, config, sentences(num_triples, rows), steps=200, rate=0.02)
    assert means["relation_accuracy"][-1] == 1
    assert means["position_accuracy"][-1] > 0.95
