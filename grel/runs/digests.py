"""Digests of what a checkpoint holds: trees of arrays, and JSON.

What is on a disk can change without anybody noticing, so whatever is read back is compared with
what was written, down to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, such as "layers/ff_in/kernel"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def of_arrays(tree: Any) -> dict[str, str]:
    """Of each leaf by its path: shape, type and bytes."""
    leaves = named_leaves(tree)
    # Hashing lets go of the interpreter's lock, so that threads do it side by side.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(leaves, pool.map(_of_array, leaves.values()), strict=True))


def _of_array(leaf: Any) -> str:
    array = np.ascontiguousarray(leaf)
    digest = hashlib.blake2b(f"{np.shape(leaf)} {array.dtype}".encode(), digest_size=16)
    digest.update(array.data)
    return digest.hexdigest()


def of_json(content: Mapping[str, Any]) -> str:
    """Of an object, however it was spelled."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def not_finite(tree: Any) -> str | None:
    """Path of the first leaf that holds NaN or infinity; None where there is none."""
    for name, leaf in named_leaves(tree).items():
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
            return name
    return None
