"""CopyMTL: its equations, its names, what a padded batch may not change, and that it can learn."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import copymtl, copyre
from grel.models.choices import STOP, Found
from grel.text.bio import B, I, O
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

TINY = copymtl.Config(
    num_words=12,
    num_relations=3,
    word_features=4,
    features=3,
    num_triples=3,
    decoder="one",
    copy_features=2,
    crf_weight=0.5,
)
COPYRE = copyre.Config(**{f.name: getattr(TINY, f.name) for f in dataclasses.fields(copyre.Config)})


def with_tags(batch, seed=0):
    tags_BS = np.random.default_rng(seed).integers(0, 3, batch.words_BS.shape)
    return copymtl.Batch(**vars(batch), tags_BS=tags_BS)


CASES = [
    pytest.param("one", "paper", "off", marks=pytest.mark.slow),
    ("one", "authors", "on"),
    ("multi", "paper", "off"),
    ("multi", "authors", "off"),
]


@pytest.mark.parametrize(("decoder", "quirks", "forcing"), CASES)
def test_it_is_its_equations(decoder, quirks, forcing):
    """For each sentence by itself, so that the rest of the batch changes nothing."""
    config = dataclasses.replace(TINY, decoder=decoder, quirks=quirks, teacher_forcing=forcing)
    for seed in range(3):
        batch = with_tags(a_batch(config, seed))
        params = random_params(copymtl, config, seed)
        sums, found = run(copymtl, config, params, batch)
        weights = literal.as_numpy(params)
        tagger = weights["tagger"]
        golds, crf = {}, 0.0
        for row, length in enumerate(LENGTH_B):
            args = (config, weights, batch.words_BS[row], length)
            chosen, probabilities, outputs = reference.copymtl(*args)
            assert found.choice_BN3[row].tolist() == chosen
            np.testing.assert_allclose(np.exp(found.log_prob_BN3[row]), probabilities, rtol=2e-3)
            emissions = [literal.dense(tagger["emission"], output) for output in outputs]
            scores = literal.tag_scores(tagger["crf"], emissions)
            best = max(scores, key=scores.get)
            assert found.tags_BS[row].tolist() == [*best, *[O] * (7 - length)]
            if length:
                golds[row] = reference.copymtl(*args, batch.gold_BN3[row].tolist())[:2]
                total = math.log(sum(map(math.exp, scores.values())))
                crf += total - scores[tuple(batch.tags_BS[row, :length].tolist())]
        expected = expected_sums(config, batch, golds)
        decoder_loss = expected["loss"][0]
        expected |= {
            "loss": (decoder_loss + 0.5 * crf, 3),
            "decoder_loss": (decoder_loss, 3),
            "crf_loss": (crf, 3),
        }
        assert_same_sums(sums, expected)


@pytest.mark.parametrize(("decoder", "num_cells"), [("one", 1), ("multi", 5)])
def test_only_the_cells_are_several(decoder, num_cells):
    words, relations, x, d, f = 90_760, 25, 100, 1000, 100
    config = copymtl.Config(num_words=words, num_relations=relations, decoder=decoder)
    params = jax.eval_shape(lambda key: copymtl.init(config, key), jax.random.PRNGKey(0))
    cell = (x + d) * 4 * d + 4 * d
    expected = {
        "vectors": (words + 1 + relations + 1 + 1) * x,
        "encoder": 2 * cell,
        "tagger": (d + 1) * 3 + 3 + 3 + 9,
        "attention": 2 * d + 1,
        "combine": (x + d + 1) * x,
        "cells": num_cells * cell,
        "choices": (d + 1) * (relations + 1),
        "copy": (2 * d + 1) * f + f + 1,
    }
    assert sum(x.size for x in jax.tree.leaves(params)) == sum(expected.values())


@functools.partial(jax.jit, static_argnums=(0, 1))
def _copy_scores(module, config, params, outputs_BSD, query_BD):
    decoder = module.Decoder(config).bind({"params": params["decoder"]})
    return decoder.scores(query_BD, decoder.keys(outputs_BSD)).copy_BS


def test_the_copy_score_can_rank_anew_at_each_step():
    """That of CopyRE can't."""
    rng = np.random.default_rng(0)
    outputs_SD, query_BD = rng.normal(size=(8, 6)) / 3, rng.normal(size=(30, 3)) / 3
    order = rng.permutation(8)
    rankings = {}
    for module, config, width in ((copymtl, TINY, 3), (copyre, COPYRE, 6)):
        outputs_BSD = jnp.float32(np.stack([outputs_SD[:, :width]] * 30))
        params = random_params(module, config)
        scores_BS, moved_BS = (
            _copy_scores(module, config, params, outputs, jnp.float32(query_BD))
            for outputs in (outputs_BSD, outputs_BSD[:, order])
        )
        np.testing.assert_allclose(moved_BS, scores_BS[:, order], rtol=1e-4, atol=1e-6)
        rankings[module] = {tuple(ranking) for ranking in scores_BS.argsort(1).tolist()}
    assert len(rankings[copyre]) == 1
    assert len(rankings[copymtl]) > 1


@pytest.mark.parametrize(
    ("tags", "last", "span", "of_authors"),
    [
        ([O, B, I, I, B], 3, (1, 4), (1, 4)),
        ([O, B, I, I, B], 1, (1, 2), (1, 2)),
        ([O, B, I, I, B], 4, (4, 5), (4, 5)),
        ([O, B, I, I, B], 0, (0, 1), (0, 1)),
        ([I, I], 1, (0, 2), (0, 2)),
        ([O, I], 1, (1, 2), (0, 2)),
        ([O, O, I, I], 3, (2, 4), (1, 4)),
    ],
)
def test_an_entity_goes_on_to_the_left(tags, last, span, of_authors):
    assert copymtl.entity(tags, last) == span
    assert copymtl.entity(tags, last, "authors") == of_authors


def test_reading_ends_at_the_first_relation_that_is_a_stop():
    row = copymtl.Extracted(
        np.array([[2, 3, 4], [1, STOP, 4], [2, 3, 4], [0, 0, 0], [STOP, 1, 2], [1, 1, 4]]),
        np.log(np.full((6, 3), 0.5)),
        np.array([O, B, I, I, B, O, I]),
    )
    assert copymtl.read(TINY, row, 5) == [
        Found((1, 4), (4, 5), 2, pytest.approx(0.125)),
        Found((0, 1), (0, 1), 0, pytest.approx(0.125)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["one", "multi"])
def test_it_learns_a_few_sentences_by_heart(decoder):
    """Also the one decoder, and several triples."""
    config = copymtl.Config(
        num_words=40,
        num_relations=3,
        word_features=16,
        features=32,
        decoder=decoder,
        copy_features=16,
    )
    batch = with_tags(sentences(num_triples=5, rows=8))
    means = learn(copymtl, config, batch, steps=200, rate=0.02)
    assert means["relation_accuracy"][-1] == 1
    assert means["position_accuracy"][-1] == 1
    assert means["crf_loss"][-1] < 0.05
