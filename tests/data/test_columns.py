"""Batches of named columns: every example once an epoch, padded, on any number of processes."""

import numpy as np
import pytest

from grel.data.columns import ColumnBatches, ColumnsError


def _examples(lengths):
    rng = np.random.default_rng(0)
    return [
        {
            "words": np.full(n, number + 1, np.int32),
            "spans": rng.integers(1, 9, (number % 3, 2)).astype(np.int32),
        }
        for number, n in enumerate(lengths)
    ]


LENGTHS = [3, 7, 1, 5, 0, 2, 4, 8, 6, 3]


@pytest.mark.parametrize("seed", [None, 1])
def test_every_example_comes_once_an_epoch_as_it_is(seed):
    examples = _examples(LENGTHS)
    batches = ColumnBatches(examples, lambda padded: padded, 4, (2, 5, 9, 20), seed=seed)
    assert batches.num_batches == 3
    for epoch in range(2):
        numbers = []
        for step in range(3 * epoch, 3 * epoch + 3):
            own = batches.examples(step)
            numbers += own
            padded = batches[step]
            assert padded.row_B.tolist() == [0, 1, 2, 3]
            assert padded.columns["words"].shape[1] in (2, 5, 9)
            for row in range(4):
                example = examples[own[row]] if row < len(own) else None
                for name, column in padded.columns.items():
                    length = padded.lengths[name][row]
                    assert length == (0 if example is None else len(example[name]))
                    if example is not None:
                        np.testing.assert_array_equal(column[row, :length], example[name])
                    assert not column[row, length:].any()
        assert sorted(numbers) == list(range(10))
    shapes = {batches[step].columns["words"].shape[1] for step in range(6)}
    for size in shapes:  # one shape a bucket, whatever the batch
        assert len({b.columns["spans"].shape for b in map(batches.__getitem__, range(6))
                    if b.columns["words"].shape[1] == size}) == 1  # fmt: skip


def test_columns_that_happen_to_be_as_long_as_the_words_are_padded_as_ever():
    example = {name: np.ones(n, np.int32) for name, n in (("words", 5), ("tags", 5), ("gold", 5))}
    padded = ColumnBatches([example] * 2, lambda padded: padded, 2, (9,), seed=None)[0]
    assert {name: column.shape for name, column in padded.columns.items()} == {
        "words": (2, 9),
        "tags": (2, 9),
        "gold": (2, 5),
    }


def test_processes_have_the_parts_of_one_batch():
    examples = _examples(LENGTHS)

    def make(shard):
        return ColumnBatches(examples, lambda padded: padded, 4, (9,), seed=3, shard=shard)

    whole, parts = make((0, 1)), [make((n, 2)) for n in range(2)]
    for step in range(3):
        for name, column in whole[step].columns.items():
            joined = np.concatenate([part[step].columns[name] for part in parts])
            np.testing.assert_array_equal(joined, column)
        rows = np.concatenate([part[step].row_B for part in parts])
        np.testing.assert_array_equal(rows, whole[step].row_B)


def test_what_cannot_be_batched_is_told():
    with pytest.raises(ColumnsError, match="the split is empty"):
        ColumnBatches([], lambda padded: padded, 4, (9,), seed=None)
    with pytest.raises(ColumnsError, match=r"has 8 words, more than the last of .*, 5"):
        ColumnBatches(_examples(LENGTHS), lambda padded: padded, 4, (2, 5), seed=None)
