"""Runs what `python -m grel.export --to=stablehlo` wrote: lines of text in, their triples out.

    python run_exported.py DIR < texts.txt

Needs jax, flatbuffers, safetensors and tokenizers, and nothing of grel.
"""

import itertools
import json
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np
from jax import export
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class Model:
    """The exported folder; called with texts it gives (head, relation, tail, score) of each."""

    def __init__(self, folder):
        folder = Path(folder)
        self.schema = json.loads((folder / "grel.json").read_text(encoding="utf-8"))
        self.relation_of = {tuple(ids): name for name, ids in self.schema["relations"].items()}
        self.params = load_file(folder / "params.safetensors")
        self.programs = {
            int(width): export.deserialize(bytearray((folder / file).read_bytes()))
            for width, file in self.schema["programs"].items()
        }
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True  # a text that spells [SEP] is only a text

    def __call__(self, texts):
        special, num_rows = self.schema["special_ids"], self.schema["batch_size"]
        for first in range(0, len(texts), num_rows):
            batch = [(text, *self.encode(text)) for text in texts[first : first + num_rows]]
            longest = 2 + max(len(ids) for _, ids, _ in batch)
            widths = sorted(self.programs)
            width = next((width for width in widths if width >= longest), widths[-1])
            source = np.full((num_rows, width), special["pad"], np.int32)
            length = np.zeros(num_rows, np.int32)  # 0 is a row of nothing
            for row, (_, ids, _) in enumerate(batch):
                if ids:  # longer texts are cut
                    framed = [special["cls"], *ids[: width - 2], special["sep"]]
                    source[row, : len(framed)], length[row] = framed, len(framed)
            written = self.programs[width].call(self.params, source, length)
            written = {name: np.asarray(array) for name, array in written.items()}
            for row, encoded in enumerate(batch):
                yield self.triples(*encoded, {name: x[row] for name, x in written.items()})

    def encode(self, text):
        """Ids of the wordpieces and their characters; words the vocabulary lacks are numbered."""
        found = self.tokenizer.encode(text, add_special_tokens=False)
        ids, unknown_ids, number_of = found.ids, self.schema["unknown_ids"], {}
        for place, span in enumerate(found.offsets):
            if ids[place] == unknown_ids[0]:
                number = number_of.setdefault(self.plain(text[slice(*span)]), len(number_of))
                ids[place] = unknown_ids[min(number, len(unknown_ids) - 1)]
        return ids, found.offsets

    def plain(self, text):
        return unicodedata.normalize("NFC", self.tokenizer.normalizer.normalize_str(text))

    def triples(self, text, source, offsets, written):
        """What an output says: triples of known relations, the first of each."""
        length, most = int(written["length"]), self.schema["max_target"]
        ids, found = written["ids"][: min(length, most)].tolist(), {}
        if length > most and (ends := self.schema["boundary_ids"]) is not None:
            ids = ids[: max((i for i, token in enumerate(ids) if token in ends), default=0)]
        for head, tail, relation in self.slots(ids):
            if (name := self.relation_of.get(tuple(ids[relation]))) is None:
                continue
            names = [
                self.name(text, source, offsets, ids[slot], written["positions"][slot.stop - 1])
                for slot in (head, tail)
            ]
            log_prob = sum(float(written["log_probs"][s].sum()) for s in (head, tail, relation))
            key = tuple(unicodedata.normalize("NFC", x) for x in (names[0], name, names[1]))
            found.setdefault(key, (names[0], name, names[1], min(math.exp(log_prob), 1.0)))
        return [triple for triple in found.values() if triple[3] >= self.schema["min_score"]]

    def slots(self, ids):
        """Where head, tail and relation of each whole triple stand."""
        s = self.schema
        if s["opener_ids"]:  # each is a relation, and opens a triple
            starts = [i for i, token in enumerate(ids) if token in s["opener_ids"]]
            pieces = [slice(*piece) for piece in itertools.pairwise([*starts, len(ids)])]
        else:
            pieces = split(ids, slice(0, len(ids)), s["triple_end_id"])
        for piece in pieces:
            if not s["opener_ids"]:
                parts = split(ids, piece, s["part_end_id"])
            elif s["triple_end_id"] in ids[piece]:
                continue
            else:
                relation, names = slice(piece.start, piece.start + 1), piece.start + 1
                parts = [relation, *split(ids, slice(names, piece.stop), s["part_end_id"])]
            if len(parts) == 3 and all(part.start < part.stop for part in parts):
                yield (*parts[1:], parts[0]) if s["relation_first"] else parts

    def name(self, text, source, offsets, ids, last):
        """A name as the text has it where its wordpieces stand; `last` was copied for the last."""
        spans, size = {}, len(ids)  # by the wordpiece where they start
        for start in range(len(source) - size + 1):
            stop = start + size
            behind = offsets[stop][0] if stop < len(source) else len(text)
            begin, end = offsets[start][0], offsets[stop - 1][1]
            cuts = behind < end or (start > 0 and offsets[start - 1][1] > begin)  # a character
            if source[start:stop] == ids and not cuts:
                while end < behind and extends(text[end]):
                    end += 1
                spans[start] = begin, end
        # A model without a pointer cannot tell the first of several places from the others.
        others = list(spans)[0 if self.schema["head"] == "pointer" else 1 :]
        meant = spans[last - size + 1] if last - size + 1 in others else None
        unknown_ids = self.schema["unknown_ids"]
        names = {" ".join(letters(text[slice(*span)]).split()) for span in spans.values()}
        if len(names) > 1 and meant is None and any(token in unknown_ids for token in ids):
            spans = {}  # any of them would be a guess
        if not spans:
            known = (unknown_ids[0] if token in unknown_ids else token for token in ids)
            tokens = " ".join(map(self.tokenizer.id_to_token, known))
            return tokens.replace(" ##", "").removeprefix("##")

        def rank(span):
            is_mixed = not (text[slice(*span)].isupper() or text[slice(*span)].islower())
            return all(is_edge(text, cut) for cut in span), span == meant, is_mixed

        return text[slice(*max(spans.values(), key=rank))]


def split(ids, piece, separator):
    cuts = [i for i in range(piece.start, piece.stop) if ids[i] == separator]
    ends = zip([piece.start, *(i + 1 for i in cuts)], [*cuts, piece.stop], strict=True)
    return [slice(*part) for part in ends]


def letters(text):
    """Without case and accents; what no wordpiece holds, as joiners, stays."""
    parts = (part for char in text.casefold() for part in unicodedata.normalize("NFD", char))
    return "".join(part for part in parts if not is_accent(unicodedata.combining(part)))


def is_accent(combining_class):
    return combining_class >= 200 or 10 <= combining_class <= 36


def extends(char):
    """Whether it belongs to the character before it: accents, vowel signs, parts of emoji."""
    is_part = 0x1F3FB <= ord(char) < 0x1F400 or 0xE0020 <= ord(char) < 0xE0080
    is_part = is_part or char in "\u200c\u200d\uff9e\uff9f\u0e33\u0eb3"
    return is_part or unicodedata.category(char)[0] == "M"


def is_edge(text, cut):
    """Whether no word and no character runs across."""
    if not 0 < cut < len(text):
        return True
    before, after = text[cut - 1], text[cut]
    joined = before == "\u200d" and unicodedata.category(after) == "So"
    in_word = all(char.isalnum() or char == "_" or extends(char) for char in (before, after))
    return not (extends(after) or joined or in_word)


if __name__ == "__main__":
    lines = [line.rstrip("\n") for line in sys.stdin]
    for line, triples in zip(lines, Model(sys.argv[1])(lines), strict=True):
        print(json.dumps({"text": line, "triples": triples}, ensure_ascii=False))
