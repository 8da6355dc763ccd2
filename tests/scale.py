"""The figures of docs/SCALE.md: formulas, filled with the code's own numbers.

    python -m tests.scale            # prints the tables
    python -m tests.scale --write    # puts them into docs/SCALE.md

What is not the code's stands in `Assumed`, and in the first table.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from grel import recipes
from grel.devices.kinds import KINDS
from grel.models import flops
from grel.scoring import seen
from grel.training import ahead, optimizer, steps
from tests.benchmarks.workload import QUANTILES, SOURCE_LENGTHS, TARGET_LENGTHS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "SCALE.md"
SIZES = ("base", "large")
GB = 1e9


@dataclasses.dataclass(frozen=True)
class Assumed:
    """What the code does not know."""

    num_devices: int = 256
    devices_a_host: int = 4
    rows_a_device: int = 16
    training_share: float = 0.40  # of the peak, in a step
    decoding_share: float = 0.02  # of the peak, in decoding
    ici_bytes: float = 100e9  # a second and device and direction, within a slice
    dcn_bytes: float = 12.5e9  # a second and host, between slices
    disk_bytes: float = 1e9  # a second, of the storage that all share
    packed_a_second: float = 435_299  # rows of 128 tokens, one core; RESULTS.md
    tokenized_a_second: float = 7_927  # sentences, one core; RESULTS.md
    price: float = 1.20  # of a device and hour, US dollars
    days_between_failures: float = 1_000  # of one host
    sentences: float = 1e9
    text_bytes: float = 150  # of a sentence
    triples: float = 1.6  # of a sentence
    triple_bytes: float = 250  # of a written triple: names, places, score
    document_bytes: float = 2_000  # of a document in memory, with its triples, in Python


def _mean(lengths: Sequence[int]) -> float:
    """Of lengths that are given at quantiles."""
    return float(np.interp(np.linspace(0, 1, 10_001), QUANTILES, lengths).mean())


@dataclasses.dataclass(frozen=True)
class Size:
    """A model of the paper's, as the recipe of UniLM has it.

    Attributes:
        num_params: of the model.
        state_bytes: all that training changes.
        evaluated_bytes: what extracts.
        batch_bytes: of a row of 128 tokens, as the host hands it over.
        step_flops: of a device's rows, by length.
        sentence_flops: of a decoded sentence.
    """

    num_params: int
    state_bytes: int
    evaluated_bytes: int
    batch_bytes: float
    step_flops: dict[int, float]
    sentence_flops: float

    @classmethod
    def of(cls, size: str, a: Assumed) -> Size:
        config = recipes.load(f"{ROOT}/configs/unilm.py:{size}-nyt24")
        system = ahead.stand_in(config, num_relations=24)
        tx = optimizer.configured(config.train, num_steps=2)
        state = jax.eval_shape(lambda: steps.init_state(system.init, tx, 0))

        def num_bytes(tree: object) -> int:
            return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))

        batches = {
            length: ahead.batch_like(a.rows_a_device, length, length // 2) for length in (128, 512)
        }
        return cls(
            num_params=sum(x.size for x in jax.tree.leaves(state.params)),
            state_bytes=num_bytes(state),
            evaluated_bytes=num_bytes(state.evaluated),
            batch_bytes=num_bytes(batches[128]) / a.rows_a_device,
            step_flops={n: ahead.step_flops(system.model, batch) for n, batch in batches.items()},
            sentence_flops=flops.decode(
                system.model, 1, _mean(SOURCE_LENGTHS), _mean(TARGET_LENGTHS)
            ),
        )


def tables(a: Assumed) -> dict[str, str]:
    """Each table of the page by its name, in Markdown."""
    sizes = {name: Size.of(name, a) for name in SIZES}
    kind = KINDS["v5e"]

    def table(first: str, rows: Iterator[tuple[str, Callable[[Size], str]]]) -> str:
        lines = [f"| {first} | {' | '.join(sizes)} |", "|---" * (len(sizes) + 1) + "|"]
        lines += [
            f"| {name} | {' | '.join(value(size) for size in sizes.values())} |"
            for name, value in rows
        ]
        return "\n".join(lines)

    peak = a.num_devices * kind.peak_flops
    all_rows = a.num_devices * a.rows_a_device
    num_hosts = a.num_devices // a.devices_a_host

    def step_seconds(size: Size, length: int) -> float:
        return size.step_flops[length] / kind.peak_flops / a.training_share

    def wire_bytes(size: Size, num: int) -> float:
        """What each of `num` sends in a ring that sums gradients."""
        return 2 * (num - 1) / num * size.evaluated_bytes

    def ici_seconds(size: Size) -> float:
        return wire_bytes(size, a.num_devices) / a.ici_bytes

    def dcn_seconds(size: Size) -> float:
        """Two slices: each host sends its devices' part of the sum to its fellow."""
        return wire_bytes(size, 2) / (num_hosts / 2) / a.dcn_bytes

    def save_seconds(size: Size) -> float:
        return size.state_bytes / a.disk_bytes

    def rows_a_second(size: Size) -> float:
        return all_rows / step_seconds(size, 128)

    num_steps = a.sentences / all_rows
    every = recipes.load(f"{ROOT}/configs/unilm.py:base-nyt24").train.checkpoint_every

    def training() -> Iterator[tuple[str, Callable[[Size], str]]]:
        yield "parameters", lambda s: f"{s.num_params / 1e6:.1f} M"
        yield (
            "state on each device (parameters, two moments)",
            lambda s: f"{s.state_bytes / GB:.2f} GB",
        )
        for n in (128, 512):
            yield (
                f"operations of a step, {n} tokens",
                lambda s, n=n: f"{a.num_devices * s.step_flops[n]:.2e}",
            )
            yield f"time of a step, {n} tokens", lambda s, n=n: f"{step_seconds(s, n):.3f} s"
        yield (
            "gradients that a device sends",
            lambda s: f"{wire_bytes(s, a.num_devices) / GB:.2f} GB",
        )
        yield "their time in one slice", lambda s: f"{1e3 * ici_seconds(s):.0f} ms"
        yield (
            "share of a step of 128 tokens, 512 tokens",
            lambda s: ", ".join(f"{ici_seconds(s) / step_seconds(s, n):.0%}" for n in (128, 512)),
        )
        yield "more for two slices", lambda s: f"{1e3 * dcn_seconds(s):.0f} ms"
        yield "rows a second, 128 tokens", lambda s: f"{rows_a_second(s):,.0f}"
        yield (
            "input to a host, 128 tokens",
            lambda s: f"{rows_a_second(s) / num_hosts * s.batch_bytes / 1e6:.2f} MB/s",
        )
        yield (
            "cores of a host that pack it",
            lambda s: f"{rows_a_second(s) / num_hosts / a.packed_a_second:.3f}",
        )
        yield (
            "a checkpoint: bytes, time to write",
            lambda s: f"{s.state_bytes / GB:.2f} GB, {save_seconds(s):.1f} s",
        )
        yield (
            f"the same against {every} steps of 128 tokens",
            lambda s: f"{save_seconds(s) / (every * step_seconds(s, 128)):.0%}",
        )
        yield (
            "lost to a failure: half an interval of saves",
            lambda s: f"{every * step_seconds(s, 128) / 2 / 60:.1f} min",
        )
        yield (
            "failures of a host",
            lambda s: f"every {a.days_between_failures / num_hosts:.0f} days",
        )
        yield (
            "an epoch of a billion sentences: steps, time, price",
            lambda s: f"{num_steps:,.0f}, {_duration(a, num_steps * step_seconds(s, 128))}",
        )

    text = a.sentences * a.text_bytes
    records = text + a.sentences * a.triples * a.triple_bytes

    def extracting() -> Iterator[tuple[str, Callable[[Size], str]]]:
        def seconds(s: Size) -> float:
            return a.sentences * s.sentence_flops / peak / a.decoding_share

        yield "operations of a sentence", lambda s: f"{s.sentence_flops:.2e}"
        yield (
            "sentences a second and device",
            lambda s: f"{kind.peak_flops * a.decoding_share / s.sentence_flops:,.0f}",
        )
        yield f"time and price on {a.num_devices} devices", lambda s: _duration(a, seconds(s))
        yield "text in", lambda s: f"{text / GB:,.0f} GB"
        # All count the records of the file, and then go to their own.
        shared = num_hosts * 1.5 * text
        yield (
            "read by the shards of one file, and time",
            lambda s: f"{shared / GB:,.0f} GB, {shared / a.disk_bytes / 3600:.1f} h",
        )
        yield "records out", lambda s: f"{records / GB:,.0f} GB"
        yield (
            "text in and records out, a second and host",
            lambda s: f"{(text + records) / seconds(s) / num_hosts / 1e6:.2f} MB/s",
        )
        yield (
            "cores of a host that tokenize",
            lambda s: f"{a.sentences / seconds(s) / num_hosts / a.tokenized_a_second:.1f}",
        )

    token_bytes = np.dtype(np.uint16).itemsize + np.dtype(np.uint8).itemsize  # id and label
    wordpieces = _mean(SOURCE_LENGTHS) + _mean(TARGET_LENGTHS)
    holding = [
        ("documents of the training split, in each process", a.sentences * a.document_bytes),
        ("features, mapped from disk: ids and labels", a.sentences * wordpieces * token_bytes),
        ("features, in memory: starts and lengths", a.sentences * (8 + 4)),
        ("the order of an epoch: numbers, buckets", a.sentences * (8 + 8)),
        (
            "digests of training triples, in each checkpoint",
            a.sentences * a.triples * seen._DIGEST_SIZE * 4 / 3,
        ),
    ]
    memory = "\n".join(
        [
            "| of a billion sentences | |",
            "|---|---|",
            *(f"| {name} | {value / GB:,.0f} GB |" for name, value in holding),
            f"| tokenizing, core-hours | {a.sentences / a.tokenized_a_second / 3600:,.0f} |",
        ]
    )
    counts = a.num_devices, a.devices_a_host, a.rows_a_device
    assumed = [
        ("devices, of a host, rows of each", ", ".join(map(str, counts))),
        ("peak of a device in bfloat16 (v5e)", f"{kind.peak_flops:.3g}/s"),
        ("share of it: training, decoding", f"{a.training_share:.0%}, {a.decoding_share:.0%}"),
        ("links within a slice, a device and direction", f"{a.ici_bytes / GB:.0f} GB/s"),
        ("network between slices, a host", f"{a.dcn_bytes / GB:.1f} GB/s"),
        ("shared storage", f"{a.disk_bytes / GB:.0f} GB/s"),
        (
            "packing, tokenizing, one core",
            f"{a.packed_a_second:,.0f}, {a.tokenized_a_second:,.0f}/s",
        ),
        ("price of a device and hour", f"{a.price:.2f} $"),
        ("days between failures of one host", f"{a.days_between_failures:,.0f}"),
        (
            "a sentence: bytes, wordpieces read and written, triples",
            f"{a.text_bytes:.0f}, {_mean(SOURCE_LENGTHS):.1f} and {_mean(TARGET_LENGTHS):.1f}, "
            f"{a.triples}",
        ),
        (
            "bytes of a written triple, of a document in memory",
            f"{a.triple_bytes:.0f}, {a.document_bytes:,.0f}",
        ),
    ]
    lines = ["| assumed | |", "|---|---|", *(f"| {name} | {value} |" for name, value in assumed)]
    return {
        "assumed": "\n".join(lines),
        "training": table(f"{a.num_devices} devices", training()),
        "extracting": table("a billion sentences", extracting()),
        "holding": memory,
    }


def _duration(a: Assumed, seconds: float) -> str:
    price = seconds / 3600 * a.num_devices * a.price
    return f"{seconds / 3600:,.1f} h, {price:,.0f} $"


def filled(page: str, found: dict[str, str]) -> str:
    """The page with the tables in their places."""
    for name, table in found.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page, count = re.subn(
            pattern, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL
        )
        assert count == 1, name
    return page


def main() -> None:
    """Prints the tables, or writes them into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into docs/SCALE.md")
    found = tables(Assumed())
    if parser.parse_args().write:
        PAGE.write_text(filled(PAGE.read_text(), found))
    else:
        print("\n\n".join(found.values()))


if __name__ == "__main__":
    main()
