"""How many steps are run for how many rows, against the number of tokens there are to write.

    python -m tests.benchmarks.row_steps [--batch=256] [--jsonl=dev.jsonl --vocab=vocab.txt]

An exact count that no clock enters, with a table in place of a model. The tokens include the end
token of each output. To aim at: at most 1.3 row-steps a token.
"""

import argparse

import jax.numpy as jnp
import numpy as np

from grel import parallel
from grel.config import get_config
from grel.decoding.driver import Decoder
from grel.decoding.network import Functions
from grel.decoding.program import Frame, Options
from tests.benchmarks import workload

# Ids of a made-up vocabulary: a source's first word says how long its target is.
LENGTH_ID = 10


def init_fn(params, source_BS, source_length_B, num_steps, num_beams):
    return source_BS[:, 1] - LENGTH_ID


def step_fn(params, left_B, token_B):
    """Writes LENGTH_ID until the end is due; `params` is a zero for every word."""
    end_B = jnp.where(left_B == 1, 1.0, -1.0)
    token_logits_BV = jnp.broadcast_to(params[None], (len(left_B), len(params)))
    token_logits_BV = token_logits_BV.at[:, workload.SEP_ID].set(end_B)
    return token_logits_BV, jnp.zeros((len(left_B), 3)), left_B - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_corpus_arguments(parser)
    parser.add_argument("--num_examples", type=int, default=5000)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--max_target", type=int, default=get_config().decoding.max_target)
    a = parser.parse_args()
    source_length_E, target_length_E = workload.lengths(a, a.num_examples)
    target_length_E = target_length_E.clip(max=a.max_target + 1)
    sources = [
        [LENGTH_ID + int(target), *[workload.FIRST_WORD_ID] * int(source - 3)]
        for source, target in zip(source_length_E.clip(min=3), target_length_E, strict=True)
    ]
    num_tokens = int(target_length_E.sum())
    params = parallel.replicate(np.zeros(LENGTH_ID + a.max_target + 2 + workload.FIRST_WORD_ID))
    print(f"{vars(a)}: {num_tokens:,} tokens, {num_tokens / len(sources):.1f} an output")
    for batch in a.batch:
        decoder = Decoder(
            Functions(
                init=init_fn,
                step=step_fn,
                decoding_params=lambda params: params,
                take_rows=lambda left_B, index_B: left_B[index_B],
                grow=lambda left_B, num_steps: left_B,
                reorder_beams=lambda left_B, origin_BW: left_B,
            ),
            Options("on", a.max_target, batch, get_config().data.buckets),
            frame=Frame.packed(workload.PAD_ID, workload.CLS_ID, workload.SEP_ID),
            excluded_ids=workload.EXCLUDED_IDS,
        )
        written = decoder(params, sources)
        assert [len(one.ids) + 1 for one in written] == target_length_E.tolist()
        steps = decoder.row_steps
        to_the_end = -(-len(sources) // batch) * batch * (a.max_target + 1)
        print(
            f"batches of {batch:4}: {steps:>9,} row-steps, {steps / num_tokens:.3f} a token; "
            f"without stopping early {to_the_end / num_tokens:.1f}"
        )


if __name__ == "__main__":
    main()
