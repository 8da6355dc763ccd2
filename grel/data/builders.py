"""Corpora as tensorflow-datasets, prepared once from the files that users have; no TensorFlow.

Raw files are slow and strict to read, and everything after wants the same three splits whatever a
corpus came as. Prepared data lies in a folder that bears a digest of the raw files: when they
change, or another folder is given, it is prepared anew, so stale data is never read. Faulty records
are reported at every load, as if the raw files had just been read.

Example: `load("nyt24", "reduced", "train", manual_dir="data/nyt24")`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from grel import formats
from grel.data import synthetic
from grel.data.synthetic import SPLITS
from grel.records import Document, OnError, RecordError, Span, Triple
from grel.scoring import corpus

_NO_SPAN = (-1, -1)


class CorpusError(ValueError):
    """A corpus that can't be prepared or loaded: names the files or the split, and the remedy."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Where a split comes from: a file, or several that share a stem.

    Attributes:
        names: file name or stem; of several, the first that is there.
        keep: which of its documents.
        optional: whether the corpus can do without the split.
    """

    names: tuple[str, ...]
    keep: slice = slice(None)
    optional: bool = False


@dataclasses.dataclass(eq=False)
class CorpusConfig(tfds.core.BuilderConfig):
    """One way to divide a corpus: the part of each split, none where a corpus is generated."""

    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)


class Source(NamedTuple):
    """A split before it is prepared: the files that it depends on, and how to read it."""

    files: tuple[Path, ...]
    read: Callable[[OnError | None], Iterable[Document]]


class Corpus(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Documents with triples, in the order of the raw files.

    A subclass names its format, its configs, and in `MANUAL_DOWNLOAD_INSTRUCTIONS` the files that a
    user puts into the manual folder.
    """

    VERSION = tfds.core.Version("1.0.0")
    format: str
    suffixes: tuple[str, ...] = ("",)

    def __init__(
        self, *, file_format: str = "array_record", skip_faulty: bool = False, **kwargs: Any
    ):
        """With `skip_faulty` faulty records are left out and noted in `info.metadata`.

        The other arguments are tensorflow-datasets' own.
        """
        self._skip_faulty = skip_faulty
        super().__init__(file_format=file_format, **kwargs)

    @classmethod
    def sources(cls, config: CorpusConfig, manual_dir: Path | None) -> dict[str, Source]:
        """The splits that the manual folder has files for; raises CorpusError if some lack."""
        where = f"{cls.name}/{config.name}"
        if manual_dir is None:
            raise CorpusError(
                f"{where}: no manual_dir; give the folder with {cls.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        sources = {}
        for split, part in config.parts.items():
            stems = [manual_dir / name for name in part.names]
            files = {stem: [Path(f"{stem}{suffix}") for suffix in cls.suffixes] for stem in stems}
            here = [stem for stem in stems if any(file.is_file() for file in files[stem])]
            stem = here[0] if here else stems[0]
            missing = [file.name for file in files[stem] if not file.is_file()]
            if missing and (here or not part.optional):
                raise CorpusError(
                    f"{where}: {manual_dir} lacks {', '.join(missing)} for the {split} split; "
                    f"put there {cls.MANUAL_DOWNLOAD_INSTRUCTIONS}"
                )
            if here:
                sources[split] = Source(tuple(files[stem]), cls._reader(stem, part.keep))
        if not sources:
            raise CorpusError(
                f"{where}: {manual_dir} has no split; put there {cls.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return sources

    @classmethod
    def _reader(cls, stem: Path, keep: slice) -> Callable[[OnError | None], Iterable[Document]]:
        return lambda on_error: list(formats.READERS[cls.format](stem, on_error))[keep]

    def _info(self) -> tfds.core.DatasetInfo:
        span = tfds.features.Tensor(shape=(2,), dtype=np.int64)
        text = tfds.features.Text()
        triple = {
            "head": text,
            "relation": text,
            "tail": text,
            "head_span": span,
            "tail_span": span,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {"id": text, "text": text, "triples": tfds.features.Sequence(triple)}
            ),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        manual_dir = Path(dl_manager.manual_dir) if self.builder_config.parts else None
        generators = {}
        for split, source in self.sources(self.builder_config, manual_dir).items():
            faults: list[RecordError] = []
            documents = list(source.read(faults.append if self._skip_faulty else None))
            if not documents:
                names = ", ".join(str(file) for file in source.files)
                raise CorpusError(f"{names}: no document for the {split} split; leave out the file")
            self.info.metadata[split] = {
                "digests": {file.name: _digest(file) for file in source.files},
                "statistics": dataclasses.asdict(corpus.corpus_statistics(documents)),
                "faults": [(fault.path, fault.line, fault.reason) for fault in faults],
            }
            generators[split] = self._generate_examples(documents)
        return generators

    def _generate_examples(self, documents: Iterable[Document]) -> Iterator[tuple[int, dict]]:
        for number, document in enumerate(documents):
            triples = [
                {
                    "head": triple.head,
                    "relation": triple.relation,
                    "tail": triple.tail,
                    "head_span": triple.head_span or _NO_SPAN,
                    "tail_span": triple.tail_span or _NO_SPAN,
                }
                for triple in document.triples
            ]
            yield number, {"id": document.id, "text": document.text, "triples": triples}


class PtrNetCorpus(Corpus, skip_registration=True):
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
                "train": Part(("dev",), slice(None, -500)),
                "validation": Part(("dev",), slice(-500, None)),
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


class WebNlg(Corpus):
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


class JsonlFolder(Corpus):
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


class Synthetic(Corpus):
    """The generated corpus of `grel.data.synthetic`."""

    name = "synthetic"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CorpusConfig(name="default", description="generated with seed 0; no name is in two splits")
    ]
    sizes: Mapping[str, int] = {"train": 20_000, "validation": 1_000, "test": 1_000}

    @classmethod
    def sources(cls, config: CorpusConfig, manual_dir: Path | None) -> dict[str, Source]:
        """All splits; what they depend on is the generator."""
        generator = (Path(synthetic.__file__),)
        return {
            split: Source(generator, functools.partial(cls._generate, split, size))
            for split, size in cls.sizes.items()
        }

    @staticmethod
    def _generate(split: str, size: int, on_error: OnError | None) -> list[Document]:
        del on_error  # what is generated has no faulty records
        return synthetic.generate(split, size)


BUILDERS: dict[str, type[Corpus]] = {
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
        on_error: called with each faulty record of the split's files, which is left out. Without it
            the first one is raised.

    Raises:
        CorpusError: if files, the split or a place to write lack.
        RecordError: at the first faulty record of the corpus, without `on_error`.
    """
    builder = prepare(
        name, config, manual_dir=manual_dir, data_dir=data_dir, skip_faulty=on_error is not None
    )
    if split not in builder.info.splits:
        raise CorpusError(
            f"{name}/{builder.builder_config.name} has no {split} split, only "
            f"{', '.join(builder.info.splits)}; in its folder ({manual_dir}) can be "
            f"{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    for fault in builder.info.metadata[split]["faults"]:
        if on_error is None:
            raise RecordError(*fault)
        on_error(RecordError(*fault))
    return [_document(example) for example in builder.as_data_source(split)]


def prepare(
    name: str,
    config: str = "",
    *,
    manual_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    skip_faulty: bool = False,
) -> Corpus:
    """The builder of a corpus whose data is prepared, now or earlier; arguments as of `load`.

    With `skip_faulty` faulty records are left out, and noted in `builder.info.metadata`. Its folder, `builder.data_path`, appears complete or not at all, also where several processes
    prepare the same corpus at once, and holds the dataset card as README.md.
    """
    if name not in BUILDERS:
        raise CorpusError(f"there is no corpus {name!r}; one of {', '.join(BUILDERS)}")
    cls = BUILDERS[name]
    if config and config not in cls.builder_configs:
        configs = ", ".join(cls.builder_configs)
        raise CorpusError(f"{name} has no config {config!r}; one of {configs}")
    config = config or next(iter(cls.builder_configs))
    manual_dir = Path(manual_dir).expanduser() if manual_dir else None
    sources = cls.sources(cls.builder_configs[config], manual_dir)
    files = [(split, f.name, _digest(f)) for split, s in sources.items() for f in s.files]
    digest = hashlib.sha256(repr(files).encode()).hexdigest()[:12]
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()

    def make_builder() -> Corpus:
        return cls(config=config, data_dir=root / f"{name}-{digest}", skip_faulty=skip_faulty)

    builder = make_builder()
    if builder.is_prepared():
        return builder
    settings = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output belongs to the caller
            builder.download_and_prepare(download_config=settings)
        (builder.data_path / "README.md").write_text(card(builder))
    except OSError as error:
        # Another process may have been faster; its folder is then as good.
        builder = make_builder()
        if not builder.is_prepared():
            raise CorpusError(f"{builder.data_path}: cannot prepare: {error}") from error
    return builder


def card(builder: Corpus) -> str:
    """The dataset card of a prepared corpus, in Markdown: counts by split, and raw files."""
    config = builder.builder_config
    lines = [
        f"# {builder.name}/{config.name}",
        "",
        f"{builder.__doc__.splitlines()[0]} Splits: {config.description}.",
        "",
        "Triples are counted once a document, and multi-token classes as in the paper's Table 5.",
        "",
    ]
    multi_token = corpus.LENGTH_CLASSES
    header = ["split", "examples", "triples", "relations", *(f"{n} tokens" for n in multi_token)]
    lines += [_row([*header, "faulty records left out"]), _row(["---"] * (len(header) + 1))]
    for split, facts in builder.info.metadata.items():
        s = facts["statistics"]
        counts = [s["examples"], s["triples"], s["relations"], *s["multi_token"].values()]
        lines.append(_row([split, *counts, len(facts["faults"])]))
    lines += ["", _row(["split", "raw file", "SHA-256"]), _row(["---"] * 3)]
    for split, facts in builder.info.metadata.items():
        lines += [_row([split, name, digest]) for name, digest in facts["digests"].items()]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _document(example: Mapping[str, Any]) -> Document:
    columns = example["triples"]
    names = [[name.decode() for name in columns[part]] for part in ("head", "relation", "tail")]
    spans = [map(_span, columns[part]) for part in ("head_span", "tail_span")]
    triples = tuple(Triple(*fields) for fields in zip(*names, *spans, strict=True))
    return Document(example["id"].decode(), example["text"].decode(), triples)


def _span(stored: np.ndarray) -> Span | None:
    start, end = stored.tolist()
    return None if (start, end) == _NO_SPAN else (start, end)
