"""WordDec, LSTM and LSTM + copy as a family: words in, words out (Nayak and Ng 2020; METHOD 6).

Three systems of the paper are this family with other fields: WordDec is the default, LSTM is
`decoding.copy=off`, and LSTM + copy has `model.label_head=True`, `decoding.copy=on` and unknown
words that are told apart, `tokenizer.num_unknown`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from grel.data.columns import Example, Padded
from grel.decoding import driver, network, program
from grel.decoding.driver import Written
from grel.errors import ConfigError
from grel.families import reading, tokens
from grel.families import words as family
from grel.families.writer import Tally
from grel.fields import Fields
from grel.models import worddec
from grel.records import Span, Triple
from grel.text import bio, linearize
from grel.text.words import Encoding, Words, word_span

# Of the rules of copying, those by which labels say what was copied; METHOD section 6.
_BY_LABEL = ("on", "su")


class System(family.System):
    """A word-level system with the network `models.worddec`."""

    NETWORK: ClassVar[ModuleType] = worddec
    FIELDS: ClassVar[Fields] = (
        family.FIELDS
        | tokens.DECODING
        | Fields.of(worddec.Config, ranges={"features": (2, math.inf), "alpha": (0.0, 1.0)})
        | Fields(
            {
                "decoding.copy": "words",  # WordDec's rule; "off" is LSTM; "on" needs labels
                "decoding.max_target": 50,  # words written, and learned, the end included
                # Of a text's unknown words, so many are told apart, for copying by label.
                "tokenizer.num_unknown": 0,
            },
            {},
            {"tokenizer.num_unknown": (0, 64)},
        )
    )

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> None:
        """Refuses copying by labels that are not predicted."""
        super().check(fields)
        tokens.check(fields)
        by_label = fields["decoding.copy"] in _BY_LABEL or fields["decoding.structure"] == "on"
        if by_label and not fields["model.label_head"]:
            raise ConfigError(
                f"config.decoding.copy is {fields['decoding.copy']!r} and structure "
                f"{fields['decoding.structure']!r}, which go by labels: train with "
                "config.model.label_head=True, or use copy='words' or 'off' and structure='off'"
            )

    def examples(
        self, text: str, encoding: Encoding, triples: Sequence[Triple]
    ) -> Iterator[Example]:
        """The triples as a target of words, and BIO labels; none where it can't be."""
        ids = [
            (
                self.words.encode_name(t.head, text).ids,
                self.words.encode_name(t.tail, text).ids,
                self.words.relation_ids[t.relation],
            )
            for t in triples
        ]
        if not all(head and tail for head, tail, _ in ids):
            return  # a name of signs that are no words, which could not be read again
        target, slots = linearize.linearize(ids, self.words.form)
        if len(target) + 1 > self.config.decoding.max_target:
            return
        entities = [place for slot in slots for place in (slot.head, slot.tail)]
        _, labels = bio.LABELLINGS["per_entity"](encoding.ids, target, entities)
        yield {
            "chars": encoding.chars,
            "targets": np.array([*target, self.words.eos_id], np.int32),
            "labels": np.array([*labels, bio.O], np.int32),
        }

    def batch(self, padded: Padded) -> worddec.Batch:
        """Sentences and what is to be written."""
        return worddec.Batch(
            words_BS=padded.columns["words"],
            chars_BSK=padded.columns["chars"],
            length_B=padded.lengths["words"],
            targets_BT=padded.columns["targets"],
            target_length_B=padded.lengths["targets"],
            labels_BT=padded.columns["labels"],
            row_B=padded.row_B,
        )

    def writer(self) -> WordWriter:
        """Greedy or beam search, as `config.decoding` says."""
        w = self.words
        decoder = tokens.make_decoder(
            self.config,
            network.Functions.of(worddec, self.model),
            w,
            frame=program.Frame(w.pad_id, (), (), w.sos_id, w.eos_id),
            buckets=self.config.data.buckets,
        )
        return WordWriter(w, decoder, by_label=self.config.decoding.copy in _BY_LABEL)


class WordWriter(tokens.TokenWriter[Encoding]):
    """Writes words, and reads unknown ones off the text.

    Args:
        tokenizer: of its texts.
        decoder: the search, with a model's functions.
        by_label: whether labels say what was copied, or decide nothing.
    """

    tokenizer: Words

    def __init__(self, tokenizer: Words, decoder: driver.Decoder, *, by_label: bool):
        super().__init__(tokenizer, decoder)
        self._by_label = by_label

    def beside(self, encodings: Sequence[Encoding]) -> Sequence[np.ndarray]:
        """The characters of the words."""
        return [encoding.chars for encoding in encodings]

    def read(self, text: str, encoding: Encoding, output: Written) -> tuple[list[Triple], Tally]:
        """Names stand where they were copied from, else where the text has them first."""
        ids = [int(i) for i in output.ids]
        offsets = encoding.offsets

        def find(slot: slice) -> tuple[str, Span | None]:
            name = self.tokenizer.decode(ids[slot], encoding, output.attended[slot].tolist())
            end = int(output.positions[slot.stop - 1]) + 1
            start = end - (slot.stop - slot.start)
            # Words that are not told apart say nothing by their place; see METHOD section 6.
            by_place = self._by_label and end > 0 and self.tokenizer.unk_id not in ids[slot]
            copied = by_place and encoding.ids[start:end] == ids[slot]
            found = (start, end) if copied else word_span(name, text, offsets)
            if found is None:
                return name, None
            span = offsets[found[0]][0], offsets[found[1] - 1][1]
            return text[slice(*span)], span

        return reading.read_output(output, self.tokenizer, find)
