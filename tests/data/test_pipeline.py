"""Batches against rows packed by hand, and what an epoch, a resumed run and shards rely on."""

import itertools

import jax
import numpy as np
import pytest

from grel.corpora import synthetic
from grel.data import features
from grel.data.features import Features, LeftOut, Options
from grel.data.pipeline import Batches
from grel.records import Document
from grel.text import bio, linearize
from grel.text.wordpiece import SPECIAL, Wordpiece, train_vocabulary

# Special ids that are neither the lowest nor in the order in which they are packed.
WORDPIECE = Wordpiece(["[unused0]", "[SEP]", "[MASK]", "[CLS]", "a", "[PAD]", "[UNK]", "[unused1]"],
                      [])  # fmt: skip
BUCKETS = (12, 16, 24, 40)
FIRST_ID = 1000


def _features(num_examples, rng=None, longest=37):
    """Random examples; the first source token of each is its own, to know it again."""
    rng = rng or np.random.default_rng(num_examples)
    length_E = rng.integers(1, longest + 1, num_examples)
    length_E[0] = longest
    source_length_E = rng.integers(1, length_E + 1)
    start_E = np.concatenate([[0], np.cumsum(length_E)])
    tokens = rng.integers(10, FIRST_ID, start_E[-1])
    tokens[start_E[:-1]] = FIRST_ID + np.arange(num_examples)
    labels = rng.integers(0, 3, start_E[-1])
    return Features(
        tokens.astype(np.uint16),
        labels.astype(np.uint8),
        rng.integers(1, 256, (start_E[-1], 2)).astype(np.uint8),
        start_E,
        source_length_E.astype(np.int32),
        left_out=LeftOut(),
    )


def _epoch(batches, epoch=0):
    return [batches[epoch * batches.num_batches + n] for n in range(batches.num_batches)]


def _examples(batch):
    """The examples of a batch by number, in the order of its rows; None for an empty row."""
    first_B = batch.tokens_BL[:, 1] - FIRST_ID
    return [int(i) if n else None for i, n in zip(first_B, batch.length_B, strict=True)]


def _assert_same(one, other):
    assert one.num_targets == other.num_targets
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def _literal_row(found, i, length):
    """[CLS] S1 [SEP] S2 [SEP] and padding, and the labels."""
    w = WORDPIECE
    if i is None:
        return [w.pad_id] * length, [bio.O] * length, 0, 0, [[0, 0]] * length
    start, end = found.start_E[i : i + 2]
    cut = start + found.source_length_E[i]
    source, target = found.tokens[start:cut].tolist(), found.tokens[cut:end].tolist()
    row = [w.cls_id, *source, w.sep_id, *target, w.sep_id]
    source_labels, target_labels = found.labels[start:cut], found.labels[cut:end]
    labels = [bio.O, *source_labels, bio.O, *target_labels, bio.O]
    padding = length - len(row)
    marks = [[0, 0], *found.marks[start:cut].tolist()]
    marks += [[0, 0]] * (length - len(marks))
    return row + [w.pad_id] * padding, labels + [bio.O] * padding, len(source) + 2, len(row), marks


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("num_examples", [1, 5, 64, 203])
def test_rows_against_rows_packed_by_hand(num_examples, seed):
    found = _features(num_examples)
    for batch in _epoch(Batches(found, WORDPIECE, 8, BUCKETS, seed=seed)):
        assert batch.tokens_BL.shape == batch.labels_BL.shape
        expected = zip(
            *(_literal_row(found, i, batch.tokens_BL.shape[1]) for i in _examples(batch)),
            strict=True,
        )
        got = (
            *(batch.tokens_BL, batch.labels_BL, batch.source_length_B, batch.length_B),
            batch.marks_BLZ,
        )
        for array, rows in zip(got, expected, strict=True):
            np.testing.assert_array_equal(array, rows)
        assert batch.row_B.tolist() == list(range(8))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(batch)} == {"int32", "uint8"}


def test_rows_by_hand():
    found = Features(
        tokens=np.array([11, 12, 13, 21, 22, 31], np.uint16),
        labels=np.array([0, 1, 2, 1, 0, 1], np.uint8),
        marks=np.zeros((6, 0), np.uint8),
        start_E=np.array([0, 5, 6, 6]),
        source_length_E=np.array([3, 0, 0], np.int32),
        left_out=LeftOut(),
    )
    batch = Batches(found, WORDPIECE, 4, (10,), seed=None)[0]
    cls, sep, pad = WORDPIECE.cls_id, WORDPIECE.sep_id, WORDPIECE.pad_id
    assert batch.marks_BLZ is None
    assert batch.tokens_BL.tolist() == [
        [cls, 11, 12, 13, sep, 21, 22, sep, pad, pad],
        [cls, sep, 31, sep, *[pad] * 6],
        [cls, sep, sep, *[pad] * 7],
        [pad] * 10,
    ]
    assert batch.labels_BL.tolist() == [
        [0, 0, 1, 2, 0, 1, 0, 0, 0, 0],
        [0, 0, 1, *[0] * 7],
        [0] * 10,
        [0] * 10,
    ]
    assert batch.source_length_B.tolist() == [5, 2, 2, 0]
    assert batch.length_B.tolist() == [8, 4, 3, 0]
    assert batch.num_targets == 3


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("batch_size", [1, 4, 32, 500])
def test_every_example_once_an_epoch(batch_size, seed):
    found = _features(203)
    batches = Batches(found, WORDPIECE, batch_size, BUCKETS, seed=seed)
    for epoch in range(3):
        rows = [_examples(batch) for batch in _epoch(batches, epoch)]
        assert sorted(i for row in rows for i in row if i is not None) == list(range(203))
        # Only one batch is not full, and its empty rows are its last.
        assert sum(None in row for row in rows) <= 1
        for row in rows:
            assert len(row) == batch_size
            num_real = batch_size - row.count(None)
            assert num_real
            assert None not in row[:num_real]
    assert batches.num_batches == -(-203 // batch_size)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_buckets_hold_their_rows_and_few_rows_move_up(batch_size):
    found = _features(203)
    moved = dict.fromkeys(BUCKETS, 0)
    for batch in _epoch(Batches(found, WORDPIECE, batch_size, BUCKETS, seed=0)):
        length = batch.tokens_BL.shape[1]
        assert length in BUCKETS
        assert batch.length_B.max() <= length
        for bucket in BUCKETS:
            fits = (batch.length_B > 0) & (batch.length_B <= bucket)
            moved[bucket] += int(fits.sum()) if bucket < length else 0
    assert all(count < batch_size for count in moved.values())
    assert batch_size == 1 or any(moved.values())


def test_the_number_of_targets_is_a_bound_and_static():
    found = _features(203)
    batches = Batches(found, WORDPIECE, 8, BUCKETS, seed=0)
    for batch in itertools.chain(_epoch(batches, 0), _epoch(batches, 1)):
        length = batch.tokens_BL.shape[1]
        # Of all examples that can be in this bucket, in whatever epoch.
        bound = (found.target_length_E + 1)[found.packed_length_E <= length].max()
        assert batch.num_targets == bound
        assert (batch.length_B - batch.source_length_B).max() <= bound
        assert len(jax.tree.leaves(batch)) == 6


def test_an_example_that_moves_up_brings_its_targets():
    found = Features(
        tokens=np.full(40, 11, np.uint16),
        labels=np.zeros(40, np.uint8),
        marks=np.zeros((40, 0), np.uint8),
        start_E=np.array([0, 9, 40]),
        source_length_E=np.array([1, 30], np.int32),
        left_out=LeftOut(),
    )
    batch = Batches(found, WORDPIECE, 2, BUCKETS, seed=None)[0]
    assert (batch.length_B - batch.source_length_B).tolist() == [9, 2]
    assert batch.num_targets == 9


def test_order_depends_on_seed_and_epoch():
    found = _features(203)

    def orders(seed):
        batches = Batches(found, WORDPIECE, 8, BUCKETS, seed=seed)
        return [list(map(_examples, _epoch(batches, epoch))) for epoch in (0, 1)]

    assert orders(0) == orders(0)
    one, other = orders(0), orders(1)
    assert len({str(order) for order in (*one, *other)}) == 4
    # Not only do batches change places, they hold other examples.
    assert len({frozenset(batch) for batch in one[0]} & {frozenset(b) for b in one[1]}) < 3
    assert orders(None)[0] == orders(None)[1]


def test_short_and_long_batches_are_mixed():
    batches = Batches(_features(203), WORDPIECE, 8, BUCKETS, seed=0)
    lengths = [[batch.tokens_BL.shape[1] for batch in _epoch(batches, epoch)] for epoch in (0, 1)]
    assert lengths[0] != sorted(lengths[0])
    assert lengths[0] != lengths[1]
    assert sorted(lengths[0]) == sorted(lengths[1])


def test_without_a_seed_the_order_of_the_features_is_kept():
    found = _features(203, longest=9)
    batches = Batches(found, WORDPIECE, 8, (12,), seed=None)
    order = [i for batch in _epoch(batches) for i in _examples(batch) if i is not None]
    assert order == list(range(203))


def test_a_step_needs_no_step_before_it():
    found = _features(203)
    sequential = Batches(found, WORDPIECE, 8, BUCKETS, seed=3)
    steps = [sequential[n] for n in range(3 * sequential.num_batches)]
    for n in (0, 1, sequential.num_batches - 1, sequential.num_batches, len(steps) - 1):
        _assert_same(Batches(found, WORDPIECE, 8, BUCKETS, seed=3)[n], steps[n])
    for n in range(len(steps) - 1, -1, -5):
        _assert_same(sequential[n], steps[n])


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("num_examples", [3, 203])
def test_shards_put_together_are_the_global_batch(num_examples, count):
    found = _features(num_examples)
    whole = Batches(found, WORDPIECE, 8, BUCKETS, seed=5)
    shards = [
        Batches(found, WORDPIECE, 8, BUCKETS, seed=5, shard=(index, count))
        for index in range(count)
    ]
    assert {shard.num_batches for shard in shards} == {whole.num_batches}
    for step in range(2 * whole.num_batches):
        parts = [shard[step] for shard in shards]
        assert {len(part.length_B) for part in parts} == {8 // count}
        assert {part.num_targets for part in parts} == {whole[step].num_targets}
        _assert_same(jax.tree.map(lambda *part: np.concatenate(part), *parts), whole[step])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": _features(3, longest=41)}, r"buckets .* reach the longest example, 44"),
        ({"buckets": (12, 12, 40)}, r"buckets \(12, 12, 40\) must ascend"),
        ({"buckets": (40, 12)}, r"buckets \(40, 12\) must ascend"),
        ({"buckets": ()}, r"buckets \(\) must ascend"),
        ({"shard": (0, 3)}, "batch size 8 must be positive and divide by the 3 processes"),
        ({"batch_size": 0}, "batch size 0 must be positive"),
        ({"shard": (2, 2)}, r"shard \(2, 2\) is not \(index, count\)"),
        ({"shard": (-1, 2)}, r"shard \(-1, 2\) is not"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    arguments = {"features": _features(3), "batch_size": 8, "buckets": BUCKETS, **changes}
    with pytest.raises(ValueError, match=message):
        Batches(wordpiece=WORDPIECE, seed=0, **arguments)


def test_no_examples_no_batches():
    empty = features.build([], WORDPIECE, Options())
    with pytest.raises(ValueError, match="there are no examples"):
        Batches(empty, WORDPIECE, 8, BUCKETS, seed=0)
    wordless = features.build([Document("1", "\u200b")], WORDPIECE, Options())
    with pytest.raises(ValueError, match="no text of the split has a word"):
        Batches(wordless, WORDPIECE, 8, BUCKETS, seed=0)


def test_from_documents_to_batches_and_back(tmp_path):
    documents = synthetic.generate("train", 30)
    vocabulary = train_vocabulary((d.text for d in documents), 600)
    wordpiece = Wordpiece(vocabulary, synthetic.RELATIONS)
    assert vocabulary[: len(SPECIAL)] == list(SPECIAL)
    found = features.build(documents, wordpiece, Options(), tmp_path)
    batches = Batches(found, wordpiece, 8, (64, 128, 256), seed=0)
    read = []
    for batch in _epoch(batches):
        rows = zip(batch.tokens_BL, batch.source_length_B, batch.length_B, strict=True)
        for row, source_length, length in rows:
            if not length:
                continue
            source = wordpiece.decode(row[1 : source_length - 1])
            target = row[source_length : length - 1].tolist()
            parsed = linearize.parse(target, wordpiece.form)
            assert parsed.num_malformed == 0
            read.append((source, [
                (wordpiece.decode(target[head]), wordpiece.relation(target[relation]),
                 wordpiece.decode(target[tail]))
                for head, tail, relation in parsed.triples
            ]))  # fmt: skip
    # Generated texts are words with single spaces between, so that decoding spells them.
    assert sorted(read) == sorted((d.text, [t.key for t in d.triples]) for d in documents)


def test_buckets_beyond_the_longest_example_are_as_if_they_were_not_there():
    found = _features(30)
    plain = Batches(found, WORDPIECE, 8, BUCKETS, seed=0)
    wide = Batches(found, WORDPIECE, 8, (*BUCKETS, 64, 512), seed=0)
    for one, other in zip(_epoch(plain), _epoch(wide), strict=True):
        _assert_same(one, other)
