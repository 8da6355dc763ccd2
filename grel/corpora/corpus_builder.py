"""The base of all corpora: raw files to array_record and back, through tensorflow-datasets.

tensorflow-datasets brings atomic preparation, versions, splits and a format that reads at random;
TensorFlow is not needed as long as the files are array_record and are read as a data source. What
the library does not know, where a split's files are and what was wrong in them, is kept here and
written down with the data.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from grel.corpora import card, formats
from grel.corpora.drafts import Note, OnNote
from grel.errors import UserError
from grel.files import digests
from grel.files.faults import RecordError
from grel.records import Document, OnError, Span, Triple
from grel.scoring import corpus

_NO_SPAN = (-1, -1)

# A bar for each split and each shuffling that does not take place; preparing takes seconds.
tfds.disable_progress_bar()


class CorpusError(UserError):
    """A corpus that can't be prepared or loaded: names the files or the split, and the remedy."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Where a split comes from: a file, or several that share a stem.

    Attributes:
        names: file names or stems, of which the first that is there counts.
        start, stop: which of the documents, as in a slice.
        optional: whether the corpus can do without the split.
    """

    names: tuple[str, ...] = ()
    start: int | None = None
    stop: int | None = None
    optional: bool = False


@dataclasses.dataclass(eq=False)
class CorpusConfig(tfds.core.BuilderConfig):
    """One way to divide a corpus into splits."""

    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)


Files = dict[str, tuple[Path, ...]]


# mypy, which has no types of tensorflow-datasets, takes the argument for one of `object`.
class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Documents with triples, in the order of the raw files; scores, which gold has none, go.

    A subclass says how its corpus is divided, in which format its files are, with which suffixes if
    they come several to a stem, and in `MANUAL_DOWNLOAD_INSTRUCTIONS` which ones a user provides.
    """

    VERSION = tfds.core.Version("1.1.0")
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
    def files(cls, config: CorpusConfig, manual_dir: Path | None) -> Files:
        """Raw files of every split that there is; raises CorpusError if some lack."""
        where, remedy = f"{cls.name}/{config.name}", cls.MANUAL_DOWNLOAD_INSTRUCTIONS
        if manual_dir is None:
            raise CorpusError(f"{where}: no manual_dir is given; it needs {remedy}")
        files = {}
        for split, part in config.parts.items():
            choices = [[manual_dir / f"{n}{suffix}" for suffix in cls.suffixes] for n in part.names]
            here = [choice for choice in choices if any(file.is_file() for file in choice)]
            chosen = (here or choices)[0]
            missing = ", ".join(file.name for file in chosen if not file.is_file())
            if missing and (here or not part.optional):
                raise CorpusError(f"{where}: {manual_dir} lacks {missing}; put there {remedy}")
            if here:
                files[split] = tuple(chosen)
        if not files:
            raise CorpusError(f"{where}: {manual_dir} has none of its files; put there {remedy}")
        return files

    @classmethod
    def read(
        cls,
        split: str,
        part: Part,
        files: Sequence[Path],
        on_error: OnError | None,
        on_note: OnNote | None,
    ) -> list[Document]:
        """Documents of a split, out of its raw files, of which other parts may be other splits.

        Faults and notes are those of the part. A reader tells them right before it gives the
        document that they are on, or the one behind the records that were left out.
        """
        del split  # the file says it
        documents: list[Document] = []
        faults: list[tuple[int, RecordError]] = []
        notes: list[tuple[int, Note]] = []
        path = Path(str(files[0]).removesuffix(cls.suffixes[0]))
        for document in formats.READERS[cls.format](
            path,
            on_error=on_error and (lambda fault: faults.append((len(documents), fault))),
            on_note=lambda note: notes.append((len(documents), note)),
        ):
            documents.append(document)
        chosen = range(len(documents))[part.start : part.stop]

        def is_of_part(place: int) -> bool:
            return min(place, len(documents) - 1) in chosen  # behind the last one, it is its

        for place, fault in faults:
            if on_error is not None and is_of_part(place):
                on_error(fault)
        for place, note in notes:
            if on_note is not None and is_of_part(place):
                on_note(note)
        return documents[part.start : part.stop]

    def _info(self) -> tfds.core.DatasetInfo:
        span = tfds.features.Tensor(shape=(2,), dtype=np.int64)
        text = tfds.features.Text()
        triple = dict.fromkeys(("head", "relation", "tail"), text)
        triple |= dict.fromkeys(("head_span", "tail_span"), span)
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
        config = self.builder_config
        manual_dir = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        metadata = self.info.metadata
        generators = {}
        for split, files in self.files(config, manual_dir).items():
            faults: list[RecordError] = []
            on_error = faults.append if self._skip_faulty else None
            notes: list[Note] = []
            documents = self.read(split, config.parts[split], files, on_error, notes.append)
            if not documents:
                raise CorpusError(f"{files[0]}: it leaves nothing for {split}; fill or remove it")
            metadata[split] = {
                "digests": {file.name: digests.of_file(file) for file in files},
                "statistics": dataclasses.asdict(corpus.corpus_statistics(documents)),
                "faults": [(fault.path, fault.line, fault.reason) for fault in faults],
                "notes": collections.Counter(note.kind.value for note in notes),
            }
            generators[split] = self._generate_examples(documents)
        about = self.__doc__ or ""  # Python drops it at -OO
        markdown = card.markdown(self.info.full_name, about, config.description, metadata)
        (self.data_path / "README.md").write_text(markdown, encoding="utf-8")
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

    def documents(self, split: str) -> list[Document]:
        """The prepared documents of a split."""
        return [_document(example) for example in self.as_data_source(split)]


def _document(example: Mapping[str, Any]) -> Document:
    columns = example["triples"]
    names = [[name.decode() for name in columns[part]] for part in ("head", "relation", "tail")]
    spans = [map(_span, columns[part]) for part in ("head_span", "tail_span")]
    triples = tuple(Triple(*fields) for fields in zip(*names, *spans, strict=True))
    return Document(example["id"].decode(), example["text"].decode(), triples)


def _span(stored: np.ndarray) -> Span | None:
    start, end = stored.tolist()
    return None if (start, end) == _NO_SPAN else (start, end)
