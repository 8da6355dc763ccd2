"""The triples of a training split, small enough to travel with a checkpoint.

Most facts of a test split may be facts of training (with NYT they are), so an F1 says little of
whether a system reads or recites: that of the triples *not* seen in training does. An evaluation
runs without the training data, so what was seen must come with the model.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable

from grel.records import Document, Triple

# NYT24 trains on some 18,000 different triples, whose names would take a megabyte: 8 bytes each are
# 200 kB of base64. That any of 10,000 questions gets a wrong answer then has a chance of 1e-11.
_DIGEST_SIZE = 8


class SeenTriples:
    """A set of triples by `Triple.key`: full names and relation, under every protocol.

    Example: `triple in SeenTriples.of(documents)`.
    """

    def __init__(self, digests: Iterable[bytes]):
        self._digests = frozenset(digests)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> SeenTriples:
        """The triples of these documents."""
        return cls(_digest(triple) for document in documents for triple in document.triples)

    @classmethod
    def from_text(cls, text: str) -> SeenTriples:
        """What `to_text` wrote; raises ValueError where it did not write this."""
        data = base64.b64decode(text, validate=True)
        digests = [data[i : i + _DIGEST_SIZE] for i in range(0, len(data), _DIGEST_SIZE)]
        if len(data) % _DIGEST_SIZE or digests != sorted(set(digests)):
            raise ValueError("not the sorted digests of triples")
        return cls(digests)

    def to_text(self) -> str:
        """The sorted digests in base64; the same for the same triples in any order."""
        return base64.b64encode(b"".join(sorted(self._digests))).decode()

    def __contains__(self, triple: object) -> bool:
        return isinstance(triple, Triple) and _digest(triple) in self._digests

    def __len__(self) -> int:
        return len(self._digests)


def _digest(triple: Triple) -> bytes:
    # JSON, because names hold any character that could part them.
    key = json.dumps(triple.key, ensure_ascii=False).encode()
    return hashlib.blake2b(key, digest_size=_DIGEST_SIZE).digest()
