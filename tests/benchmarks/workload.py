"""What decoding is timed on: sources and outputs as long as NYT24's, for a model of any weights.

Untrained weights would end an output anywhere, so the end token is forced where the corpus ends it.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from grel import parallel
from grel.data import features
from grel.data.pipeline import Batch
from grel.decoding import copying, greedy
from grel.models import bert, bert_decoding, flops
from grel.records import read_jsonl
from grel.text.bio import B, I, O
from grel.text.wordpiece import Wordpiece, read_vocabulary
from grel.training import optimizer, steps

PAD_ID, CLS_ID, SEP_ID, MASK_ID, PART_END_ID, TRIPLE_END_ID = 0, 101, 102, 103, 1, 2
EXCLUDED_IDS = (PAD_ID, CLS_ID, SEP_ID, MASK_ID, PART_END_ID, TRIPLE_END_ID)
FIRST_WORD_ID = 110

# Lengths in NYT24's dev split, in wordpieces of UniLM's vocabulary: of `[CLS] S1 [SEP]`, and of the
# target with its end token, at these quantiles. Their correlation is .11, as good as none.
QUANTILES = (*np.linspace(0, 0.95, 20), 0.975, 0.99, 0.999, 1)
SOURCE_LENGTHS = (
    *(7, 23, 27, 30, 33, 35, 37, 39, 41, 43, 45, 47),
    *(49, 52, 55, 58, 61, 65, 70, 81, 91, 103, 130, 143),
)
TARGET_LENGTHS = (
    *(6, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11),
    *(12, 12, 14, 16, 18, 20, 26, 29, 37, 44, 66, 102),
)


class Case(NamedTuple):
    """One batch to decode: at most `num_steps` tokens an output.

    Attributes:
        rows: source_BS, source_length_B, target_length_B; that of a target counts its end token.
    """

    num_steps: int
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def num_tokens(self) -> int:
        """Tokens to write, end tokens included."""
        return int(self.rows[2].clip(max=self.num_steps).sum())


def decode_flops(config: bert.Config, case: Case) -> float:
    """Operations of decoding a case, at its mean lengths."""
    num_sources = len(case.rows[0])
    source = float(case.rows[1].mean())
    return flops.decode(config, num_sources, source, case.num_tokens / num_sources)


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes of the two cases, see `cases`."""
    sizes = {"batch": 64, "source": 64, "target": 128, "fixed": 32, "rounds": 5}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)


def cases(args: argparse.Namespace) -> dict[str, Case]:
    """A batch with the corpus's lengths, and one with outputs that all go on to the limit."""
    source_length_B, target_length_B = lengths(args, args.batch)
    source_length_B = source_length_B.clip(max=args.source)
    source_BS = sources(source_length_B, args.source, args.vocab_size)
    never_B = np.full(args.batch, args.fixed + 1, np.int32)
    return {
        "NYT24 lengths": Case(
            args.target, (source_BS, source_length_B, target_length_B.clip(max=args.target))
        ),
        "fixed length": Case(args.fixed, (source_BS, source_length_B, never_B)),
    }


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """--jsonl and --vocab, for lengths of a corpus at hand."""
    parser.add_argument(
        "--jsonl", help="records of grel (default: lengths drawn as NYT24 has them)"
    )
    parser.add_argument("--vocab", help="a BERT vocab.txt, for --jsonl")


def lengths(args: argparse.Namespace, num: int) -> tuple[np.ndarray, np.ndarray]:
    """source_length_E with [CLS] and [SEP], target_length_E with the end token."""
    rng = np.random.default_rng(0)
    if not args.jsonl:
        drawn = (
            np.interp(rng.random(num), QUANTILES, values)
            for values in (SOURCE_LENGTHS, TARGET_LENGTHS)
        )
        return tuple(x.round().astype(np.int32) for x in drawn)
    documents = list(read_jsonl(args.jsonl))
    chosen = [documents[i] for i in rng.permutation(len(documents))[:num]]
    relations = {t.relation for document in documents for t in document.triples}
    wordpiece = Wordpiece(read_vocabulary(args.vocab), relations)
    found = features.examples(chosen, wordpiece, features.Options())
    pairs = [(len(source) + 2, len(target) + 1) for source, target, *_ in found]
    source_length_E, target_length_E = np.array(pairs, np.int32).T
    return source_length_E, target_length_E


def sources(source_length_B: np.ndarray, width: int, vocab: int) -> np.ndarray:
    """Random `[CLS] S1 [SEP] pad` of these lengths: source_BS."""
    rng = np.random.default_rng(1)
    source_BS = rng.integers(FIRST_WORD_ID, vocab, (len(source_length_B), width)).astype(np.int32)
    for row_S, length in zip(source_BS, source_length_B, strict=True):
        row_S[[0, length - 1]] = CLS_ID, SEP_ID
        row_S[length:] = PAD_ID
    return source_BS


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes; those of the small model that a CPU can wait for are the defaults."""
    for name, value in {"layers": 6, "hidden": 384, "heads": 12, "vocab_size": 28_996}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", default="float32", help="of the computation")
    parser.add_argument(
        "--half_products", action="store_true", help="multiply in bfloat16, as some CPUs can"
    )
    parser.add_argument("--scan_layers", action="store_true", help="compile one layer for all")


def multiplied(args: argparse.Namespace) -> str:
    """The type of the numbers that the model multiplies."""
    return "bfloat16" if args.half_products else args.dtype


def torch_device() -> str:
    """Where PyTorch can work on what JAX works on."""
    import torch

    return "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"


def model_config(args: argparse.Namespace, objective: str) -> bert.Config:
    """The configuration that the arguments describe."""
    return bert.Config(
        vocab_size=args.vocab_size,
        num_layers=args.layers,
        hidden_size=args.hidden,
        num_heads=args.heads,
        ff_size=4 * args.hidden,
        mask_id=MASK_ID,
        sep_id=SEP_ID,
        init_stddev=0.1,
        dtype=args.dtype,
        half_products=args.half_products,
        scan_layers=args.scan_layers,
        objective=objective,
    )


def model(args: argparse.Namespace, objective: str) -> tuple[bert.Config, Any]:
    """A configuration and random parameters whose likeliest label is mostly B or I."""
    config = model_config(args, objective)
    params = bert.init(config, jax.random.PRNGKey(0))
    params["bio"]["bias"] = params["bio"]["bias"].at[np.array([B, I])].set(3.0)
    return config, params


def train_step(
    init: Callable[[jax.Array], Any],
    loss: steps.LossFn,
    tx: optax.GradientTransformation,
    batch: Any,
) -> Callable[[], None]:
    """A train step over a batch, as the trainer runs it, from these parameters on."""
    state = parallel.replicate(steps.init_state(init, tx, 0))
    step_fn = parallel.on_rows(steps.train_step(loss, tx, 1), donate=True)

    def step() -> None:
        nonlocal state
        state, metrics = step_fn(state, batch)
        jax.block_until_ready((state, metrics))

    return step


def bert_step(config: bert.Config, batch: Batch) -> Callable[[], None]:
    """A train step of BERT from fresh parameters on."""
    tx = optimizer.make(optimizer.OptimizerConfig(3e-5, 10, 1000))
    init, loss = (functools.partial(fn, config) for fn in (bert.init, bert.loss))
    return train_step(init, loss, tx, batch)


def forced(step_fn: greedy.StepFn, end: int) -> greedy.StepFn:
    """`step_fn` with the number of tokens left to write in its state: the last is the end token.

    `end` is where the logits have it.
    """

    def step(state: tuple[Any, jax.Array], token_B: jax.Array):
        state, left_B = state
        token_logits, bio_logits_BC, state = step_fn(state, token_B)
        force_B = jnp.where(left_B == 1, 1e9, -1e9)
        return (
            token_logits.at[:, end].set(force_B),
            bio_logits_BC.at[:, O].add(jnp.maximum(force_B, 0)),
            (state, left_B - 1),
        )

    return step


def grel_decoder(
    config: bert.Config,
    params: Any,
    rules: copying.Rules,
    num_steps: int,
    other_ids: Sequence[int] = (),
) -> Callable[..., greedy.Generated]:
    """Greedy decoding as the driver runs it, of outputs of forced lengths.

    `other_ids` are those that need not be copied, for a model that points.
    """

    @jax.jit
    def decode(params, rules, source_BS, source_length_B, target_length_B):
        step_fn = functools.partial(bert_decoding.decode_step, config, params)
        room = greedy.first_room(num_steps)
        state = bert_decoding.init_decode(config, params, source_BS, source_length_B, room)
        points = config.head == "pointer"
        end = source_BS.shape[1] + other_ids.index(SEP_ID) if points else SEP_ID
        generated, _ = greedy.search(
            forced(step_fn, end),
            (state, target_length_B),
            copying.copy_masks(source_BS, source_length_B, EXCLUDED_IDS, other_ids),
            rules,
            num_steps=num_steps,
            start_id=SEP_ID,
            end_id=SEP_ID,
            take_rows_fn=lambda state, index_B: (
                bert_decoding.take_rows(state[0], index_B),
                state[1][index_B],
            ),
            grow_fn=lambda state, num_steps: (bert_decoding.grow(state[0], num_steps), state[1]),
        )
        return generated

    params = bert_decoding.decoding_params(config, params)
    return lambda *rows: jax.block_until_ready(decode(params, rules, *rows))
