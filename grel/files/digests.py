"""What a file is known by, whatever it is called."""

from __future__ import annotations

import hashlib
from pathlib import Path


def of_file(path: str | Path) -> str:
    """Its SHA-256, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
