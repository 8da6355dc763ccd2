"""How long a decoder takes to start, first without and then with the compilation cache.

    python -m tests.benchmarks.startup [--layers=6 --hidden=384 --rounds=3]

A start is a new process that decodes one batch of every bucket, with random weights under which
the output ends at once: more would time the decoding. Each round has two, with a cache that is
empty for the first. Counted in each: programs compiled, those of them that came from the cache, and
programs compiled after the start, when batches of all buckets come again with other sources,
another size of the last batch and other relations: to be 0. To aim at: a second start in at most a
quarter of the time of the first.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from grel.decoding.driver import Decoder
from grel.decoding.network import Functions
from grel.decoding.program import Frame, Options
from grel.decoding.structure import Schema
from grel.extraction.opening import cache_compilations
from grel.models import bert, bert_decoding
from grel.text.bio import O
from grel.text.linearize import Form
from tests.benchmarks import workload
from tests.benchmarks.timing import machine, report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    workload.add_model_arguments(parser)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--target", type=int, default=128)
    parser.add_argument("--buckets", type=int, nargs="+", default=[64, 96, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", help="be the process that starts, with this cache")
    return parser


def _start(a: argparse.Namespace) -> None:
    """Starts, goes on a little, and prints the counts and times as JSON."""
    events = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: events.update([event])
    )

    def num_compiled() -> int:
        return events["/jax/core/compile/backend_compile_duration"]

    cache_compilations(a.cache)
    config = workload.model_config(a, "mlm")
    shapes = jax.eval_shape(lambda: bert.init(config, jax.random.PRNGKey(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype), shapes)
    params["bio"]["bias"][O] = 1e3  # the label of the end token
    decoder = Decoder(
        Functions.of(bert_decoding, config),
        Options("on", a.target, a.batch, tuple(a.buckets), structure="on"),
        frame=Frame.packed(workload.PAD_ID, workload.CLS_ID, workload.SEP_ID),
        excluded_ids=workload.EXCLUDED_IDS,
        schema=Schema(
            {"in": [200], "born in": [201, 200]},
            Form(workload.PART_END_ID, workload.TRIPLE_END_ID),
            workload.SEP_ID,
        ),
    )
    params = decoder.place(params)

    def decode_all(decoder: Decoder, num: int) -> None:
        sources = []
        for bucket in a.buckets:
            words = rng.integers(workload.FIRST_WORD_ID, a.vocab_size, (num, bucket - 2))
            sources += words.tolist()
        decoder(params, sources)

    begin = time.perf_counter()
    decode_all(decoder, a.batch)
    start = {
        "seconds": time.perf_counter() - begin,
        "compiled": num_compiled(),
        "from cache": events["/jax/compilation_cache/cache_hits"],
    }
    decode_all(decoder, 3 * a.batch)
    decode_all(decoder.restricted(["born in"]), a.batch + 1)
    print(json.dumps({**start, "compiled later": num_compiled() - start["compiled"]}))


def main() -> None:
    a = _parser().parse_args()
    if a.cache:
        _start(a)
        return
    seconds = collections.defaultdict(list)
    for _ in range(a.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("first start", "second start"):
                command = [sys.executable, "-m", "tests.benchmarks.startup", f"--cache={cache}"]
                begin = time.perf_counter()
                done = subprocess.run(
                    [*command, *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=True
                )
                found = json.loads(done.stdout)
                seconds[f"{name}, process"].append(time.perf_counter() - begin)
                seconds[name].append(found.pop("seconds"))
                print(f"{name}: {found}")
    print(f"{machine()}\n{vars(a)}")
    print(report(seconds, "first start"))
    print(report({k: v for k, v in seconds.items() if "process" in k}, "first start, process"))


if __name__ == "__main__":
    main()
