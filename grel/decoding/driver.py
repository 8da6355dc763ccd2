"""Decodes any number of sources on all devices, in their order.

Sources are sorted by length into batches of one shape each, so that a short sentence does not pay
for a long one and the number of compilations is the number of shapes. The last batch is filled with
empty rows, which the search skips.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from grel import parallel
from grel.decoding import copying, greedy

# (params, source_BS, source_length_B, num_steps) -> state before the first token
InitFn = Callable[[Any, Any, Any, int], Any]
# (params, state, token_B) -> (token_logits_BV, bio_logits_BC, state)
StepFn = Callable[[Any, Any, Any], tuple[Any, Any, Any]]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to decode.

    Attributes:
        copy: a name in `copying.MODES`.
        max_target: most wordpieces written for a source.
        batch_size: rows over all local devices.
        buckets: padded lengths of `[CLS] S1 [SEP]`, ascending; a longer source is cut to the last,
            and marked so.
    """

    copy: str
    max_target: int
    batch_size: int
    buckets: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written for one source.

    Attributes:
        ids, labels, log_probs: of each token, without the end token.
        ended: whether the end token was written within `max_target`.
        num_cut: wordpieces at the end of the source that the model did not see.
    """

    ids: np.ndarray
    labels: np.ndarray
    log_probs: np.ndarray
    ended: bool
    num_cut: int


class Decoder:
    """Greedy decoding of wordpiece sources with a family's step functions.

    Args:
        init_fn, step_fn: the model, see `InitFn` and `StepFn`.
        special: (pad_id, cls_id, sep_id).
        excluded_ids: never copied.
    """

    def __init__(
        self,
        init_fn: InitFn,
        step_fn: StepFn,
        options: Options,
        *,
        special: tuple[int, int, int],
        excluded_ids: Sequence[int],
    ):
        self._options = options
        self._pad_id, self._cls_id, self._sep_id = special
        num_steps = greedy.num_steps_for(options.max_target)

        def decode(params, rows):
            source_BS, source_length_B = rows
            generated = greedy.search(
                lambda state, token_B: step_fn(params, state, token_B),
                init_fn(params, source_BS, source_length_B, num_steps),
                copying.copy_masks(source_BS, source_length_B, excluded_ids),
                num_steps=num_steps,
                start_id=self._sep_id,
                end_id=self._sep_id,
                mode=options.copy,
            )
            return (), generated

        self._decode = parallel.on_rows(decode)

    def __call__(self, params: Any, sources: Sequence[Sequence[int]]) -> list[Written]:
        """Decodes sources (ids without [CLS] and [SEP]) with replicated parameters."""
        written: list[Written | None] = [None] * len(sources)
        for places, result in self.batches(params, sources):
            for place, one in zip(places, result, strict=True):
                written[place] = one
        return written

    def batches(
        self, params: Any, sources: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], list[Written]]]:
        """The same batch by batch, as (indices into sources, what was written for them)."""
        size, buckets = self._options.batch_size, self._options.buckets
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            longest = len(sources[places[-1]]) + 2
            width = next((bucket for bucket in buckets if bucket >= longest), buckets[-1])
            source_BS = np.full((size, width), self._pad_id, np.int32)
            source_length_B = np.zeros(size, np.int32)
            for row, place in enumerate(places):
                ids = [self._cls_id, *sources[place][: width - 2], self._sep_id]
                source_BS[row, : len(ids)] = ids
                source_length_B[row] = len(ids)
            _, generated = self._decode(params, (source_BS, source_length_B))
            yield places, self._rows(parallel.merge_rows(generated), places, sources, width)

    def _rows(
        self,
        generated: greedy.Generated,
        places: Sequence[int],
        sources: Sequence[Sequence[int]],
        width: int,
    ) -> list[Written]:
        rows = []
        for row, place in enumerate(places):
            # Steps are run in groups, so a row may have gone on, and ended, beyond the limit.
            num_written = int(generated.length_B[row])
            length = min(num_written, self._options.max_target)
            rows.append(
                Written(
                    ids=generated.tokens_BT[row, :length],
                    labels=generated.labels_BT[row, :length],
                    log_probs=generated.log_prob_BT[row, :length],
                    ended=num_written == length,
                    num_cut=max(0, len(sources[place]) + 2 - width),
                )
            )
        return rows
