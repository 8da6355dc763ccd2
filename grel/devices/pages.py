"""Huge pages for the memory of a process that computes on the CPU.

XLA gives the buffers of a step back after it. The next one gets fresh ones from the kernel, page by
page, and in pages of 4 KB these are hundreds of thousands. The C library can ask for pages of 2 MB,
but only from the start of a process on.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb"
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_FIRST_VERSION = (2, 35)  # of the GNU C library that knows the tunable


def advice(setting: Path = _SETTING) -> str | None:
    """What to set for huge pages, None where they are not to be had or are there already."""
    library, version = platform.libc_ver()
    numbers = tuple(map(int, re.findall(r"\d+", version)))
    if library != "glibc" or numbers < _FIRST_VERSION:
        return None
    if TUNABLE in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    try:
        on_request = "[madvise]" in setting.read_text()
    except OSError:
        return None
    return f"steps are faster with GLIBC_TUNABLES={TUNABLE}=1 before python" if on_request else None
