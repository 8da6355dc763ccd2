"""Batches by length bucket, in an order that depends on the seed and the step alone.

There is no iterator state to save: batch `n` is computed from `n`, so resuming is starting to ask
at another number, and every process computes the same plan and takes its own rows of it. Bucketing
by length halves the padding; rows that do not fill a batch move up to the next longer bucket, and
the last batch is filled with empty rows, so no example is ever dropped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import flax.struct
import numpy as np

from grel.data.features import Features, FeaturesError
from grel.text import bio
from grel.text.wordpiece import Wordpiece


class Batch(flax.struct.PyTreeNode):
    """Packed examples `[CLS] S1 [SEP] S2 [SEP]`, padded to one length.

    Attributes:
        tokens_BL: wordpiece ids.
        labels_BL: BIO labels; O on special tokens and padding.
        source_length_B: length of `[CLS] S1 [SEP]`; 0 in an empty row.
        length_B: length of the whole; 0 in an empty row.
        row_B: number of the row in the global batch, which seeds what is random in it.
        num_targets: no row has more than this many tokens in `S2 [SEP]`; static.
        marks_BLZ: bits of the memory, of the tokens of S1; None where there is no memory.
    """

    tokens_BL: np.ndarray
    labels_BL: np.ndarray
    source_length_B: np.ndarray
    length_B: np.ndarray
    row_B: np.ndarray
    num_targets: int = flax.struct.field(pytree_node=False)
    marks_BLZ: np.ndarray | None = None

    @property
    def num_tokens(self) -> int:
        """How many tokens are no padding."""
        return int(self.length_B.sum())


def plan(
    bucket_E: np.ndarray, num_buckets: int, batch_size: int, seed: int | None, epoch: int
) -> list[tuple[int, np.ndarray]]:
    """(bucket, numbers of the examples) of each batch of an epoch; the last may be short.

    Args:
        bucket_E: the shortest bucket that each example fits in.
        seed: of the order, which differs from epoch to epoch; None keeps that of the examples.
    """
    order = np.arange(len(bucket_E))
    rng = np.random.default_rng((seed or 0, epoch))
    if seed is not None:
        rng.shuffle(order)
    batches = []
    waiting = order[:0]
    for bucket in range(num_buckets):
        waiting = np.concatenate([waiting, order[bucket_E[order] == bucket]])
        last = bucket == num_buckets - 1
        full = len(waiting) if last else len(waiting) - len(waiting) % batch_size
        for start in range(0, full, batch_size):
            batches.append((bucket, waiting[start : start + batch_size]))
        waiting = waiting[full:]
    if seed is not None:
        rng.shuffle(batches)
    return batches


class Batches:
    """All batches of a training run or of one pass over a data set.

    Args:
        features: the examples.
        wordpiece: for the special ids.
        batch_size: rows of a global batch, over all processes.
        buckets: packed lengths to pad to, ascending; the last is at least the longest example.
        seed: of the order; None keeps the order of the features within each bucket.
        shard: (index, count); this process takes block `index` of `count` equal blocks of rows.
        augment: the examples of each epoch by its number, as many as `features` has; None leaves
            them as they are.

    Raises ValueError, from the constructor, where these do not fit each other.
    """

    def __init__(
        self,
        features: Features,
        wordpiece: Wordpiece,
        batch_size: int,
        buckets: Sequence[int],
        *,
        seed: int | None,
        shard: tuple[int, int] = (0, 1),
        augment: Callable[[int], Features] | None = None,
    ):
        if not len(features):
            raise FeaturesError(
                "there are no examples to make batches from: the split is empty, or all of it is "
                "longer than the last of config.data.buckets"
            )
        if not len(features.tokens):
            raise FeaturesError("no text of the split has a word, so there is nothing to train on")
        lengths_E = features.packed_length_E
        ascending = bool(buckets) and list(buckets) == sorted(set(buckets))
        if not ascending or lengths_E.max() > buckets[-1]:
            raise ValueError(
                f"buckets {tuple(buckets)} must ascend and reach the longest example, "
                f"{lengths_E.max()} wordpieces"
            )
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(f"shard {shard} is not (index, count) with 0 <= index < count")
        if batch_size < 1 or batch_size % count:
            raise ValueError(
                f"batch size {batch_size} must be positive and divide by the {count} processes"
            )
        self._features, self._augment = features, augment
        self._wordpiece = wordpiece
        self._batch_size = batch_size
        # What fills no batch goes up at most to the bucket of the longest example.
        longest = buckets[-1] if augment else lengths_E.max()
        self._buckets = tuple(buckets[: int(np.searchsorted(buckets, longest)) + 1])
        self._seed = seed
        self._rows = slice(index * batch_size // count, (index + 1) * batch_size // count)
        bucket_E = np.searchsorted(self._buckets, lengths_E)
        # Examples move up only, so a bucket's longest target is that of all shorter buckets too.
        targets_E = features.target_length_E + 1
        # What an epoch may bring is not known; a batch has room for half of its length, the last
        # bucket for anything.
        room = [length // 2 for length in buckets[:-1]] + [buckets[-1]] if augment else []
        self._num_targets = [
            int(targets_E[bucket_E <= bucket].max(initial=room[bucket] if augment else 1))
            for bucket in range(len(self._buckets))
        ]
        self._epoch = functools.lru_cache(maxsize=1)(self._make_epoch)

    @functools.cached_property
    def num_batches(self) -> int:
        """Batches in an epoch; the same in each."""
        # What fills no batch of its bucket waits for the next, so that only the last is not full.
        return -(-len(self._features) // self._batch_size)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step; steps go on over epochs without end."""
        epoch, index = divmod(step, self.num_batches)
        features, batches = self._epoch(epoch)
        bucket, example_B = batches[index]
        return self._pack(features, bucket, example_B)

    def examples(self, step: int) -> list[int]:
        """Which examples are in the global batch of a step, by their number in the features."""
        epoch, index = divmod(step, self.num_batches)
        return self._epoch(epoch)[1][index][1].tolist()

    def _make_epoch(self, epoch: int) -> tuple[Features, list[tuple[int, np.ndarray]]]:
        """The examples of an epoch, and (bucket, examples) of each of its batches."""
        features = self._augment(epoch) if self._augment else self._features
        bucket_E = np.searchsorted(self._buckets, features.packed_length_E)
        # No batch has more targets than the shape it was compiled for.
        roomy_E = np.searchsorted(self._num_targets, features.target_length_E + 1)
        bucket_E = np.maximum(bucket_E, roomy_E)
        return features, plan(bucket_E, len(self._buckets), self._batch_size, self._seed, epoch)

    def _pack(self, features: Features, bucket: int, example_B: np.ndarray) -> Batch:
        f, w = features, self._wordpiece
        row_B = np.arange(self._rows.start, self._rows.stop, dtype=np.int32)
        real_B = row_B < len(example_B)
        example_B = example_B[np.minimum(row_B, len(example_B) - 1)]
        source_B = np.where(real_B, f.source_length_E[example_B] + 2, 0).astype(np.int32)
        length_B = np.where(real_B, f.packed_length_E[example_B], 0).astype(np.int32)

        place_L = np.arange(self._buckets[bucket])
        in_source_BL = (place_L >= 1) & (place_L < source_B[:, None] - 1)
        in_target_BL = (place_L >= source_B[:, None]) & (place_L < length_B[:, None] - 1)
        # The source is stored from its first wordpiece on, which packing moves by [CLS]; the target
        # follows it directly, which packing moves by [CLS] and [SEP].
        flat_BL = f.start_E[example_B][:, None] + place_L - np.where(in_source_BL, 1, 2)
        flat_BL = np.clip(flat_BL, 0, len(f.tokens) - 1)
        stored_BL = in_source_BL | in_target_BL
        edge_BL = (place_L == source_B[:, None] - 1) | (place_L == length_B[:, None] - 1)
        special_BL = np.where(edge_BL, w.sep_id, w.pad_id)
        marks_BLZ = None
        if f.marks.shape[1]:
            marks_BLZ = np.where(in_source_BL[..., None], f.marks[flat_BL], 0).astype(np.uint8)
        special_BL[:, 0] = np.where(real_B, w.cls_id, w.pad_id)
        return Batch(
            tokens_BL=np.where(stored_BL, f.tokens[flat_BL], special_BL).astype(np.int32),
            labels_BL=np.where(stored_BL, f.labels[flat_BL], bio.O).astype(np.int32),
            source_length_B=source_B,
            length_B=length_B,
            row_B=row_B,
            num_targets=self._num_targets[bucket],
            marks_BLZ=marks_BLZ,
        )
