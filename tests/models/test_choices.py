"""What the decoders of CopyRE and CopyMTL share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding.pointers import Found
from grel.models import choices
from grel.models.choices import STOP, Choices, Joined, Source


def test_a_hidden_position_loses_but_with_the_authors_mask_it_can_win():
    score_BS = jnp.array([[-1.0, -1.5, -0.5]])
    hidden = {
        quirks: choices.hide(score_BS, jnp.array([1]), quirks) for quirks in ("paper", "authors")
    }
    assert hidden["paper"].tolist() == [[-1.0, -np.inf, -0.5]]
    assert hidden["paper"].argmax() == 2
    assert hidden["authors"].tolist() == [[-1.0, 0.0, -0.5]]
    assert hidden["authors"].argmax() == 1


@pytest.mark.parametrize("quirks", ["paper", "authors"])
def test_a_stop_hides_nothing(quirks):
    score_BS = jnp.array([[-1.0, -1.5, -0.5]])
    np.testing.assert_array_equal(choices.hide(score_BS, jnp.array([STOP]), quirks), score_BS)


def test_equal_weights_over_the_true_positions_give_their_mean():
    rng = np.random.default_rng(0)
    outputs_BSD = jnp.float32(rng.normal(size=(3, 5, 4)))
    seen_BS = jnp.arange(5)[None] < jnp.array([[5], [2], [0]])
    source = Source(outputs_BSD, None, seen_BS, seen_BS, None, None, None)
    context_BD = choices.weighted(jnp.ones((3, 5, 1)), source)
    np.testing.assert_allclose(context_BD[0], outputs_BSD[0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(context_BD[1], outputs_BSD[1, :2].mean(0), rtol=1e-5)
    assert not context_BD[2].any()


@pytest.mark.parametrize("bias_init", [None, jax.nn.initializers.normal()])
def test_a_joined_map_is_linear_in_both_side_by_side(bias_init):
    rng = np.random.default_rng(0)
    outputs_BSD, query_BD = (
        jnp.float32(rng.normal(size=(2, 3, 4))),
        jnp.float32(rng.normal(size=(2, 5))),
    )
    joined = Joined(6, (4, 5), jax.nn.initializers.normal(), bias_init)
    bound = joined.bind(joined.init(jax.random.PRNGKey(0), jnp.zeros((1, 1, 6)), query_BD[:1]))
    found_BSX = bound(bound.keys(outputs_BSD), query_BD)
    bias = 0 if bias_init is None else np.array(bound.bias)
    for row, position in np.ndindex(2, 3):
        both = np.concatenate([outputs_BSD[row, position], query_BD[row]])
        expected = both @ np.array(bound.kernel) + bias
        np.testing.assert_allclose(found_BSX[row, position], expected, rtol=1e-4, atol=1e-6)


def test_the_probability_of_a_triple_is_that_of_its_three_choices():
    row = Choices(np.array([[2, 0, 5], [STOP] * 3]), np.log([[0.5, 0.5, 0.2], [1, 1, 1]]))
    assert list(choices.triples(row)) == [
        (2, 0, 5, pytest.approx(0.05)),
        (STOP, STOP, STOP, pytest.approx(1)),
    ]


def test_of_equal_triples_the_first_stays():
    a, b = Found((0, 1), (2, 3), 0, 0.5), Found((2, 3), (0, 1), 0, 0.5)
    assert choices.unique([a, b, a._replace(probability=0.9)]) == [a, b]
