"""WordDec at its authors' size against the same network in PyTorch, in turn in one run.

    python -m tests.benchmarks.worddec_torch [--vocab=40000 --batch=32 --rounds=7]

A train step (dropout, clipping, Adam) and greedy decoding by WordDec's rule, with the same weights,
threads and arrays, against the two programs of `worddec_network`; before they are timed, losses
without dropout and all that is written are compared. Sentences and outputs have the lengths of
NYT24's, in words, and then all the same length; outputs end where they are told to, for a network
of any weights. The vocabulary stands for NYT24's: 5,000 of its sentences have 10,143 words twice.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from grel.decoding import copying, greedy
from grel.models import worddec
from grel.text.words import EOS, PAD, PART_END, SOS, TRIPLE_END, UNK, WORD_LENGTH, Words
from grel.training import optimizer
from tests.benchmarks import worddec_network, workload
from tests.benchmarks.timing import in_turn, machine, report

NUM_CHARS = 80
RELATION_IDS = tuple(range(14, 38))
FIRST_WORD_ID = 38
# Written without being in the sentence.
OTHER_IDS = (UNK, EOS, PART_END, TRIPLE_END, *RELATION_IDS)
LEARNING_RATE, CLIP_NORM = 1e-3, 10.0

# Lengths in NYT24's dev split, in words: of sentences, and of targets with the end, of which those
# over 50 are left out. At the quantiles of `workload`.
SOURCE_LENGTHS = (
    *(5, 17, 21, 23, 25, 28, 29, 31, 33, 34, 36, 38),
    *(40, 42, 44, 46, 49, 52, 56, 63, 70, 78, 97, 100),
)
TARGET_LENGTHS = (
    *(6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8),
    *(9, 10, 12, 14, 14, 16, 21, 24, 30, 36, 50, 50),
)

Run = Callable[[], Any]


class Case(NamedTuple):
    """A batch to learn from; `target_length_B` of it ends what is decoded."""

    batch: worddec.Batch

    @property
    def num_steps(self) -> int:
        """Of decoding."""
        return greedy.num_steps_for(self.batch.targets_BT.shape[1] - 1)


def make_case(config: worddec.Config, length_B: np.ndarray, target_length_B: np.ndarray) -> Case:
    """Random sentences and targets of these lengths, padded to the longest."""
    rng = np.random.default_rng(0)
    num_rows, length, num_steps = len(length_B), length_B.max(), target_length_B.max()
    inside_BS = np.arange(length) < length_B[:, None]
    word_length_BS = rng.integers(1, WORD_LENGTH + 1, (num_rows, length))
    inside_BSK = (np.arange(WORD_LENGTH) < word_length_BS[..., None]) & inside_BS[..., None]
    chars_BSK = rng.integers(1, config.num_chars, inside_BSK.shape)
    words_BS = rng.integers(FIRST_WORD_ID, config.num_words, (num_rows, length))
    targets_BT = rng.integers(FIRST_WORD_ID, config.num_words, (num_rows, num_steps))
    place_T = np.arange(num_steps)
    targets_BT[place_T == target_length_B[:, None] - 1] = EOS
    targets_BT[place_T >= target_length_B[:, None]] = PAD
    return Case(
        jax.tree.map(
            lambda x: x.astype(np.int32),
            worddec.Batch(
                words_BS=np.where(inside_BS, words_BS, PAD),
                chars_BSK=np.where(inside_BSK, chars_BSK, 0),
                length_B=length_B,
                targets_BT=targets_BT,
                target_length_B=target_length_B,
                labels_BT=np.zeros_like(targets_BT),
                row_B=np.arange(num_rows),
            ),
        )
    )


def cases(config: worddec.Config, args: argparse.Namespace) -> dict[str, Case]:
    """A batch with the corpus's lengths, and one of rows that are all full."""
    rng = np.random.default_rng(0)
    drawn = (
        np.interp(rng.random(args.batch), workload.QUANTILES, lengths).round().astype(int)
        for lengths in (SOURCE_LENGTHS, TARGET_LENGTHS)
    )
    full = (np.full(args.batch, n) for n in (args.source, args.target))
    return {
        "NYT24 lengths": make_case(config, *drawn),
        "fixed length": make_case(config, *full),
    }


def grel_step(config: worddec.Config, params: Any, batch: worddec.Batch) -> Run:
    """A train step as grel's trainer runs it, from these parameters on."""
    tx = optimizer.make(
        optimizer.OptimizerConfig(
            LEARNING_RATE, 0, 1000, schedule="constant", weight_decay=0.0, clip_norm=CLIP_NORM
        )
    )
    copied = jax.tree.map(np.array, params)
    return workload.train_step(
        lambda key: copied, functools.partial(worddec.loss, config), tx, batch
    )


def torch_step(network: worddec_network.WordDec, batch: worddec.Batch) -> Run:
    """The same in PyTorch."""
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=network.tuned)

    def step() -> None:
        network.train()
        adam.zero_grad(set_to_none=True)
        network.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        adam.step()

    return step


def grel_loss(config: worddec.Config, params: Any, batch: worddec.Batch) -> float:
    """A word, without dropout."""
    total, count = jax.jit(functools.partial(worddec.loss, config))(params, batch, None)["loss"]
    return float(total / count)


def torch_loss(network: worddec_network.WordDec, batch: worddec.Batch) -> float:
    """A word, without dropout."""
    with torch.inference_mode():
        return float(network.eval().loss(batch))


def grel_decode(config: worddec.Config, params: Any, case: Case) -> Run:
    """Greedy search as the driver runs it, of outputs of forced lengths: tokens_BT."""

    @jax.jit
    def decode(params, words_BS, chars_BSK, length_B, target_length_B):
        room = greedy.first_room(case.num_steps)
        state = worddec.init_decode(config, params, words_BS, length_B, room, 1, chars_BSK)
        step_fn = functools.partial(
            worddec.decode_step, config, worddec.decoding_params(config, params)
        )
        masks = copying.copy_masks(words_BS, length_B, Words.excluded_ids, OTHER_IDS, (0, 0))
        generated, _ = greedy.search(
            workload.forced(step_fn, EOS),
            (state, target_length_B),
            masks,
            copying.Rules(copy="words"),
            num_steps=case.num_steps,
            start_id=SOS,
            end_id=EOS,
            take_rows_fn=lambda state, index_B: (
                worddec.take_rows(state[0], index_B),
                state[1][index_B],
            ),
            grow_fn=lambda state, num_steps: (worddec.grow(state[0], num_steps), state[1]),
            attended_fn=lambda state: worddec.attended(state[0]),
        )
        return generated.tokens_BT

    b = case.batch
    params = jax.tree.map(jax.numpy.asarray, params)
    return lambda: jax.block_until_ready(
        decode(params, b.words_BS, b.chars_BSK, b.length_B, b.target_length_B)
    )


def torch_decode(network: worddec_network.WordDec, case: Case) -> Run:
    """The same in PyTorch; it writes the same with or without tuning."""
    b = case.batch

    def decode() -> torch.Tensor:
        rows = b.words_BS, b.chars_BSK, b.length_B, b.target_length_B
        return network.eval().write(*rows, OTHER_IDS, EOS, case.num_steps)

    return decode


def programs(config: worddec.Config, params: Any) -> dict[str, worddec_network.WordDec]:
    """Those of PyTorch, with these weights."""
    return {
        f"PyTorch, {name}": worddec_network.with_weights(config, params, tuned=name == "tuned")
        for name in ("plain", "tuned")
    }


def compare(config: worddec.Config, params: Any, case: Case) -> tuple[dict[str, float], int]:
    """The loss of each program, and of how many rows grel and PyTorch write the same."""
    networks = programs(config, params)
    losses = {name: torch_loss(network, case.batch) for name, network in networks.items()}
    losses["grel"] = grel_loss(config, params, case.batch)
    ours_BT = np.asarray(grel_decode(config, params, case)())
    theirs_BT = torch_decode(networks["PyTorch, plain"], case)().numpy()
    same_B = (ours_BT[:, : theirs_BT.shape[1]] == theirs_BT).all(-1)
    return losses, int(same_B.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"vocab": 40_000, "features": 300, "batch": 32, "source": 64, "target": 32, "rounds": 7}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    config = worddec.Config(a.vocab, NUM_CHARS, SOS, word_features=a.features, features=a.features)
    params = jax.device_get(worddec.init(config, jax.random.PRNGKey(0)))
    print(f"{machine()}\n{vars(a)}, {threads} threads, float32, torch {torch.__version__}")
    for name, case in cases(config, a).items():
        losses, num_same = compare(config, params, case)
        np.testing.assert_allclose([*losses.values()], losses["grel"], rtol=1e-5)
        assert num_same == a.batch, f"only {num_same} of {a.batch} outputs are the same"
        num_rows, num_steps = case.batch.targets_BT.shape
        counted = case.batch.target_length_B.sum() / (num_rows * num_steps)
        print(
            f"{name}: sentences padded to {case.batch.words_BS.shape[1]} words, targets to "
            f"{num_steps}, of which {counted:.0%} count; the same loss, {losses['grel']:.4f}, "
            "and the same outputs"
        )
        networks = programs(config, params)
        runs = {"grel": grel_step(config, params, case.batch)}
        runs |= {of: torch_step(network, case.batch) for of, network in networks.items()}
        print(f"train step\n{report(in_turn(runs, a.rounds), 'grel')}")
        networks = programs(config, params)
        runs = {
            "grel": grel_decode(config, params, case),
            "PyTorch": torch_decode(networks["PyTorch, plain"], case),
        }
        print(f"decoding\n{report(in_turn(runs, a.rounds), 'grel')}", flush=True)


if __name__ == "__main__":
    main()
