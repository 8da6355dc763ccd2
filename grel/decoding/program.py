"""What is compiled of decoding: from padded sources to what is written for them.

What changes between calls (parameters, relations, the end bias) is an argument of the program, so
that nothing is ever compiled again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding import beam, copying, drafts, greedy
from grel.decoding.network import Functions
from grel.decoding.structure import Grammar, Schema


class Frame(NamedTuple):
    """What stands around a source, and around what is written.

    Attributes:
        pad_id: fills up sources.
        before, after: ids around a source.
        start_id: the first token that is fed; end_id: the token that ends an output.
    """

    pad_id: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    start_id: int
    end_id: int

    @classmethod
    def packed(cls, pad_id: int, cls_id: int, sep_id: int) -> Frame:
        """Of `[CLS] S1 [SEP] S2 [SEP]`."""
        return cls(pad_id, (cls_id,), (sep_id,), sep_id, sep_id)

    @property
    def width(self) -> int:
        """Tokens around a source."""
        return len(self.before) + len(self.after)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to decode.

    Attributes:
        copy: a name in `copying.CHOICES`.
        max_target: most wordpieces written for a source.
        batch_size: rows over the devices of all processes; a call with a few sources has fewer.
        buckets: padded lengths of sources with their frame, ascending; a longer source is cut to
            the last, and marked so.
        structure: "on" writes nothing but whole triples of copied entities and known relations,
            each entity in its slot; see `copying`.
        label, scores: see `copying.Rules`.
        num_beams: 1 is greedy search.
        num_best: how many of the outputs that the beams found are kept.
        length_penalty: see `beam.length_penalty`; with beams only.
        head: of the model, see `copying.Rules`.
        draft: most tokens that greedy search guesses for the model to verify in one step; 0 is
            none. It changes nothing that is written.

    Raises ValueError for values that are unknown or do not go together.
    """

    copy: str
    max_target: int
    batch_size: int
    buckets: tuple[int, ...]
    structure: str = "off"
    label: str = "argmax"
    scores: str = "raw"
    num_beams: int = 1
    num_best: int = 1
    length_penalty: float = 0.0
    head: str = "vocabulary"
    draft: int = 0

    def __post_init__(self):
        copying.check(
            copy=self.copy, structure=self.structure, label=self.label, scores=self.scores
        )
        if not 1 <= self.num_best <= self.num_beams:
            raise ValueError(
                f"num_best is {self.num_best}; it must be from 1 to num_beams, {self.num_beams}"
            )
        if self.length_penalty and self.num_beams == 1:
            raise ValueError(
                f"length_penalty is {self.length_penalty}, but greedy search compares no outputs: "
                "set length_penalty=0, or num_beams above 1"
            )
        if self.draft and self.num_beams > 1:
            raise ValueError(
                f"draft is {self.draft}, but beams write one token a step: set draft=0, or "
                "num_beams=1"
            )


def _greedy(model: Functions, *args: Any, **kwargs: Any) -> tuple:
    """Greedy search as a search with one beam."""
    generated, row_steps = greedy.search(
        *args,
        take_rows_fn=model.take_rows,
        grow_fn=model.grow,
        attended_fn=model.attended,
        **kwargs,
    )
    generated = jax.tree.map(lambda x: x[:, None], generated)
    return generated, jnp.ones(generated.length_B.shape, bool), row_steps


def _beam(model: Functions, options: Options, *args: Any, **kwargs: Any) -> tuple:
    """What was written [B, W], whether it was [B, W], and the row-steps."""
    hypotheses, row_steps = beam.search(
        *args,
        reorder_fn=model.reorder_beams,
        take_rows_fn=model.take_rows,
        grow_fn=model.grow,
        attended_fn=model.attended,
        num_beams=options.num_beams,
        num_best=options.num_best,
        penalty_power=options.length_penalty,
        **kwargs,
    )
    return hypotheses.written, hypotheses.score_BW > -jnp.inf, row_steps


def _draft_maker(
    model: Functions, options: Options, schema: Schema | None, joined_V: np.ndarray | None
) -> Callable[[Any, Any, Grammar | None], tuple[Any, Grammar, greedy.Drafting]]:
    """What makes ready for drafts; the grammar is followed whether or not structure forces it.

    Gives a function (decoding_params, state, grammar, None without structure) -> (state by rows,
    the grammar to follow, how to draft). Raises ValueError where there can be no drafts.
    """
    if model.feeding is None:
        raise ValueError(
            f"draft is {options.draft}, but this model is fed one token at a time: set draft=0"
        )
    if schema is None or joined_V is None:
        raise ValueError("drafts need the schema of relations, and the tokens that join words")
    by_rows, feed, keep = model.feeding
    free, part_end = schema.grammar(), schema.form.part_end

    def make(
        params: Any, state: Any, grammar: Grammar | None
    ) -> tuple[Any, Grammar, greedy.Drafting]:
        followed = jax.tree.map(jnp.asarray, free) if grammar is None else grammar
        hints = drafts.Hints(followed, jnp.asarray(joined_V), part_end)
        drafting = greedy.Drafting(
            options.draft,
            functools.partial(drafts.draft, hints, options.draft),
            functools.partial(feed, params),
            keep,
        )
        return by_rows(state), followed, drafting

    return make


def program(
    model: Functions,
    options: Options,
    frame: Frame,
    *,
    excluded_ids: Sequence[int],
    other_ids: Sequence[int] = (),
    schema: Schema | None = None,
    joined_V: np.ndarray | None = None,
) -> Callable[[Any, Any], tuple[tuple[()], tuple[greedy.Generated, jax.Array, jax.Array]]]:
    """A function to compile, (replicated, rows) -> ((), what is written for the rows).

    Args:
        excluded_ids: never copied; other_ids: written beside what is copied, by a model that
            points, with structure, and with copy "words".
        schema, joined_V: see `driver.Decoder`; here for drafts alone.

    The function's `replicated` are decoding_params, the grammar of structure "on" (or None) and the
    end bias; its `rows` are source_BS, source_length_B (0 for rows of nothing) and, of models that
    read more of each token, beside_BSK. It gives `greedy.Generated` of W beams [B, W], which of
    them there are [B, W], and the row-steps that it took.

    Raises ValueError where there can be no drafts.
    """
    draft = _draft_maker(model, options, schema, joined_V) if options.draft else None
    search: Callable[..., tuple] = functools.partial(_beam, model, options)
    if options.num_beams == 1:
        search = functools.partial(_greedy, model)
    num_steps = greedy.num_steps_for(options.max_target)
    edges = len(frame.before), len(frame.after)

    def decode(replicated, rows):
        params, grammar, end_bias = replicated
        source_BS, source_length_B, *beside = rows
        room = greedy.first_room(num_steps) + options.draft
        state = model.init(params, source_BS, source_length_B, room, options.num_beams, *beside)
        settings: dict[str, Any] = {}
        followed = None
        if draft is not None:
            state, followed, settings["drafting"] = draft(params, state, grammar)
        found = search(
            functools.partial(model.step, params),
            state,
            copying.copy_masks(source_BS, source_length_B, excluded_ids, other_ids, edges),
            copying.Rules(
                grammar,
                options.copy,
                options.label,
                options.scores,
                options.head,
                end_bias,
                frame.end_id,
                followed,
            ),
            num_steps=num_steps,
            start_id=frame.start_id,
            end_id=frame.end_id,
            **settings,
        )
        return (), found

    return decode
