"""Greedy decoding against `transformers`' generate in PyTorch, in turn in one run.

    python -m tests.benchmarks.decode_transformers [--batch=64 --target=128] [--jsonl=.. --vocab=..]

The same: weights, threads, sources, the sequence-to-sequence mask, segments and positions, the
label head, the rules of copying (vectorized, in a LogitsProcessor) and forced output lengths, so
that both write the same tokens; how many outputs agree is printed. transformers has no such model:
BertLMHeadModel is given the source as its prompt, with a mask under which the prompt sees all of
itself, and a label head. Not the same: grel runs its "causal" objective here, because generate
cannot feed [previous token, MASK]; transformers' cache grows by concatenation, its batch stays
whole until the last row ends, and grel is compiled. Once with output lengths of NYT24 and a limit
of --target, once with all outputs of --fixed tokens.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
from typing import Any

import jax
import numpy as np
import torch
import transformers
from transformers import BertConfig, BertLMHeadModel, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions

from grel.decoding import copying
from grel.models import bert
from grel.text.bio import NUM_LABELS, B, I, O
from tests.benchmarks import workload
from tests.benchmarks.timing import in_turn, machine, report


class SourceToTarget(BertLMHeadModel):
    """BERT that writes after a prompt which sees all of itself; keeps the labels' logits."""

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bio = torch.nn.Linear(config.hidden_size, NUM_LABELS)
        self.bio_logits_BC: torch.Tensor | None = None

    # generate looks at the names of these parameters to see what it should give.
    def forward(
        self, input_ids, attention_mask=None, position_ids=None, past_key_values=None, **_
    ) -> CausalLMOutputWithCrossAttentions:
        reads_source = past_key_values is None or not past_key_values.get_seq_length()
        if reads_source:
            length = input_ids.shape[1]
            if attention_mask is None:  # where no source is padded
                attention_mask = torch.ones_like(input_ids)
            attention_mask = attention_mask[:, None, None].bool().expand(-1, 1, length, -1)
        read = self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=torch.full_like(input_ids, 0 if reads_source else 1),
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=True,
        )
        last_B1D = read.last_hidden_state[:, -1:]
        self.bio_logits_BC = self.bio(last_B1D)[:, 0]
        return CausalLMOutputWithCrossAttentions(
            logits=self.cls(last_B1D), past_key_values=read.past_key_values
        )


class Copying(LogitsProcessor):
    """The rules of METHOD section 6 and forced lengths, for one call of generate."""

    def __init__(self, model: SourceToTarget, source_BS: torch.Tensor, target_length_B):
        excluded = torch.tensor(workload.EXCLUDED_IDS, device=source_BS.device)
        self._model, self._source_BS = model, source_BS
        self._target_length_B = target_length_B
        self._candidate_BS = ~torch.isin(source_BS, excluded)
        self._inside_BS = self._candidate_BS
        self._match_BS = torch.zeros_like(self._inside_BS)
        self._label_B = torch.full_like(target_length_B, O)

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self._source_BS.shape[1]
        if step:
            goes_on_BS = (self._label_B == B)[:, None] | self._shift(self._match_BS)
            here_BS = self._inside_BS & (self._source_BS == input_ids[:, -1:])
            self._match_BS = here_BS & goes_on_BS
        ends_B = self._target_length_B == step + 1
        label_B = torch.where(ends_B, O, self._model.bio_logits_BC.argmax(-1))
        follows_BS = self._shift(self._match_BS) & self._candidate_BS
        starts_BS = (label_B == B)[:, None] & self._candidate_BS
        allow_BS = torch.where((label_B == I)[:, None], follows_BS, starts_BS)
        allow_BV = torch.zeros_like(scores, dtype=torch.bool)
        # Only ever writes True, so that a word's other places do not matter.
        rows, places = allow_BS.nonzero(as_tuple=True)
        allow_BV[rows, self._source_BS[rows, places]] = True
        allow_BV |= ~allow_BS.any(-1, keepdim=True)
        scores = scores.masked_fill(~allow_BV, -torch.inf)
        scores[:, workload.SEP_ID] = torch.where(ends_B, torch.inf, -torch.inf)
        self._label_B = label_B
        return scores

    @staticmethod
    def _shift(x_BS: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x_BS, (1, 0))[:, :-1]


def same_model(config: bert.Config, params: Any) -> SourceToTarget:
    """The PyTorch model with these weights."""
    model = SourceToTarget(
        BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.ff_size,
            max_position_embeddings=config.max_positions,
            type_vocab_size=config.num_segments,
            layer_norm_eps=config.layer_norm_eps,
            is_decoder=True,
            pad_token_id=workload.PAD_ID,
        )
    )
    width = config.hidden_size
    own = model.state_dict()
    given = {}

    def dense(name: str, p: Any, num_inputs: int = width) -> None:
        given[f"{name}.weight"] = np.asarray(p["kernel"]).reshape(num_inputs, -1).T
        given[f"{name}.bias"] = np.asarray(p["bias"]).reshape(-1)

    def norm(name: str, p: Any) -> None:
        given[f"{name}.weight"], given[f"{name}.bias"] = p["norm"]["scale"], p["norm"]["bias"]

    for name, table in (("word", "words"), ("position", "positions"), ("token_type", "segments")):
        given[f"bert.embeddings.{name}_embeddings.weight"] = params[table]["embedding"]
    norm("bert.embeddings.LayerNorm", params["embedding_norm"])
    for n in range(config.num_layers):
        p = jax.tree.map(lambda x, n=n: x[n], params["layers"])
        layer = f"bert.encoder.layer.{n}"
        for name in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{name}", p[name])
        dense(f"{layer}.attention.output.dense", p["attention_out"])
        norm(f"{layer}.attention.output.LayerNorm", p["attention_norm"])
        dense(f"{layer}.intermediate.dense", p["ff_in"])
        dense(f"{layer}.output.dense", p["ff_out"], config.ff_size)
        norm(f"{layer}.output.LayerNorm", p["ff_norm"])
    dense("cls.predictions.transform.dense", params["transform"])
    norm("cls.predictions.transform.LayerNorm", params["transform_norm"])
    given["cls.predictions.decoder.weight"] = params["words"]["embedding"]
    given["cls.predictions.bias"] = given["cls.predictions.decoder.bias"] = params["token_bias"]
    dense("bio", params["bio"])
    assert own.keys() == given.keys(), own.keys() ^ given.keys()
    model.load_state_dict({name: torch.tensor(np.array(x)) for name, x in given.items()})
    return model.eval()


def generate_with(
    model: SourceToTarget,
    num_steps: int,
    half_products: bool,
    source_BS,
    length_B,
    target_length_B,
):
    """Tokens that generate writes, tokens_BT; sources are padded on the left, as it needs."""
    width = source_BS.shape[1]
    on_the_left = [np.roll(row, width - n) for row, n in zip(source_BS, length_B, strict=True)]
    prompt_BS = torch.tensor(np.stack(on_the_left), dtype=torch.long, device=model.device)
    target_length_B = torch.tensor(target_length_B, device=model.device)
    half = torch.autocast(model.device.type, torch.bfloat16, enabled=half_products)
    with torch.inference_mode(), half:
        ids_BL = model.generate(
            prompt_BS,
            attention_mask=(prompt_BS != workload.PAD_ID).long(),
            logits_processor=LogitsProcessorList([Copying(model, prompt_BS, target_length_B)]),
            max_new_tokens=num_steps,
            do_sample=False,
            eos_token_id=workload.SEP_ID,
            pad_token_id=workload.SEP_ID,
        )
    return ids_BL[:, width:].cpu().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    workload.add_corpus_arguments(parser)
    workload.add_case_arguments(parser)
    a = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    config, params = workload.model(a, "causal")
    device = workload.torch_device()
    model = same_model(config, params).to(device, getattr(torch, a.dtype))
    here = machine()
    print(
        f"{here}\n{vars(a)}, causal decoding, PyTorch on {device}, {threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}"
    )
    for name, case in workload.cases(a).items():
        decode = workload.grel_decoder(config, params, copying.Rules(), case.num_steps)
        runs = {
            "grel": functools.partial(decode, *case.rows),
            "transformers": functools.partial(
                generate_with, model, case.num_steps, a.half_products, *case.rows
            ),
        }
        theirs_BT = runs["transformers"]()
        ours_BT = np.asarray(runs["grel"]().tokens_BT)[:, : theirs_BT.shape[1]]
        num_same = (ours_BT == theirs_BT).all(-1).sum()
        print(f"{name}: {case.num_tokens} tokens; the same outputs: {num_same}/{a.batch}")
        seconds = in_turn(runs, a.rounds)
        needed = dict.fromkeys(runs, workload.decode_flops(config, case))
        print(report(seconds, "grel", needed, here.peak[workload.multiplied(a)]))
        print(f"grel: {a.batch / statistics.median(seconds['grel']):,.0f} examples/s")


if __name__ == "__main__":
    main()
