"""The train step against transformers' PyTorch BertForMaskedLM with AdamW, in turn in one run.

    python -m tests.benchmarks.train_step [--layers=6 --hidden=384 --batch=32 --length=128]

Same sizes, lengths, dropout, masked share, type of numbers, optimizer and threads; PyTorch on the
same device. transformers computes the vocabulary at every position, as everybody who calls it does;
grel at the masked ones. `--compile` gives PyTorch torch.compile; `--fused` times grel also without
dropout on the weights of attention, since fused attention, which GPUs have, cannot drop any.
Without PyTorch grel alone is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable

import jax
import numpy as np

from grel.data.pipeline import Batch
from grel.models import bert, flops
from tests.benchmarks import workload
from tests.benchmarks.timing import in_turn, machine, report


def _grel(config: bert.Config, tokens_BL: np.ndarray) -> Callable[[], None]:
    """A step, the first half of each row its source."""
    batch, length = tokens_BL.shape
    full_B = np.full(batch, length, np.int32)
    rows = Batch(
        tokens_BL=tokens_BL,
        labels_BL=np.zeros_like(tokens_BL),
        source_length_B=full_B // 2,
        length_B=full_B,
        row_B=np.arange(batch, dtype=np.int32),
        num_targets=length // 2,
    )
    return workload.bert_step(config, rows)


def _transformers(a: argparse.Namespace, tokens_BL: np.ndarray) -> Callable[[], None]:
    """A step of PyTorch; raises ImportError without it."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = workload.torch_device()
    print(f"PyTorch {torch.__version__} on {device}{', torch.compile' if a.compile else ''}")
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=a.vocab_size,
            hidden_size=a.hidden,
            num_hidden_layers=a.layers,
            num_attention_heads=a.heads,
            intermediate_size=4 * a.hidden,
        )
    )
    model = model.to(device).train()
    adam = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.01)
    ids = torch.tensor(tokens_BL, dtype=torch.long, device=device)
    masked = torch.tensor(np.random.default_rng(1).random(tokens_BL.shape) < 0.15, device=device)
    inputs = torch.where(masked, workload.MASK_ID, ids)
    labels = torch.where(masked, ids, -100)
    attention = torch.ones_like(ids)
    forward = torch.compile(model) if a.compile else model
    half = torch.autocast(device, torch.bfloat16, enabled=workload.multiplied(a) == "bfloat16")

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        with half:
            loss = forward(input_ids=inputs, attention_mask=attention, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    for name, value in {"batch": 32, "length": 128, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--compile", action="store_true", help="PyTorch with torch.compile")
    parser.add_argument("--fused", action="store_true", help="also without attention's dropout")
    a = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = a.batch, a.length
    tokens_BL = rng.integers(workload.FIRST_WORD_ID, a.vocab_size, shape).astype(np.int32)
    here = machine()
    print(f"{here}\n{vars(a)}")
    config = workload.model_config(a, "mlm")
    runs = {"grel": _grel(config, tokens_BL)}
    if a.fused:
        without = dataclasses.replace(config, attention_dropout=0.0)
        runs["no attention dropout"] = _grel(without, tokens_BL)
    try:
        runs["transformers"] = _transformers(a, tokens_BL)
    except ImportError as error:
        print(f"grel alone: {error}")
    num_predicted = round(config.source_mask_rate * a.length)
    needed = flops.train_step(config, a.batch, a.length, num_predicted) / jax.local_device_count()
    seconds = in_turn(runs, a.rounds)
    print(report(seconds, "grel", dict.fromkeys(runs, needed), here.peak[workload.multiplied(a)]))


if __name__ == "__main__":
    main()
