"""Styles and scripts of the pages, and the policy that lets a page run its own and nothing else.

Pages show texts that nobody vouches for. They are escaped, and a Content-Security-Policy, which
allows scripts and styles by their hashes, is the second guard.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def read(*names: str, package: str = "grel.report") -> str:
    """The files of a package with these names, one behind the other."""
    folder = resources.files(package)
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def policy(script: str, style: str) -> str:
    """A Content-Security-Policy under which a page runs this script and has this style.

    It may fetch nothing.
    """
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
