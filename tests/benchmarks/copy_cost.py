"""What the copy mechanism costs: decoding with it on and off, at forced equal lengths.

    python -m tests.benchmarks.copy_cost [--batch=64 --source=64 --target=64]

No row ever ends and both write the same number of tokens, so the only difference is the copying.
"""

import argparse

import jax
import numpy as np

from grel.decoding import copying, greedy
from grel.models import bert
from tests.benchmarks.timing import in_turn, report

NEVER = -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {
        "layers": 6,
        "hidden": 384,
        "heads": 12,
        "batch": 64,
        "source": 64,
        "target": 64,
        "vocab": 28_996,
        "rounds": 9,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    config = bert.Config(
        vocab_size=a.vocab,
        num_layers=a.layers,
        hidden_size=a.hidden,
        num_heads=a.heads,
        ff_size=4 * a.hidden,
        mask_id=103,
        sep_id=102,
        init_stddev=0.1,
    )
    params = bert.init(config, jax.random.PRNGKey(0))
    rng = np.random.default_rng(0)
    source_BS = rng.integers(110, a.vocab, (a.batch, a.source)).astype(np.int32)
    length_B = np.full(a.batch, a.source, np.int32)

    def decoder(mode: str):
        @jax.jit
        def decode(params, source_BS, length_B):
            return greedy.search(
                lambda state, token_B: bert.decode_step(config, params, state, token_B),
                bert.init_decode(config, params, source_BS, length_B, a.target),
                copying.copy_masks(source_BS, length_B, (0, 101, 102, 103, 1, 2)),
                num_steps=a.target,
                start_id=102,
                end_id=NEVER,
                mode=mode,
            )

        def run() -> None:
            generated = jax.block_until_ready(decode(params, source_BS, length_B))
            assert (generated.length_B == a.target).all()

        return run

    print(f"{vars(a)}, mlm decoding, float32, {jax.default_backend()}, jax {jax.__version__}")
    print(report(in_turn({mode: decoder(mode) for mode in ("off", "on")}, a.rounds), "off"))


if __name__ == "__main__":
    main()
