"""What is masked and predicted, against the definition of METHOD section 5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.data.pipeline import Batch
from grel.models import losses

LENGTH, VOCAB, MASK_ID = 24, 1000, 4


def _batch(num_rows=64, seed=0, num_targets=LENGTH):
    rng = np.random.default_rng(seed)
    length_B = rng.integers(3, LENGTH + 1, num_rows)
    source_B = np.array([rng.integers(2, n) for n in length_B])
    length_B[:2], source_B[:2] = 0, 0  # empty rows fill up a batch
    length_B[2], source_B[2] = LENGTH, LENGTH - 1  # the longest, with an empty target
    tokens_BL = rng.integers(5, VOCAB, (num_rows, LENGTH)).astype(np.int32)
    labels_BL = rng.integers(0, 3, (num_rows, LENGTH)).astype(np.int32)
    return Batch(tokens_BL, labels_BL, source_B, length_B, np.arange(num_rows), num_targets)


@pytest.fixture(scope="module")
def mask_fn():
    return jax.jit(
        lambda key, batch: losses.mask_tokens(key, batch, rate=0.15, mask_id=MASK_ID, vocab=VOCAB)
    )


def test_masking_follows_its_definition(mask_fn):
    batch = _batch()
    seen_fates = {"mask": 0, "random": 0, "same": 0}
    for seed in range(20):
        tokens_BL, targets = mask_fn(jax.random.PRNGKey(seed), batch)
        assert targets.num_overflow == 0
        for row in range(len(batch.length_B)):
            source, length = batch.source_length_B[row], batch.length_B[row]
            maskable = [p for p in range(1, length) if p != source - 1]
            hidden = np.array(targets.position_BP[row])[np.array(targets.counts_BP[row])]
            expected = max(1, round(0.15 * len(maskable))) if maskable else 0
            assert len(set(hidden)) == len(hidden) == expected
            assert set(hidden) <= set(maskable)
            untouched = np.setdiff1d(np.arange(LENGTH), hidden)
            np.testing.assert_array_equal(
                tokens_BL[row, untouched], batch.tokens_BL[row, untouched]
            )
            for slot, place in enumerate(hidden):
                assert targets.token_BP[row, slot] == batch.tokens_BL[row, place]
                assert targets.label_BP[row, slot] == batch.labels_BL[row, place]
                new, old = int(tokens_BL[row, place]), int(batch.tokens_BL[row, place])
                fate = "mask" if new == MASK_ID else "same" if new == old else "random"
                seen_fates[fate] += 1
    total = sum(seen_fates.values())
    shares = [seen_fates[fate] / total for fate in ("mask", "random", "same")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.03)


def test_every_maskable_position_gets_its_turn(mask_fn):
    batch = _batch(8)
    hidden_BL = np.zeros((8, LENGTH), bool)
    for seed in range(150):
        _, targets = mask_fn(jax.random.PRNGKey(seed), batch)
        for row in range(8):
            hidden_BL[row, np.array(targets.position_BP[row])[np.array(targets.counts_BP[row])]] = 1
    np.testing.assert_array_equal(hidden_BL, losses.maskable(batch))


def test_masks_follow_the_row_number_and_not_the_place_in_the_batch(mask_fn):
    batch = _batch(16)
    half = jax.tree.map(lambda x: np.concatenate([x[8:], x[8:]]), batch)
    key = jax.random.PRNGKey(3)
    whole, part = mask_fn(key, batch), mask_fn(key, half)
    np.testing.assert_array_equal(whole[0][8:], part[0][:8])
    assert not np.array_equal(whole[0], mask_fn(jax.random.PRNGKey(4), batch)[0])


def test_causal_targets_are_the_next_tokens():
    batch = _batch()
    targets = losses.next_tokens(batch)
    assert targets.num_overflow == 0
    for row in range(len(batch.length_B)):
        source, length = batch.source_length_B[row], batch.length_B[row]
        counts = np.array(targets.counts_BP[row])
        # The first [SEP] predicts y1, ..., the last target token predicts the final [SEP].
        expected = np.arange(source, length)
        np.testing.assert_array_equal(np.array(targets.position_BP[row])[counts], expected - 1)
        np.testing.assert_array_equal(
            np.array(targets.token_BP[row])[counts], batch.tokens_BL[row, expected]
        )
        np.testing.assert_array_equal(
            np.array(targets.label_BP[row])[counts], batch.labels_BL[row, expected]
        )


def test_targets_without_room_are_counted():
    batch = _batch(num_targets=5)
    targets = losses.next_tokens(batch)
    missing = np.maximum(batch.length_B - batch.source_length_B - 5, 0).sum()
    assert targets.num_overflow == missing > 0


def test_sums_against_numpy():
    rng = np.random.default_rng(0)
    token_logits, bio_logits = rng.normal(size=(3, 4, 9)), rng.normal(size=(3, 4, 3))
    counts_BP = rng.random((3, 4)) < 0.5
    token_BP, label_BP = rng.integers(0, 9, (3, 4)), rng.integers(0, 3, (3, 4))
    targets = losses.Targets(
        jnp.zeros((3, 4), int), jnp.array(token_BP), jnp.array(label_BP), jnp.array(counts_BP), 0
    )
    got = losses.sums(jnp.array(token_logits), jnp.array(bio_logits), targets, 0.3)

    def expected(logits, true_BP):
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        picked = np.take_along_axis(log_probs, true_BP[..., None], -1)[..., 0]
        right = (logits.argmax(-1) == true_BP)[counts_BP].sum()
        return -picked[counts_BP].sum(), right

    token_loss, token_right = expected(token_logits, token_BP)
    bio_loss, bio_right = expected(bio_logits, label_BP)
    np.testing.assert_allclose(got["token_loss"][0], token_loss, rtol=1e-5)
    np.testing.assert_allclose(got["bio_loss"][0], bio_loss, rtol=1e-5)
    np.testing.assert_allclose(got["loss"][0], 0.3 * token_loss + 0.7 * bio_loss, rtol=1e-5)
    assert (got["token_accuracy"][0], got["bio_accuracy"][0]) == (token_right, bio_right)
    assert {int(count) for _, count in got.values()} == {counts_BP.sum()}
