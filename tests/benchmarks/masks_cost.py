"""What the masks cost: decoding with copying, with the grammar too, and with neither.

    python -m tests.benchmarks.masks_cost [--batch=64 --source=64 --target=64]

No row ever ends and all write the same number of tokens, so the masks are the only difference.
"""

import argparse

import numpy as np

from grel.decoding import copying
from grel.decoding.structure import Schema
from grel.text.bio import B
from grel.text.linearize import Form
from tests.benchmarks import workload
from tests.benchmarks.timing import in_turn, machine, report

NUM_RELATIONS, WORDS_IN_RELATION = 24, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    for name, value in {"batch": 64, "source": 64, "target": 64, "rounds": 9}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    config, params = workload.model(a, "mlm")
    # Under the grammar a first label O would end the output at once.
    params["bio"]["bias"] = params["bio"]["bias"].at[B].set(1e3)
    source_length_B = np.full(a.batch, a.source, np.int32)
    source_BS = workload.sources(source_length_B, a.source, a.vocab_size)
    case = workload.Case(a.target, (source_BS, source_length_B, np.full(a.batch, a.target + 1)))
    rng = np.random.default_rng(2)
    names = rng.integers(workload.FIRST_WORD_ID, a.vocab_size, (NUM_RELATIONS, WORDS_IN_RELATION))
    schema = Schema(
        {str(number): name for number, name in enumerate(names.tolist())},
        Form(workload.PART_END_ID, workload.TRIPLE_END_ID),
        workload.SEP_ID,
    )
    alternatives = {
        "no masks": copying.Rules(copy="off"),
        "copy": copying.Rules(),
        "copy and structure": copying.Rules(schema.grammar()),
    }

    def run_of(rules: copying.Rules):
        other_ids = schema.token_ids if rules.grammar else ()
        decode = workload.grel_decoder(config, params, rules, a.target, other_ids)

        def run() -> None:
            generated = decode(*case.rows)
            assert (generated.length_B == a.target).all()

        return run

    here = machine()
    print(f"{here}\n{vars(a)}, mlm decoding")
    runs = {name: run_of(rules) for name, rules in alternatives.items()}
    needed = dict.fromkeys(runs, workload.decode_flops(config, case))
    print(report(in_turn(runs, a.rounds), "no masks", needed, here.peak[workload.multiplied(a)]))


if __name__ == "__main__":
    main()
