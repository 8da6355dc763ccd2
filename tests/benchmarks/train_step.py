"""The train step against transformers' PyTorch BertForMaskedLM with AdamW, in turn in one run.

    python -m tests.benchmarks.train_step [--layers=6 --hidden=384 --batch=32 --length=128]

Same sizes, lengths, dropout, masked share, optimizer and threads. transformers computes the
vocabulary at every position, as everybody who calls it does; grel at the masked ones.
"""

import argparse
import functools
import os

import jax
import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM

from grel import parallel
from grel.data.pipeline import Batch
from grel.models import bert, flops
from grel.training import optimizer, steps
from tests.benchmarks.timing import in_turn, machine, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {
        "layers": 6,
        "hidden": 384,
        "heads": 12,
        "batch": 32,
        "length": 128,
        "vocab": 28_996,
        "rounds": 5,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    tokens_BL = rng.integers(110, a.vocab, (a.batch, a.length)).astype(np.int32)

    config = bert.Config(
        vocab_size=a.vocab,
        num_layers=a.layers,
        hidden_size=a.hidden,
        num_heads=a.heads,
        ff_size=4 * a.hidden,
        mask_id=103,
        sep_id=102,
    )
    tx = optimizer.make(optimizer.OptimizerConfig(3e-5, 10, 1000))
    state = parallel.replicate(steps.init_state(functools.partial(bert.init, config), tx, 0))
    step_fn = parallel.on_rows(
        steps.train_step(functools.partial(bert.loss, config), tx, 1), donate=True
    )
    full_B = np.full(a.batch, a.length, np.int32)
    batch = Batch(
        tokens_BL=tokens_BL,
        labels_BL=np.zeros_like(tokens_BL),
        source_length_B=full_B // 2,
        length_B=full_B,
        row_B=np.arange(a.batch, dtype=np.int32),
        num_targets=a.length // 2,
    )

    def grel_step() -> None:
        nonlocal state
        state, metrics = step_fn(state, batch)
        jax.block_until_ready((state, metrics))

    model = BertForMaskedLM(
        BertConfig(
            vocab_size=a.vocab,
            hidden_size=a.hidden,
            num_hidden_layers=a.layers,
            num_attention_heads=a.heads,
            intermediate_size=4 * a.hidden,
        )
    ).train()
    adam = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.01)
    ids = torch.tensor(tokens_BL, dtype=torch.long)
    masked = torch.tensor(rng.random(tokens_BL.shape) < 0.15)
    inputs = torch.where(masked, 103, ids)
    labels = torch.where(masked, ids, -100)
    attention = torch.ones_like(ids)

    def torch_step() -> None:
        adam.zero_grad(set_to_none=True)
        model(input_ids=inputs, attention_mask=attention, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

    here = machine()
    print(f"{here}\n{vars(a)}, {threads} threads, float32, torch {torch.__version__}")
    runs = {"grel": grel_step, "transformers": torch_step}
    num_predicted = round(config.source_mask_rate * a.length)
    needed = flops.train_step(config, a.batch, a.length, num_predicted) / jax.local_device_count()
    seconds = in_turn(runs, a.rounds)
    print(report(seconds, "grel", dict.fromkeys(runs, needed), here.peak["float32"]))


if __name__ == "__main__":
    main()
