"""The head that points against the head over the vocabulary, train step and decoding, in turn.

    python -m tests.benchmarks.heads [--layers=6 --hidden=384 --train_batch=16 --length=96]

The same encoder, "causal" objective, dropout and optimizer; decoding writes NYT24's lengths and a
fixed length under the copy mechanism. The pointer writes the source, 24 relations, the separators
and the end.
"""

import argparse
import dataclasses
import statistics

import jax
import numpy as np

from grel.data.pipeline import Batch
from grel.decoding import copying
from grel.models import bert, flops
from tests.benchmarks import workload
from tests.benchmarks.timing import in_turn, machine, report

RELATION_IDS = tuple(range(3, 27))
WRITABLE_IDS = tuple(
    sorted((workload.SEP_ID, workload.PART_END_ID, workload.TRIPLE_END_ID, *RELATION_IDS))
)


def _configs(a: argparse.Namespace) -> dict[str, bert.Config]:
    vocabulary = workload.model_config(a, "causal")
    pointer = dataclasses.replace(vocabulary, head="pointer", writable_ids=WRITABLE_IDS)
    return {"vocabulary": vocabulary, "pointer": pointer}


def _batch(a: argparse.Namespace) -> Batch:
    """Rows as full as NYT24's are in their buckets: two thirds source, targets of its words."""
    rng = np.random.default_rng(0)
    tokens_BL = rng.integers(workload.FIRST_WORD_ID, a.vocab_size, (a.train_batch, a.length))
    source = a.length * 2 // 3
    tokens_BL[:, source:] = tokens_BL[:, : a.length - source]
    full_B = np.full(a.train_batch, a.length, np.int32)
    return Batch(
        tokens_BL=tokens_BL.astype(np.int32),
        labels_BL=np.zeros(tokens_BL.shape, np.int32),
        source_length_B=np.full(a.train_batch, source, np.int32),
        length_B=full_B,
        row_B=np.arange(a.train_batch, dtype=np.int32),
        num_targets=a.length - source,
    )


def _decode(a: argparse.Namespace, config: bert.Config, case: workload.Case):
    params = bert.init(config, jax.random.PRNGKey(0))
    rules = copying.Rules(head=config.head)
    other_ids = WRITABLE_IDS if config.head == "pointer" else ()
    decode = workload.grel_decoder(config, params, rules, case.num_steps, other_ids)
    return lambda: decode(*case.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    workload.add_case_arguments(parser)
    workload.add_corpus_arguments(parser)
    parser.add_argument("--train_batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=96)
    a = parser.parse_args()
    configs = _configs(a)
    batch = _batch(a)
    here = machine()
    peak = here.peak[workload.multiplied(a)]
    print(f"{here}\n{vars(a)}, seconds; ratios above 1 are slower than the pointer")
    steps = {name: workload.bert_step(config, batch) for name, config in configs.items()}
    needed = {
        name: flops.train_step(config, a.train_batch, a.length, batch.num_targets)
        / jax.local_device_count()
        for name, config in configs.items()
    }
    seconds = in_turn(steps, a.rounds)
    print(f"train step\n{report(seconds, 'pointer', needed, peak)}")
    for name, case in workload.cases(a).items():
        decoders = {head: _decode(a, config, case) for head, config in configs.items()}
        needed = {head: workload.decode_flops(config, case) for head, config in configs.items()}
        seconds = in_turn(decoders, a.rounds)
        print(f"decoding, {name}\n{report(seconds, 'pointer', needed, peak)}")
        for head, times in seconds.items():
            print(f"{head}: {a.batch / statistics.median(times):,.0f} examples/s")


if __name__ == "__main__":
    main()
