"""WordDec in PyTorch, as its users would write it: nn.LSTM reads, an nn.LSTMCell writes.

The network, loss and greedy search of `grel.models.worddec` (Nayak and Ng 2020), without labels.
The sentence is packed, so that padding is not read. Two programs:

- The plain one goes through the decoder's steps word by word and scores the vocabulary at each.
- The tuned one does at once what does not depend on the step before: the product of the fed words
  with their weights, and the scores of the vocabulary over all steps; Adam is fused.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from grel.models import worddec

Carry = tuple[torch.Tensor, torch.Tensor]


class Attention(nn.Module):
    """v . tanh(U o_i + W q + b) + b_v over the true positions."""

    def __init__(self, features: int):
        super().__init__()
        self.key = nn.Linear(features, features, bias=False)
        self.query = nn.Linear(features, features)
        self.score = nn.Linear(features, 1)

    def forward(
        self,
        query_BD: torch.Tensor,
        keys_BSD: torch.Tensor,
        outputs_BSD: torch.Tensor,
        inside_BS: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """context_BD and weight_BS."""
        score_BS = self.score(torch.tanh(keys_BSD + self.query(query_BD)[:, None]))[..., 0]
        weight_BS = score_BS.masked_fill(~inside_BS, -torch.inf).softmax(-1)
        return torch.bmm(weight_BS[:, None], outputs_BSD)[:, 0], weight_BS


class WordDec(nn.Module):
    """Encoder, decoder and the head over the vocabulary.

    Args:
        config: the sizes; tuned: as the tuned program does it.
    """

    def __init__(self, config: worddec.Config, tuned: bool):
        super().__init__()
        c = config
        self.config, self.tuned = config, tuned
        self.words = nn.Embedding(c.num_words, c.word_features, padding_idx=0)
        self.chars = nn.Embedding(c.num_chars, c.char_features, padding_idx=0)
        self.filters = nn.Conv1d(c.char_features, c.num_filters, 3)
        self.encoder = nn.LSTM(
            c.word_features + c.num_filters, c.features // 2, batch_first=True, bidirectional=True
        )
        self.attention = Attention(c.features)
        self.cell = nn.LSTMCell(c.word_features + c.features, c.features)
        self.token = nn.Linear(c.features, c.num_words)
        self.dropout = nn.Dropout(c.dropout)

    def encode(
        self, words_BS: torch.Tensor, chars_BSK: torch.Tensor, length_B: torch.Tensor
    ) -> torch.Tensor:
        """outputs_BSD of both directions, side by side."""
        _, length, word_length = chars_BSK.shape
        padded_BC = functional.pad(functional.pad(chars_BSK, (0, 2)).flatten(1), (2, 0))
        filtered_BFC = self.filters(self.dropout(self.chars(padded_BC)).transpose(1, 2))
        of_words_BFS = filtered_BFC.unflatten(2, (length, word_length + 2)).amax(-1)
        inputs_BSX = torch.cat(
            [self.dropout(self.words(words_BS)), torch.tanh(of_words_BFS).transpose(1, 2)], dim=-1
        )
        packed = pack_padded_sequence(inputs_BSX, length_B, batch_first=True, enforce_sorted=False)
        read, _ = self.encoder(packed)
        outputs_BSD, _ = pad_packed_sequence(read, batch_first=True, total_length=length)
        return self.dropout(outputs_BSD)

    def forward(
        self,
        words_BS: torch.Tensor,
        chars_BSK: torch.Tensor,
        length_B: torch.Tensor,
        fed_BT: torch.Tensor,
    ) -> torch.Tensor:
        """Logits of the word after each that is fed, logits_BTV."""
        outputs_BSD = self.encode(words_BS, chars_BSK, length_B)
        keys_BSD = self.attention.key(outputs_BSD)
        inside_BS = torch.arange(words_BS.shape[1])[None] < length_B[:, None]
        fed_BTX = self.dropout(self.words(fed_BT))
        carry = self.start(len(words_BS))
        read = outputs_BSD, keys_BSD, inside_BS
        if not self.tuned:
            logits = []
            for word_BX in fed_BTX.unbind(1):
                carry, _ = self.step(carry, word_BX, *read)
                logits.append(self.token(carry[0]))
            return torch.stack(logits, dim=1)
        of_word_GX, of_context_GD = self.cell.weight_ih.split(
            [self.config.word_features, self.config.features], dim=1
        )
        gates_BTG = functional.linear(fed_BTX, of_word_GX, self.cell.bias_ih + self.cell.bias_hh)
        weight_GY = torch.cat([of_context_GD, self.cell.weight_hh], dim=1)
        states = []
        h_BD, c_BD = carry
        for gates_BG in gates_BTG.unbind(1):
            context_BD, _ = self.attention(h_BD, keys_BSD, outputs_BSD, inside_BS)
            gates_BG = gates_BG + torch.cat([context_BD, h_BD], dim=-1) @ weight_GY.T
            i_BD, f_BD, g_BD, o_BD = gates_BG.chunk(4, dim=-1)
            c_BD = f_BD.sigmoid() * c_BD + i_BD.sigmoid() * g_BD.tanh()
            h_BD = self.dropout(o_BD.sigmoid() * c_BD.tanh())
            states.append(h_BD)
        return self.token(torch.stack(states, dim=1))

    def start(self, num_rows: int) -> Carry:
        """h_BD and c_BD before the first word."""
        zeros_BD = torch.zeros(num_rows, self.config.features)
        return zeros_BD, zeros_BD

    def step(
        self,
        carry: Carry,
        word_BX: torch.Tensor,
        outputs_BSD: torch.Tensor,
        keys_BSD: torch.Tensor,
        inside_BS: torch.Tensor,
    ) -> tuple[Carry, torch.Tensor]:
        """Feeds the vector of a word: the new h and c, and weight_BS."""
        context_BD, weight_BS = self.attention(carry[0], keys_BSD, outputs_BSD, inside_BS)
        h_BD, c_BD = self.cell(torch.cat([word_BX, context_BD], dim=-1), carry)
        return (self.dropout(h_BD), c_BD), weight_BS

    def loss(self, batch: worddec.Batch) -> torch.Tensor:
        """Cross entropy a word to be written."""
        words_BS, chars_BSK, length_B, targets_BT = map(
            _tensor, (batch.words_BS, batch.chars_BSK, batch.length_B, batch.targets_BT)
        )
        fed_BT = functional.pad(targets_BT, (1, 0), value=self.config.sos_id)[:, :-1]
        logits_BTV = self(words_BS, chars_BSK, length_B, fed_BT)
        return functional.cross_entropy(
            logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=0
        )

    @torch.inference_mode()
    def write(
        self,
        words_BS: np.ndarray,
        chars_BSK: np.ndarray,
        length_B: np.ndarray,
        target_length_B: np.ndarray,
        other_ids: tuple[int, ...],
        end_id: int,
        num_steps: int,
    ) -> torch.Tensor:
        """Greedy search until all rows have ended: tokens_BT.

        Words of the sentence and `other_ids` may be written; the end is, where `target_length_B`
        has it, and nowhere else.
        """
        source_BS, chars, lengths, target_lengths = map(
            _tensor, (words_BS, chars_BSK, length_B, target_length_B)
        )
        outputs_BSD = self.encode(source_BS, chars, lengths)
        keys_BSD = self.attention.key(outputs_BSD)
        inside_BS = torch.arange(source_BS.shape[1])[None] < lengths[:, None]
        forbidden_BV = torch.ones(len(source_BS), self.config.num_words, dtype=torch.bool)
        # Padding is padded with the end, which is forced.
        forbidden_BV.scatter_(1, source_BS.masked_fill(~inside_BS, end_id), False)
        forbidden_BV[:, list(other_ids)] = False
        forbidden_BV[:, end_id] = True
        carry = self.start(len(source_BS))
        word_B = torch.full((len(source_BS),), self.config.sos_id)
        written = []
        ended_B = torch.zeros(len(source_BS), dtype=torch.bool)
        for step in range(num_steps):
            carry, _ = self.step(carry, self.words(word_B), outputs_BSD, keys_BSD, inside_BS)
            logits_BV = self.token(carry[0]).masked_fill_(forbidden_BV, -torch.inf)
            ended_B |= target_lengths == step + 1
            word_B = torch.where(ended_B, end_id, logits_BV.argmax(-1))
            written.append(word_B)
            if ended_B.all():
                break
        return torch.stack(written, dim=1)


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.long)


def with_weights(config: worddec.Config, params: Any, tuned: bool) -> WordDec:
    """The network with these weights. Its LSTMs have two biases, of which one is zero at first."""
    network = WordDec(config, tuned)
    given: dict[str, np.ndarray] = {}

    def dense(name: str, p: Any) -> None:
        given[f"{name}.weight"] = p["kernel"].T
        if "bias" in p:
            given[f"{name}.bias"] = p["bias"]

    def lstm(name: str, p: Any, suffix: str, features: int) -> None:
        given[f"{name}.weight_ih{suffix}"] = p["kernel"][:-features].T
        given[f"{name}.weight_hh{suffix}"] = p["kernel"][-features:].T
        given[f"{name}.bias_ih{suffix}"] = p["bias"]
        given[f"{name}.bias_hh{suffix}"] = np.zeros_like(p["bias"])

    params = jax.tree.map(np.array, params)
    encoder = params["encoder"]
    for name in ("words", "chars"):
        given[f"{name}.weight"] = encoder[name]["embedding"]
        given[f"{name}.weight"][0] = 0  # padding
    given["filters.weight"] = encoder["filters"]["kernel"].transpose(2, 1, 0)
    given["filters.bias"] = encoder["filters"]["bias"]
    for direction, suffix in (("forward", "_l0"), ("backward", "_l0_reverse")):
        lstm("encoder", encoder["layers"][direction], suffix, config.features // 2)
    for name in ("key", "query", "score"):
        dense(f"attention.{name}", params["attention"][name])
    lstm("cell", params["cell"], "", config.features)
    dense("token", params["token"])
    network.load_state_dict({name: torch.tensor(x) for name, x in given.items()})
    return network
