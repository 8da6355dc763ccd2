"""Batches of examples that are named columns, each as long as it happens to be.

Word-level families have examples of words, characters, spans and labels. A column's first axis is
ragged and is padded with zeros: of `_PER_WORD` to the bucket, of every other column to the longest
that an example of the bucket, or of a shorter one, has. So the number of shapes is that of the
buckets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from grel.data.pipeline import plan
from grel.errors import UserError

Example = Mapping[str, np.ndarray]

# Columns with an entry for each word. That others are as long may be chance.
_PER_WORD = frozenset({"words", "chars", "tags"})


class ColumnsError(UserError):
    """Examples that can't be batched: says which and how to mend it."""


class Padded(NamedTuple):
    """Rows of a batch.

    Attributes:
        columns: by name, padded, with the row as their first axis; zeros in an empty row.
        lengths: by name, how long each row's column is, lengths_B; 0 in an empty row.
        totals: by name, the lengths of all rows of the global batch, added up.
        row_B: number of the row in the global batch, which seeds what is random in it.
    """

    columns: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    totals: dict[str, int]
    row_B: np.ndarray


class ColumnBatches:
    """All batches of a training run or of one pass over a split; see `families.base.Batches`.

    Args:
        examples: all with the same columns, "words" among them.
        make: the family's batch of padded columns.
        batch_size: rows of a global batch, over all processes.
        buckets: numbers of words to pad to, ascending.
        seed: of the order; None keeps the order of the examples within each bucket.
        shard: (index, count); this process takes block `index` of `count` equal blocks of rows.

    Raises ColumnsError where there are no examples, or one is longer than the last bucket.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        make: Callable[[Padded], Any],
        batch_size: int,
        buckets: Sequence[int],
        *,
        seed: int | None,
        shard: tuple[int, int] = (0, 1),
    ):
        if not examples:
            raise ColumnsError(
                "there are no examples to make batches from: the split is empty, or none of its "
                "documents can be taught"
            )
        longest = max(len(example["words"]) for example in examples)
        if longest > buckets[-1]:
            raise ColumnsError(
                f"an example has {longest} words, more than the last of config.data.buckets, "
                f"{buckets[-1]}; add a longer one"
            )
        index, count = shard
        self._examples, self._make = examples, make
        self._batch_size, self._seed = batch_size, seed
        self._rows = slice(index * batch_size // count, (index + 1) * batch_size // count)
        self._buckets = [b for n, b in enumerate(buckets) if not n or buckets[n - 1] < longest]
        lengths = {name: np.array([len(e[name]) for e in examples]) for name in examples[0]}
        self._bucket_E = np.searchsorted(self._buckets, lengths["words"])
        # Examples move up only, so a bucket's longest column is that of all shorter buckets too.
        self._sizes = [
            {
                name: bucket
                if name in _PER_WORD
                else int(lengths_E[self._bucket_E <= n].max(initial=0))
                for name, lengths_E in lengths.items()
            }
            for n, bucket in enumerate(self._buckets)
        ]
        self._plan = functools.lru_cache(maxsize=1)(self._make_plan)

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._examples) // self._batch_size)

    def _make_plan(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        return plan(self._bucket_E, len(self._buckets), self._batch_size, self._seed, epoch)

    def __getitem__(self, step: int) -> Any:
        """This process's rows of the batch of a step."""
        epoch, index = divmod(step, self.num_batches)
        bucket, numbers = self._plan(epoch)[index]
        examples = [self._examples[number] for number in numbers]
        return self._make(pad(examples, self._sizes[bucket], self._rows))

    def examples(self, step: int) -> list[int]:
        """Which examples are in the global batch of a step."""
        epoch, index = divmod(step, self.num_batches)
        return self._plan(epoch)[index][1].tolist()


def pad(examples: Sequence[Example], sizes: Mapping[str, int], rows: slice) -> Padded:
    """Some rows of the global batch of these examples; those behind the examples are empty.

    Args:
        sizes: by name, the length to pad a column to.
    """
    row_B = np.arange(rows.start, rows.stop, dtype=np.int32)
    own = examples[rows]
    columns, lengths, totals = {}, {}, {}
    for name, size in sizes.items():
        like = examples[0][name]
        columns[name] = np.zeros((len(row_B), size, *like.shape[1:]), like.dtype)
        lengths[name] = np.zeros(len(row_B), np.int32)
        for row, example in enumerate(own):
            columns[name][row, : len(example[name])] = example[name]
            lengths[name][row] = len(example[name])
        totals[name] = sum(len(example[name]) for example in examples)
    return Padded(columns, lengths, totals, row_B)
