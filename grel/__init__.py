"""grel: generative relation extraction with a copying language model.

The dimension key, used as suffixes of array names and as einsum letters everywhere:

    B  batch                      D  model width (hidden size)
    L  packed length              H  attention heads
    S  source length              K  size of one head
    T  target length              F  feed-forward width
    P  predicted positions a row  V  vocabulary
    Q  query positions            C  BIO labels (3)
    M  key positions              N  layers
    A  states of the grammar      E  examples of a data set; tokens of the grammar
    W  beams                      G  rows of queries that share keys
    R  rows: all examples' beams  X  source and grammar tokens side by side
    Z  bytes of a memory's marks

A 1 stands for an axis of size one. Masks are boolean; True means "may attend" or "counts".
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grel.extraction.extractor import Extractor
    from grel.extraction.frames import to_frame
    from grel.records import Document, Triple

__all__ = ["Document", "Extractor", "Triple", "to_frame"]
__version__ = "0.1.0"

# transformers writes folders of its own kind here; that it finds no PyTorch is as it should be.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

_HOMES = {
    "Document": "grel.records",
    "Extractor": "grel.extraction.extractor",
    "Triple": "grel.records",
    "to_frame": "grel.extraction.frames",
}


def __getattr__(name: str) -> Any:
    # Only on demand: scoring imports this package too, and must not wait for JAX.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
