"""The writer of all families that write token by token: a decoder, and what reads its outputs."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import ml_collections
import numpy as np

from grel.decoding import copying, driver, network, program
from grel.decoding.driver import Written
from grel.decoding.structure import Schema
from grel.errors import ConfigError
from grel.families import base, reading
from grel.families.base import TokensT, TokensT_co
from grel.families.writer import Tally
from grel.fields import Fields
from grel.records import Triple
from grel.text import wordpiece
from grel.text.known import Memory
from grel.text.wordpiece import Wordpiece
from grel.text.words import Words

DECODING = Fields(
    {
        "decoding.copy": "on",  # "off" lets all tokens through; "su": Su (2021); "words": WordDec
        # "on" writes nothing but whole triples of copied entities and known relations.
        "decoding.structure": "off",
        "decoding.relations": (),  # with structure "on", the only relations to write; () is all
        "decoding.label": "argmax",  # the likeliest; or "joint": the likeliest (label, token)
        "decoding.scores": "raw",  # of tokens; or "renormalized" over those that the label allows
        "decoding.num_beams": 1,  # of the search; 1 is greedy
        "decoding.num_best": 1,  # outputs kept of those that the beams found
        "decoding.length_penalty": 0.0,  # of beams, as UniLM's: score / ((5 + length) / 6) ** this
        "decoding.end_bias": 0.0,  # added to the end token's logit: below 0 more is written
        "decoding.max_target": 128,  # most tokens written for a sentence
        "decoding.batch_size": 64,  # over all devices of all processes
        "eval.end_biases": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0),  # that --mode=tune tries
    },
    {f"decoding.{name}": choices for name, choices in copying.CHOICES.items()},
    {
        "decoding.num_beams": (1, 64),
        "decoding.num_best": (1, 64),
        "decoding.length_penalty": (0.0, 10.0),
        "decoding.end_bias": (-100.0, 100.0),
        "decoding.max_target": (1, math.inf),
        "decoding.batch_size": (1, math.inf),
    },
)


def check(fields: Mapping[str, Any]) -> None:
    """Raises ConfigError where fields of `DECODING` do not go together."""
    decoding = {n.removeprefix("decoding."): value for n, value in fields.items()}
    _options(decoding, buckets=())
    if fields["decoding.relations"] and fields["decoding.structure"] == "off":
        raise ConfigError(
            "config.decoding: relations can be restricted with structure='on' only; set it, or "
            "leave them out"
        )
    if not fields["eval.end_biases"]:
        raise ConfigError("config.eval.end_biases is empty; (0.0,) tunes the least score alone")


def _options(decoding: Mapping[str, Any], **others: Any) -> program.Options:
    """Those of the fields "decoding" and, in place of these, others; raises ConfigError."""
    names = {field.name for field in dataclasses.fields(program.Options)} - others.keys()
    try:
        return program.Options(**{n: decoding[n] for n in names if n in decoding}, **others)
    except ValueError as error:
        raise ConfigError(f"config.decoding: {error}") from None


def make_decoder(
    config: ml_collections.ConfigDict,
    functions: network.Functions,
    tokenizer: Wordpiece | Words,
    *,
    frame: program.Frame,
    buckets: Sequence[int],
    head: str = "vocabulary",
    joined_V: np.ndarray | None = None,
) -> driver.Decoder:
    """A decoder as `config.decoding` says; raises ConfigError for values that cannot work.

    Args:
        config: the whole configuration.
        functions: of the network.
        tokenizer: of its texts.
        frame, buckets, head: as in `program`; joined_V: as in `driver`.
    """
    c = config.decoding
    options = _options(c, buckets=tuple(buckets), head=head)
    try:
        return driver.Decoder(
            functions,
            options,
            frame=frame,
            excluded_ids=tokenizer.excluded_ids,
            schema=Schema(tokenizer.relation_ids, tokenizer.form, frame.end_id),
            unknown_id=tokenizer.unk_id,
            relations=c.relations or None,
            end_bias=c.end_bias,
            joined_V=joined_V,
        )
    except ValueError as error:
        raise ConfigError(f"config.decoding: {error}") from None


class Tokenizer(base.Tokenizer[TokensT_co], Protocol[TokensT_co]):
    """What a writer of tokens knows of its tokenizer beside."""

    vocabulary: tuple[str, ...]

    @property
    def excluded_ids(self) -> tuple[int, ...]:
        """Never copied."""


class TokenWriter(base.NetworkWriter[TokensT, Written]):
    """Writes with a decoder; how its outputs are read is the tokenizer's matter.

    Args:
        tokenizer: of its texts.
        decoder: the search, with a model's functions.
    """

    tokenizer: Tokenizer[TokensT]

    def __init__(self, tokenizer: Tokenizer[TokensT], decoder: driver.Decoder):
        super().__init__(tokenizer)
        self._decoder = decoder
        self.max_source = decoder.max_source

    def place(self, params: Any) -> Any:
        """On every device, as the decoder takes them."""
        return self._decoder.place(params)

    def __call__(self, params: Any, encodings: Sequence[TokensT]) -> list[Written]:
        """What the decoder writes; a source that is too long is cut, and says so."""
        ids = [encoding.ids for encoding in encodings]
        return self._decoder(params, ids, self.beside(encodings))

    def beside(self, encodings: Sequence[TokensT]) -> Sequence[np.ndarray] | None:
        """What the model reads of tokens beside their ids, if anything: [tokens, K] a source."""
        del encodings
        return None

    def restricted(self, relations: Sequence[str]) -> Self:
        """Of the same compiled programs; needs structure "on"."""
        try:
            return self._with(self._decoder.restricted(relations))
        except ValueError as error:
            raise ConfigError(f"config.decoding: {error}") from None

    def biased(self, end_bias: float) -> Self:
        """Of the same compiled programs."""
        return self._with(self._decoder.biased(end_bias))

    def _with(self, decoder: driver.Decoder) -> Self:
        other = copy.copy(self)
        other._decoder = decoder
        return other

    def alternatives(self, output: Written) -> tuple[Written, ...]:
        """What else the beams found, at most `num_best` - 1."""
        return output.others

    def trace(self, encoding: TokensT, output: Written) -> dict[str, Any]:
        """What each label allowed; see METHOD section 6."""
        vocabulary = self.tokenizer.vocabulary
        source_ids = encoding.ids[: self._decoder.max_source]
        steps = [
            {
                "label": step.label,
                "match_length": step.match_length,
                "allowed": "all" if step.allowed is None else step.allowed,
                "token_id": step.token_id,
                "token": vocabulary[step.token_id],
            }
            for step in self._decoder.trace(encoding.ids, output)
        ]
        return {
            "source_ids": source_ids,
            "source_tokens": [vocabulary[i] for i in source_ids],
            "excluded_ids": sorted(self.tokenizer.excluded_ids),
            "steps": steps,
        }


class WordpieceWriter(TokenWriter[wordpiece.Encoding]):
    """Writes wordpieces, and cuts names out of the text where they stand there.

    Args:
        tokenizer: of its texts.
        decoder: the search, with a model's functions.
        memory: what the model is told of a text; None tells nothing.
    """

    tokenizer: Wordpiece

    def __init__(self, tokenizer: Wordpiece, decoder: driver.Decoder, memory: Memory | None = None):
        super().__init__(tokenizer, decoder)
        self._memory = memory

    def encode(self, texts: Sequence[str]) -> Sequence[wordpiece.Encoding]:
        """The wordpieces of the texts, with the marks of the memory."""
        encodings, memory = super().encode(texts), self._memory
        if memory is None:
            return encodings
        return [
            encoding._replace(marks=memory.marks(text, encoding.offsets))
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def beside(self, encodings: Sequence[wordpiece.Encoding]) -> Sequence[np.ndarray] | None:
        """The marks of the memory, if there is one."""
        return [encoding.marks for encoding in encodings] if self._memory else None

    def known(self, text: str) -> list[Triple]:
        """Those of the memory, of the relations that are written."""
        if self._memory is None or self._memory.times is None:
            return []
        relations = self._decoder.relations
        triples = self._memory.triples(text)
        return [t for t in triples if relations is None or t.relation in relations]

    def remembering(self, known_share: float) -> Self:
        """Of the same compiled programs; needs a memory that has shares."""
        if self._memory is None:
            super().remembering(known_share)
        elif known_share and self._memory.times is None:
            raise ConfigError(
                "config.decoding.known_share: this run's memory is of an earlier version, which "
                "kept no shares; set it to 0, or train again"
            )
        other = copy.copy(self)
        other.known_share = known_share
        return other

    def read(
        self, text: str, encoding: wordpiece.Encoding, output: Written
    ) -> tuple[list[Triple], Tally]:
        """See `reading.read_wordpieces`."""
        return reading.read_wordpieces(text, encoding, output, self.tokenizer)
