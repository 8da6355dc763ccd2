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


def _mask_fn(source_rate, target_rate):
    return jax.jit(
        lambda key, batch: losses.mask_tokens(
            key,
            batch,
            source_rate=source_rate,
            target_rate=target_rate,
            mask_id=MASK_ID,
            vocab=VOCAB,
        )
    )


@pytest.fixture(scope="module")
def mask_fn():
    return _mask_fn(0.15, 0.15)


def test_masking_follows_its_definition(mask_fn):
    batch = _batch()
    seen_fates = {"mask": 0, "random": 0, "same": 0}
    for seed in range(20):
        masked = mask_fn(jax.random.PRNGKey(seed), batch)
        tokens_BL, targets = jax.tree.map(np.asarray, masked)
        assert targets.num_overflow == 0
        for row in range(len(batch.length_B)):
            source, length = batch.source_length_B[row], batch.length_B[row]
            maskable = [p for p in range(1, length) if p != source - 1]
            hidden = targets.position_BP[row][targets.counts_BP[row]]
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


@pytest.mark.parametrize(("source_rate", "target_rate"), [(0.0, 0.7), (0.15, 0.6)])
def test_each_side_is_hidden_at_its_own_rate(source_rate, target_rate):
    """Both rates come out on average, and so many are hidden in each row."""
    mask_fn = _mask_fn(source_rate, target_rate)
    num_rows = 400
    shape = (num_rows, LENGTH)
    source_B, length_B = np.full(num_rows, 14), np.full(num_rows, LENGTH)
    tokens_BL, labels_BL = np.full(shape, 7), np.zeros(shape, np.int32)
    batch = Batch(tokens_BL, labels_BL, source_B, length_B, np.arange(num_rows), 10)
    maskable_BL = np.array(losses.maskable(batch))
    hidden_BL = np.zeros(shape, int)
    for seed in range(5):
        _, targets = mask_fn(jax.random.PRNGKey(seed), batch)
        assert targets.num_overflow == 0
        expected = round(source_rate * 12 + target_rate * 10)
        np.testing.assert_array_equal(targets.counts_BP.sum(1), expected)
        for row in range(num_rows):
            hidden_BL[
                row, np.array(targets.position_BP[row])[np.array(targets.counts_BP[row])]
            ] += 1
    assert not hidden_BL[~maskable_BL].any()
    shares = [hidden_BL[:, 1:13].mean() / 5, hidden_BL[:, 14:].mean() / 5]
    rounding = expected / (source_rate * 12 + target_rate * 10)
    np.testing.assert_allclose(shares, np.array([source_rate, target_rate]) * rounding, atol=0.03)


@pytest.mark.parametrize(("rate", "num_targets"), [(0.3, 95), (0.7, 45), (0.7, 85), (0.5, 5)])
def test_the_longest_target_has_room_where_rounding_is_a_close_call(rate, num_targets):
    """Of .3 * 95 Python makes 28 and float32 29, which then had 28 places."""
    length = num_targets + 3
    shape = (2, length)
    source_B, length_B = np.array([3, 4]), np.full(2, length)
    tokens_BL, labels_BL = np.full(shape, 7), np.zeros(shape, np.int32)
    batch = Batch(tokens_BL, labels_BL, source_B, length_B, np.arange(2), num_targets)
    _, targets = _mask_fn(0.0, rate)(jax.random.PRNGKey(0), batch)
    assert targets.num_overflow == 0
    wanted = targets.counts_BP[0].sum()
    assert abs(wanted - rate * num_targets) < 0.501


def test_there_is_room_for_what_float32_rounds_to_at_all_rates_and_lengths():
    """Of a row whose maskable positions are all of the target, half of them or none."""
    rates = np.arange(11) / 10
    source_X, target_X, length_X, share_X = (
        x.reshape(-1) for x in np.meshgrid(rates, rates, np.arange(513), [0, 1, 2])
    )
    num_targets_X = length_X * share_X // 2

    @jax.jit
    def wanted(*given_X):
        return jnp.round(losses.expected_hidden(*given_X))

    given = source_X, target_X, length_X, num_targets_X
    wanted_X = wanted(*(np.float32(x) for x in given[:2]), *given[2:])
    expected_X = losses.expected_hidden(*given)
    room_X = np.array([losses.room(expected) for expected in expected_X])
    assert (room_X >= wanted_X).all()
    assert (room_X <= np.maximum(1, np.ceil(expected_X + 1e-3))).all(), "and no more than that"
    is_close_X = np.abs(expected_X % 1 - 0.5) < 1e-3
    assert (room_X == np.maximum(1, np.round(expected_X)))[~is_close_X].all()


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


def test_twins_predict_the_tokens_that_they_stand_for():
    batch = _batch(num_targets=6)
    targets = losses.twin_tokens(batch)
    assert targets.num_overflow == np.maximum(batch.length_B - batch.source_length_B - 6, 0).sum()
    for row, (source, length) in enumerate(zip(batch.source_length_B, batch.length_B, strict=True)):
        counts = np.array(targets.counts_BP[row])
        expected = np.arange(source, min(length, source + 6))
        assert np.array(targets.position_BP[row]).tolist() == list(range(LENGTH, LENGTH + 6))
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


@pytest.fixture(scope="module")
def targets():
    rng = np.random.default_rng(0)
    shape = (3, 4)
    token_BP, label_BP, counts_BP = (
        jnp.array(x)
        for x in (rng.integers(0, 9, shape), rng.integers(0, 3, shape), rng.random(shape) < 0.6)
    )
    nowhere_BP = jnp.zeros(shape, int)
    return losses.Targets(nowhere_BP, nowhere_BP, token_BP, label_BP, counts_BP, 0)


def _expected(logits, true_BP, counts_BP):
    """Summed negative log-probability and number of right ones, of what counts."""
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    picked = np.take_along_axis(log_probs, np.array(true_BP)[..., None], -1)[..., 0]
    return -picked[counts_BP].sum(), (logits.argmax(-1) == true_BP)[counts_BP].sum()


def test_sums_against_numpy(targets):
    rng = np.random.default_rng(1)
    token_logits, bio_logits = rng.normal(size=(3, 4, 9)), rng.normal(size=(3, 4, 3))
    counts_BP = np.array(targets.counts_BP)
    scores = losses.vocabulary_scores(jnp.array(token_logits), targets.token_BP)
    got = losses.sums(scores, jnp.array(bio_logits), targets, 0.3)
    token_loss, token_right = _expected(token_logits, targets.token_BP, counts_BP)
    bio_loss, bio_right = _expected(bio_logits, targets.label_BP, counts_BP)
    np.testing.assert_allclose(got["token_loss"][0], token_loss, rtol=1e-5)
    np.testing.assert_allclose(got["bio_loss"][0], bio_loss, rtol=1e-5)
    np.testing.assert_allclose(got["loss"][0], 0.3 * token_loss + 0.7 * bio_loss, rtol=1e-5)
    assert (got["token_accuracy"][0], got["bio_accuracy"][0]) == (token_right, bio_right)
    assert {int(count) for _, count in got.values()} == {counts_BP.sum()}
    assert got["unwritable"][0] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_scores_of_places_are_sums_over_the_places_of_a_token(targets, smoothing):
    """Token by token in a loop; places that can't be taken, tokens that stand nowhere."""
    rng = np.random.default_rng(2)
    ids_BX = rng.integers(0, 9, (3, 7))
    logits_BPX = rng.normal(size=(3, 4, 7))
    logits_BPX[:, :, 5:][rng.random((3, 1, 2)).repeat(4, 1) < 0.5] = -np.inf
    scores_fn = jax.jit(losses.place_scores, static_argnums=3)
    scores = scores_fn(jnp.array(logits_BPX), jnp.array(ids_BX), targets.token_BP, smoothing)
    found = 0
    for row in range(3):
        for p in range(4):
            logits, token = logits_BPX[row, p], int(targets.token_BP[row, p])
            probs = np.exp(logits) / np.exp(logits).sum()
            mass = probs[ids_BX[row] == token].sum()
            assert scores.found_BP[row, p] == (mass > 0)
            assert scores.right_BP[row, p] == (ids_BX[row, logits.argmax()] == token)
            if mass > 0:
                smooth = -np.log(probs[probs > 0]).mean()
                expected = (1 - smoothing) * -np.log(mass) + smoothing * smooth
                np.testing.assert_allclose(scores.loss_BP[row, p], expected, rtol=1e-5)
                found += 1
    assert 0 < found < 12

    def loss(logits_BPX):
        scores = losses.place_scores(logits_BPX, jnp.array(ids_BX), targets.token_BP, smoothing)
        return jnp.where(scores.found_BP, scores.loss_BP, 0).sum()

    gradient = jax.jit(jax.grad(loss))(jnp.array(logits_BPX))
    assert np.isfinite(gradient).all()
    assert not gradient[~np.array(scores.found_BP)].any()


def test_tokens_that_cannot_be_written_are_left_out_and_counted(targets):
    """They count for labels alone, as do those that are not asked for."""
    rng = np.random.default_rng(4)
    counts_BP = np.array(targets.counts_BP)
    loss_BP, bio_logits = rng.random((3, 4)), rng.normal(size=(3, 4, 3))
    found_BP, asked_BP = rng.random((3, 4)) < 0.7, rng.random((3, 4)) < 0.8
    scores = losses.TokenScores(*map(jnp.array, (loss_BP, found_BP, found_BP)))
    got = losses.sums(scores, jnp.array(bio_logits), targets, 0.3, jnp.array(asked_BP))
    scored_BP = counts_BP & found_BP & asked_BP
    assert 0 < scored_BP.sum() < (counts_BP & asked_BP).sum() < counts_BP.sum()
    np.testing.assert_allclose(got["token_loss"][0], loss_BP[scored_BP].sum(), rtol=1e-5)
    assert got["token_loss"][1] == scored_BP.sum()
    assert got["unwritable"][0] == (counts_BP & asked_BP).sum() - scored_BP.sum()
    bio_loss, _ = _expected(bio_logits, targets.label_BP, counts_BP)
    expected = 0.3 * loss_BP[scored_BP].sum() + 0.7 * bio_loss
    np.testing.assert_allclose(got["loss"][0], expected, rtol=1e-5)
    assert got["loss"][1] == counts_BP.sum()


def test_smoothing_spreads_a_share_over_the_vocabulary(targets):
    logits = np.random.default_rng(4).normal(size=(3, 4, 9))
    scores = losses.vocabulary_scores(jnp.array(logits), targets.token_BP, 0.1)
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    target = 0.9 * np.eye(9)[np.array(targets.token_BP)] + 0.1 / 9
    np.testing.assert_allclose(scores.loss_BP, -(target * log_probs).sum(-1), rtol=1e-5)


def _counted(num_counted, num_rows=2, num_places=150, vocab=11, width=2):
    """States, kernel and bias of small whole numbers, whose logits are often equal, and targets."""
    rng = np.random.default_rng(num_counted)
    shape = num_rows, num_places
    arrays = [
        rng.integers(-1, 2, of).astype(np.float32)
        for of in ((*shape, width), (width, vocab), vocab)
    ]
    counts_BP = np.zeros(num_rows * num_places, bool)
    counts_BP[rng.permutation(counts_BP.size)[:num_counted]] = True
    nowhere_BP = jnp.zeros(shape, int)
    token_BP = jnp.array(rng.integers(0, vocab, shape))
    counts_BP = jnp.array(counts_BP.reshape(shape))
    return arrays, losses.Targets(nowhere_BP, nowhere_BP, token_BP, nowhere_BP, counts_BP, 0)


def _logits(hidden_BPD, kernel_DV, bias_V):
    return hidden_BPD @ kernel_DV + bias_V[None, None]


@pytest.mark.parametrize("num_counted", [0, 1, 128, 129, 256, 300])
def test_sums_over_the_vocabulary_need_no_more_than_what_counts(num_counted):
    """The sums of the definition, position by position, in parts of which some are not full.

    Of equal logits the first is the likeliest; what does not count is not read.
    """
    arrays, targets = _counted(num_counted)
    logits_BPV = _logits(*(x.astype(np.float64) for x in arrays))
    loss = num_right = num_tied = 0
    for row, place in np.argwhere(np.array(targets.counts_BP)):
        logits, token = logits_BPV[row, place], int(targets.token_BP[row, place])
        loss += np.log(np.exp(logits).sum()) - logits[token]
        num_right += next(n for n, x in enumerate(logits) if x == max(logits)) == token
        num_tied += (logits == max(logits)).sum() > 1 and logits[token] == max(logits)
    assert (num_tied > 10) == (num_counted > 100)
    arrays[0][~np.array(targets.counts_BP)] = np.nan
    got = jax.jit(losses.vocabulary_sums)(*arrays, targets)
    np.testing.assert_allclose(got.loss, loss, rtol=1e-5)
    assert (got.num_right, got.num_scored, got.num_asked) == (num_right, num_counted, num_counted)


@pytest.mark.parametrize("num_counted", [0, 7, 250])
def test_gradients_of_sums_over_the_vocabulary(num_counted):
    """Those of logits that are held all at once, of a loss that the sum is a part of."""
    arrays, targets = _counted(num_counted)

    def by_parts(arrays):
        sums = losses.vocabulary_sums(*arrays, targets)
        return jnp.square(sums.loss) + sums.num_right

    def at_once(arrays):
        scores = losses.vocabulary_scores(_logits(*arrays), targets.token_BP)
        return jnp.square(jnp.where(targets.counts_BP, scores.loss_BP, 0).sum())

    got, expected = (jax.jit(jax.grad(f))(arrays) for f in (by_parts, at_once))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-3 * num_counted / 250)
    if num_counted:
        assert all(np.abs(one).max() > 1 for one in got)
