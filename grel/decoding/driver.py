"""Decodes any number of sources on all devices, in their order.

Sources are sorted by length into batches of one shape each, so that a short sentence does not pay
for a long one and the number of compilations is the number of shapes. The last batch is filled with
empty rows, which the search skips.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
import threading
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grel import parallel
from grel.decoding import batching, greedy
from grel.decoding.network import Functions
from grel.decoding.program import Frame, Options, program
from grel.decoding.structure import Schema
from grel.decoding.trace import Step, trace


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written for one source.

    Attributes:
        ids, labels, log_probs: of each token, without the end token.
        positions: for each token, where in the source (as it was given, from 0) the tokens since
            the last label B end, this one included; see `copying.position`.
            An entity of n tokens with position p at its last one stands at [p - n + 1, p + 1).
        attended: for each token, where in the source the model looked to write it; -1 if it does
            not tell.
        ended: whether the end token was written within `max_target`. With structure "on" an output
            that did not end is cut after its last triple that `|` follows.
        num_cut: wordpieces at the end of the source that the model did not see.
        others: what else the beams found, the best first; at most `num_best` - 1.
        pointed: whether the model chose among equal places, so that `positions` are its choice.
    """

    ids: np.ndarray
    labels: np.ndarray
    log_probs: np.ndarray
    positions: np.ndarray
    attended: np.ndarray
    ended: bool
    num_cut: int
    others: tuple[Written, ...] = ()
    pointed: bool = False


class Decoder:
    """Decoding of sources, of wordpieces or words, with a family's functions.

    Args:
        model: the family's functions.
        options: how to decode.
        frame: what stands around sources and outputs.
        excluded_ids: never copied.
        schema: the relations; needed for structure "on", and for a model that points and for copy
            "words", which write `schema.token_ids` beside the tokens of the source.
        unknown_id: that copy "words" writes as well; None is none. A pointer has no place for it
            but those in the source.
        relations: write these only, with structure "on"; None is all.
        end_bias: is added to the logit of the end token; 0 changes nothing.
        joined_V: of each token, whether it goes on with the word before it; drafts need it.

    Attributes:
        row_steps: steps run so far, summed over the rows they were run for.

    Raises ValueError where relations are unknown, or restricted without structure "on", and where
    drafts are asked for of a model that is fed one token at a time.
    """

    def __init__(
        self,
        model: Functions,
        options: Options,
        *,
        frame: Frame,
        excluded_ids: Sequence[int],
        schema: Schema | None = None,
        unknown_id: int | None = None,
        relations: Collection[str] | None = None,
        end_bias: float = 0.0,
        joined_V: np.ndarray | None = None,
    ):
        copies_words = options.copy == "words"
        other_ids: tuple[int, ...] = ()
        if options.structure == "on" or options.head == "pointer" or copies_words:
            if schema is None:
                raise ValueError(
                    "structure='on' needs the schema of relations, and so do a pointer and "
                    "copy='words'"
                )
            other_ids = schema.token_ids
        writes_unknown = copies_words and options.head != "pointer"
        if writes_unknown and unknown_id is not None and unknown_id not in other_ids:
            other_ids = (*other_ids, unknown_id)
        self._prepared = model.decoding_params
        self._options = options
        self._frame = frame
        self._excluded_ids = tuple(excluded_ids)
        self._other_ids = other_ids
        self._schema = schema if options.structure == "on" else None
        self._decode_fn = program(
            model,
            options,
            frame,
            excluded_ids=self._excluded_ids,
            other_ids=other_ids,
            schema=schema,
            joined_V=joined_V,
        )
        self._decode = parallel.on_rows(self._decode_fn, devices=parallel.own_devices())
        self._restrict(relations)
        self._end_bias = parallel.replicate(np.float32(end_bias))
        self._lock = threading.Lock()
        self.row_steps = 0

    def biased(self, end_bias: float) -> Decoder:
        """A decoder with this bias of the end token, with the same compiled programs."""
        other = self._copy()
        other._end_bias = parallel.replicate(np.float32(end_bias))
        return other

    def restricted(self, relations: Collection[str]) -> Decoder:
        """A decoder that writes these relations only, with the same compiled programs.

        Raises ValueError where one is unknown, where there are none, and without structure "on".
        """
        other = self._copy()
        other._restrict(relations)
        return other

    def _copy(self) -> Decoder:
        """The same, which counts its own steps."""
        other = copy.copy(self)
        other._lock, other.row_steps = threading.Lock(), 0
        return other

    def _restrict(self, relations: Collection[str] | None) -> None:
        if relations is not None and self._schema is None:
            raise ValueError(
                "relations can be restricted with structure='on' only; without it a relation may "
                "be any words"
            )
        self._relations = relations
        grammar = self._schema and self._schema.grammar(relations)
        self._grammar = parallel.replicate(grammar)

    @property
    def relations(self) -> Collection[str] | None:
        """Those it writes; None is all."""
        return self._relations

    @property
    def buckets(self) -> tuple[int, ...]:
        """Padded lengths of sources with their frame, ascending."""
        return self._options.buckets

    @property
    def max_source(self) -> int:
        """Tokens of the longest source that is not cut."""
        return self._options.buckets[-1] - self._frame.width

    def compiled_for(
        self,
        devices: parallel.Devices,
        params: Any,
        num_rows: int,
        width: int,
        num_beside: int = 0,
    ) -> jax.stages.Compiled:
        """What decodes a batch of sources on these devices, which need not be there.

        Args:
            params: shapes of the parameters.
            num_rows, width: of the batch; num_beside: numbers that come with each token.
        """
        params = jax.eval_shape(self._prepared, params)
        grammar, end_bias = parallel.unreplicate((self._grammar, self._end_bias))
        shapes = [(num_rows, width), (num_rows,)]
        if num_beside:
            shapes.append((num_rows, width, num_beside))
        rows = tuple(jax.ShapeDtypeStruct(shape, np.int32) for shape in shapes)
        return parallel.compiled_for(self._decode_fn, devices, (params, grammar, end_bias), rows)

    def best(
        self, params: Any, source_BS: jax.Array, source_length_B: jax.Array
    ) -> greedy.Generated:
        """The best that is written for padded sources, on one device: a function to be traced.

        Rows of nothing have the length 0. Relations and end bias are those of this decoder, and
        become constants. What goes beyond `max_target`, up to the last step, is not cut.
        """
        grammar, end_bias = jax.tree.map(
            jnp.asarray, parallel.unreplicate((self._grammar, self._end_bias))
        )
        rows = source_BS, source_length_B
        _, (generated, _, _) = self._decode_fn((self._prepared(params), grammar, end_bias), rows)
        return jax.tree.map(lambda x: x[:, 0], generated)

    def place(self, params: Any) -> Any:
        """Parameters on the host as calls take them, on every device."""
        return parallel.replicate(self._prepared(params))

    def __call__(
        self,
        params: Any,
        sources: Sequence[Sequence[int]],
        beside: Sequence[np.ndarray] | None = None,
    ) -> list[Written]:
        """Decodes sources (ids without their frame) with parameters that `place` gave.

        `beside` is what the model reads of each token beside its id, [tokens, K] of each source:
        characters, or the marks of a memory.
        """
        options, frame = self._options, self._frame

        def start(places: list[int], num_rows: int, width: int) -> Any:
            ids = [
                (*frame.before, *sources[place][: width - frame.width], *frame.after)
                for place in places
            ]
            source_BS = batching.pad(ids, num_rows, width, frame.pad_id)
            source_length_B = np.zeros(num_rows, np.int32)
            source_length_B[: len(ids)] = [len(row) for row in ids]
            rows: tuple[np.ndarray, ...] = (source_BS, source_length_B)
            if beside is not None:
                chosen = [beside[place] for place in places]
                rows = (*rows, self._beside(chosen, num_rows, width))
            replicated = params, self._grammar, self._end_bias
            return self._decode(replicated, rows)[1]

        def finish(places: list[int], decoded: Any) -> list[Written]:
            return self._read([sources[place] for place in places], decoded)

        lengths = [len(source) + frame.width for source in sources]
        return batching.in_batches(lengths, options.batch_size, options.buckets, start, finish)

    def _beside(self, beside: Sequence[np.ndarray], num_rows: int, width: int) -> np.ndarray:
        """What comes with the tokens of a batch, padded: beside_BSK."""
        edges = [(len(self._frame.before), len(self._frame.after)), (0, 0)]
        room = width - self._frame.width
        framed = [np.pad(of_tokens[:room], edges) for of_tokens in beside]
        return batching.pad(framed, num_rows, width)

    def _read(self, sources: Sequence[Sequence[int]], decoded: Any) -> list[Written]:
        """Waits for a batch, and cuts out what was written for each of its sources."""
        generated, found_BW, row_steps = parallel.merge_rows(decoded)
        with self._lock:
            self.row_steps += int(row_steps.sum())
        written = []
        for row, source in enumerate(sources):
            of_row = jax.tree.map(operator.itemgetter(row), generated)
            found = [
                self._written(jax.tree.map(operator.itemgetter(n), of_row), source)
                for n in np.flatnonzero(found_BW[row])
            ]
            best, *others = found or [self._unwritten(source)]
            written.append(dataclasses.replace(best, others=tuple(others)))
        return written

    def _unwritten(self, source: Sequence[int]) -> Written:
        """Of a source for which no beam has a score, as where logits are not finite."""
        none, no_log_probs = np.zeros(0, np.int32), np.zeros(0, np.float32)
        return Written(
            ids=none,
            labels=none,
            log_probs=no_log_probs,
            positions=none,
            ended=False,
            num_cut=max(0, len(source) - self.max_source),
            pointed=self._options.head == "pointer",
            attended=none,
        )

    def _written(self, generated: Any, source: Sequence[int]) -> Written:
        """What stands in one beam of `greedy.Generated`, whose arrays are numpy's here."""
        # Steps are run in groups, so a row may have gone on, and ended, beyond the limit.
        num_written = int(generated.length_B)
        length = min(num_written, self._options.max_target)
        ended = num_written == length
        ids = generated.tokens_BT[:length]
        if self._schema is not None and not ended:
            length = self._schema.whole(ids)
        return Written(
            ids=ids[:length],
            labels=generated.labels_BT[:length],
            log_probs=generated.log_prob_BT[:length],
            positions=generated.position_BT[:length],
            ended=ended,
            num_cut=max(0, len(source) - self.max_source),
            pointed=self._options.head == "pointer",
            attended=generated.attended_BT[:length],
        )

    def trace(self, source: Sequence[int], written: Written) -> list[Step]:
        """What each label allowed while this was written for this source."""
        return trace(
            source[: self.max_source],
            written.ids.tolist(),
            written.labels.tolist(),
            excluded_ids=self._excluded_ids,
            copy=self._options.copy,
            schema=self._schema,
            relations=self._relations,
            other_ids=self._other_ids,
        )
