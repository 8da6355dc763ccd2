"""Decoding as programs that JAX runs anywhere: one `jax.export` file for each length of sources.

A program is what one device runs for a batch: reading the sources, the whole search, and the best
that was written. Weights are its arguments and lie beside, once for all lengths. It is StableHLO
for CPUs, CUDA and TPUs, and holds no code of ours and no pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from flax import traverse_util
from jax import export

from grel.decoding.driver import Decoder
from grel.exports.schema import ExportError, write_schema
from grel.families.bert import System

PLATFORMS = ("cpu", "cuda", "tpu")


def write(
    folder: Path,
    system: System,
    params: Any,
    *,
    buckets: Sequence[int] | None = None,
    batch_size: int | None = None,
    min_score: float = 0.0,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes programs, weights, tokenizer and schema into a folder.

    Args:
        folder: a new one.
        system: of the run, with the decoding to export; params: its parameters on the host.
        buckets: lengths of sources, with [CLS] and [SEP]; None is those of the run.
        batch_size: sources of a batch; None is that of the run.
        min_score: of triples, for whoever reads them.
        tell: is called with a line for each program.

    Raises ExportError where a length or the batch size cannot be, and on another backend than the
    CPU's: an accelerator's own kernels, which JAX would choose here, run nowhere else.
    """
    if jax.default_backend() != "cpu":
        raise ExportError("programs are exported on the CPU: set JAX_PLATFORMS=cpu")
    decoder = system.decoder()
    widths = sorted(set(decoder.buckets if buckets is None else buckets))
    num_rows = system.config.decoding.batch_size if batch_size is None else batch_size
    _check(widths, num_rows, decoder.buckets[-1])
    flat = {
        name: np.ascontiguousarray(array)
        for name, array in traverse_util.flatten_dict(params, sep="/").items()
    }
    (folder / "params.safetensors").write_bytes(safetensors.numpy.save(flat))
    files = {}
    for width, program in _programs(decoder, flat, widths, num_rows):
        files[str(width)] = f"decode_{width}.jaxexport"
        (folder / files[str(width)]).write_bytes(program)
        tell(f"{files[str(width)]}: {len(program):,} bytes")
    options = system.config.decoding
    structured = options.structure == "on"
    write_schema(
        folder,
        system,
        programs=files,
        platforms=PLATFORMS,
        batch_size=num_rows,
        max_target=options.max_target,
        min_score=min_score,
        # What did not end is cut before the last of these, with structure "on".
        boundary_ids=sorted(system.wordpiece.form.boundaries) if structured else None,
        decoding=options.to_dict(),
    )


def _check(widths: Sequence[int], num_rows: int, longest: int) -> None:
    """Raises ExportError."""
    for width in widths:
        if not 3 <= width <= longest:
            raise ExportError(
                f"a bucket of {width} cannot be: they go from 3 to {longest}, which "
                "config.model.max_positions leaves beside config.decoding.max_target"
            )
    if not widths or num_rows < 1:
        raise ExportError("there must be a bucket, and a batch of one source or more")


def _programs(
    decoder: Decoder, params: dict[str, np.ndarray], widths: Sequence[int], num_rows: int
) -> Iterator[tuple[int, bytes]]:
    """(width, program) for each width."""

    def decode(
        params: dict[str, jax.Array], source_BS: jax.Array, source_length_B: jax.Array
    ) -> dict[str, jax.Array]:
        best = decoder.best(
            traverse_util.unflatten_dict(params, sep="/"), source_BS, source_length_B
        )
        return {
            "ids": best.tokens_BT,
            "labels": best.labels_BT,
            "log_probs": best.log_prob_BT,
            "positions": best.position_BT,
            "length": best.length_B,
        }

    def ints(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, np.int32)

    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    exporting = export.export(jax.jit(decode), platforms=PLATFORMS)
    for width in widths:
        exported = exporting(like, ints(num_rows, width), ints(num_rows))
        yield width, bytes(exported.serialize())
