"""Corpora as tensorflow-datasets, prepared once from the files that users have; no TensorFlow.

Raw files are slow and strict to read, and everything after wants the same three splits whatever a
corpus came as. Prepared data lies in a folder that bears a digest of the raw files: when they
change, or another folder is given, it is prepared anew, so stale data is never read. Faulty records
are reported at every load, as if the raw files had just been read, and so is what was decided on
reading them (see `drafts.NoteKind`).

Example: `load("nyt24", "reduced", "train", manual_dir="data/nyt24")`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from grel.corpora import synthetic
from grel.corpora.corpus_builder import (
    CorpusBuilder,
    CorpusConfig,
    CorpusError,
    Files,
    Part,
)
from grel.corpora.drafts import OnNote
from grel.corpora.synthetic import SPLITS
from grel.errors import expand_home, refuse_remote
from grel.files import digests
from grel.files.faults import RecordError
from grel.files.locks import locked_folder
from grel.records import Document, OnError

_LOG = logging.getLogger(__name__)


class PtrNetCorpus(CorpusBuilder, skip_registration=True):  # type: ignore[call-arg] # as there
    """A corpus in parallel files of sentences, tuples and word positions."""

    format = "ptrnet"
    suffixes = (".sent", ".tup", ".pointer")
    BUILDER_CONFIGS = [  # noqa: RUF012 - tensorflow-datasets reads a list of the class
        CorpusConfig(
            name="official",
            description="the official ones; validation is `dev`",
            parts={
                "train": Part(("train",)),
                "validation": Part(("dev",)),
                "test": Part(("test",)),
            },
        ),
        CorpusConfig(
            name="reduced",
            description="train is the official `dev` without its last 500 sentences, validation "
            "these 500; test is the official one, where its files are there",
            parts={
                "train": Part(("dev",), stop=-500),
                "validation": Part(("dev",), start=-500),
                "test": Part(("test",), optional=True),
            },
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "train, dev and test, each as .sent, .tup and .pointer, as PtrNetDecoding4JERE has them; "
        "config `reduced` needs dev only"
    )


class Nyt24(PtrNetCorpus):
    """NYT24: news sentences with 24 relations, full entity names."""

    name = "nyt24"


class Nyt29(PtrNetCorpus):
    """NYT29: lower-cased news sentences with 29 relations, full entity names."""

    name = "nyt29"


class WebNlg(CorpusBuilder):
    """WebNLG: descriptions of DBpedia facts, full entity names."""

    name = "webnlg"
    format = "casrel"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CorpusConfig(
            name="default",
            description="the files as they are",
            parts={
                "train": Part(("train_triples.json",)),
                "validation": Part(("val_triples.json", "dev_triples.json")),
                "test": Part(("test_triples.json",), optional=True),
            },
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "WebNLG's train_triples.json and val_triples.json (or dev_triples.json), and "
        "test_triples.json if you have it, in the format of CasRel"
    )


class JsonlFolder(CorpusBuilder):
    """One's own corpus: a folder of JSONL files."""

    name = "jsonl"
    format = "jsonl"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CorpusConfig(
            name="default",
            description="the files as they are",
            parts={split: Part((f"{split}.jsonl",), optional=True) for split in SPLITS},
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "train.jsonl, validation.jsonl and test.jsonl, or those of them that you need; "
        "`python -m grel.convert` writes them"
    )


class Synthetic(CorpusBuilder):
    """The generated corpus of `grel.corpora.synthetic`."""

    name = "synthetic"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CorpusConfig(
            name="default",
            description="generated with seed 0, and no name is in two of them",
            parts={
                "train": Part(stop=20_000),
                "validation": Part(stop=1_000),
                "test": Part(stop=1_000),
            },
        )
    ]

    @classmethod
    def files(cls, config: CorpusConfig, manual_dir: Path | None) -> Files:
        """The generator, which is all that the splits depend on."""
        del manual_dir
        return dict.fromkeys(config.parts, (Path(synthetic.__file__),))

    @classmethod
    def read(
        cls,
        split: str,
        part: Part,
        files: Sequence[Path],
        on_error: OnError | None,
        on_note: OnNote | None,
    ) -> list[Document]:
        """Documents of a split, newly generated; none can be faulty."""
        del files, on_error, on_note
        if part.stop is None:
            raise ValueError(f"{split}: a generated split has no end but the `stop` of its part")
        return synthetic.generate(split, part.stop)


BUILDERS: dict[str, type[CorpusBuilder]] = {
    builder.name: builder for builder in (Nyt24, Nyt29, WebNlg, JsonlFolder, Synthetic)
}


def load(
    name: str,
    config: str,
    split: str,
    *,
    manual_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    on_error: OnError | None = None,
) -> list[Document]:
    """Documents of a split, from the raw files the first time, from array_record files later.

    Args:
        name: one of `BUILDERS`.
        config: of that builder; "" is its first.
        split: train, validation or test.
        manual_dir: folder with the raw files; a generated corpus needs none.
        data_dir: where prepared data is kept; None is $TFDS_DATA_DIR or ~/tensorflow_datasets.
        on_error: called with each faulty record of the split, which is left out. Without it the
            first one is raised.

    Raises:
        CorpusError: if files, the split or a place to write lack.
        RecordError: at the first faulty record of the corpus, without `on_error`.
    """
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}; one of {', '.join(SPLITS)}")
    prepared = functools.partial(
        prepare,
        *(name, config),
        manual_dir=manual_dir,
        data_dir=data_dir,
        skip_faulty=on_error is not None,
    )
    builder = prepared()
    if split not in builder.info.splits:
        raise CorpusError(
            f"{name}/{builder.builder_config.name}: {manual_dir} has no {split} split, only "
            f"{', '.join(builder.info.splits)}; put there {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    for fault in builder.info.metadata[split]["faults"]:
        if on_error is None:
            raise RecordError(*fault)
        on_error(RecordError(*fault))
    for kind, count in builder.info.metadata[split]["notes"].items():
        _LOG.warning("%s, %s: %s: %d", name, split, kind, count)
    try:
        return builder.documents(split)
    except Exception as error:  # of array_record or of its decoder, as it comes
        _LOG.warning("%s: damaged (%s): made anew", builder.data_path, _reason(error))
        shutil.rmtree(builder.data_path)
        return prepared().documents(split)


def raw_files(
    name: str, config: str = "", *, manual_dir: str | Path | None = None
) -> dict[str, tuple[Path, ...]]:
    """The files that each split of a corpus is made from; arguments and errors as of `load`."""
    if name not in BUILDERS:
        raise CorpusError(f"there is no corpus {name!r}; one of {', '.join(BUILDERS)}")
    cls = BUILDERS[name]
    if config and config not in cls.builder_configs:
        configs = ", ".join(cls.builder_configs)
        raise CorpusError(f"{name} has no config {config!r}; one of {configs}")
    config = config or next(iter(cls.builder_configs))
    return cls.files(cls.builder_configs[config], expand_home(manual_dir) if manual_dir else None)


def prepare(
    name: str,
    config: str = "",
    *,
    manual_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    skip_faulty: bool = False,
) -> CorpusBuilder:
    """The builder of a corpus whose data is prepared, now or earlier; arguments as of `load`.

    With `skip_faulty` faulty records are left out, and noted in `builder.info.metadata`. The folder
    `builder.data_path` has a dataset card in README.md. It appears complete or not at all, also
    where several processes prepare the same corpus at once. What killed preparations left is
    removed.
    """
    files = raw_files(name, config, manual_dir=manual_dir)
    cls = BUILDERS[name]
    config = config or next(iter(cls.builder_configs))
    parts = cls.builder_configs[config].parts
    origin = [(s, parts[s], f.name, digests.of_file(f)) for s, fs in files.items() for f in fs]
    fingerprint = hashlib.sha256(repr(origin).encode()).hexdigest()[:12]
    given = str(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    refuse_remote(given, CorpusError)
    root = expand_home(given)
    folder = root / f"{name}-{fingerprint}"

    def make_builder() -> CorpusBuilder:
        return cls(config=config, data_dir=folder, skip_faulty=skip_faulty)

    if (builder := _prepared(make_builder)) is not None:
        return builder
    failure = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Others that want the same wait here, and then find it prepared.
        with (
            locked_folder(folder.resolve(), wait=True) as held,
            contextlib.redirect_stdout(sys.stderr),
        ):
            if (builder := _prepared(make_builder)) is not None:
                return builder
            if held:
                _clear(folder)
            settings = tfds.download.DownloadConfig(manual_dir=manual_dir)
            make_builder().download_and_prepare(download_config=settings)
    except OSError as error:
        failure = error
    # Where there are no locks another process may have been faster, which tensorflow-datasets takes
    # for an error or passes over without reading what is there; its folder is as good as one's own.
    builder = _prepared(make_builder)
    if builder is None:
        raise CorpusError(f"{folder}: can't be prepared: {failure}") from failure
    return builder


def _prepared(make_builder: Callable[[], CorpusBuilder]) -> CorpusBuilder | None:
    """A builder whose data is there; None where it is yet to be prepared, or its account is bad."""
    try:
        builder = make_builder()
    except Exception as error:  # of JSON or of protobuf, as it comes
        _LOG.warning("damaged dataset_info.json (%s): the corpus is made anew", _reason(error))
        return None
    return builder if builder.info.splits else None


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), repr(error))


def _clear(folder: Path) -> None:
    """Removes what a killed preparation, or damage, left in the folder of a corpus."""
    for left in folder.iterdir():
        shutil.rmtree(left)
