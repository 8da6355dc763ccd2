"""Documents -> compact arrays: tokenized, linearized and labeled once, then cached on disk.

Tokenizing at every epoch would leave an accelerator waiting; arrays that are memory-mapped do not.
The cache folder is named by a fingerprint of everything the arrays depend on (documents,
tokenizer, options), so a stale one cannot be picked up. An example that is too long is not cut
behind the user's back: it is written in windows, and what is left out is counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from grel import records
from grel.errors import UserError, expand_home
from grel.files import digests
from grel.files.locks import locked_folder, remove_unlocked
from grel.names import locate
from grel.records import Document, Span, Triple
from grel.text import bio, linearize
from grel.text.known import Memory
from grel.text.windows import windows
from grel.text.wordpiece import Encoding, Wordpiece

_LOG = logging.getLogger(__name__)

_VERSION = 6  # of the arrays' meaning and the cache's form; part of the fingerprint
_CHUNK = 4096
ORDERS = ("file", "position", "relation")


class FeaturesError(UserError):
    """Documents that cannot become features: says which and how to mend it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a document is written as an example.

    Attributes:
        labelling: a name in `bio.LABELLINGS`.
        order: of the triples in the target: "file" (paper), by "position" of head and tail, or by
            name of the "relation" and then by position.
        max_length: longest packed example, [CLS] and both [SEP] included.
        memory: what is marked in the source; None marks nothing.
        taught: whether the memory has the documents' own triples; see `Memory.marks`.
    """

    labelling: str = "per_entity"
    order: str = "file"
    max_length: int = 512
    memory: Memory | None = dataclasses.field(default=None, repr=False)
    taught: bool = False

    def __post_init__(self):
        if self.labelling not in bio.LABELLINGS:
            raise FeaturesError(f"labelling is {self.labelling!r}; one of {list(bio.LABELLINGS)}")
        if self.order not in ORDERS:
            raise FeaturesError(f"order is {self.order!r}; one of {list(ORDERS)}")


@dataclasses.dataclass
class LeftOut:
    """What does not fit `Options.max_length`, and what became of it.

    Attributes:
        windowed: documents too long, of which each window is an example of its own.
        too_long: windows left out because they are too long with their triples.
        apart: triples left out because no window holds both names.
    """

    windowed: int = 0
    too_long: int = 0
    apart: int = 0


@dataclasses.dataclass(frozen=True)
class Features:
    """Examples as flat arrays; example i is `tokens[start_E[i] : start_E[i + 1]]`, S1 then S2.

    Special tokens are not stored: they are set when a batch is packed.

    Attributes:
        tokens, labels: wordpiece ids and BIO labels of all examples, one after the other.
        marks: of each token, the memory's; one of a target has none.
        start_E: where each example starts; one longer than the number of examples.
        source_length_E: how many of an example's tokens are the source.
        left_out: what is not among the examples.
        fingerprint: of what they were built from; "" where `build` did not make them.
    """

    tokens: np.ndarray
    labels: np.ndarray
    marks: np.ndarray
    start_E: np.ndarray
    source_length_E: np.ndarray
    left_out: LeftOut
    fingerprint: str = ""

    def sequences(self) -> Iterator[tuple[list[int], list[int]]]:
        """Source and target ids of each example."""
        for index, length in enumerate(self.source_length_E.tolist()):
            start, end = self.start_E[index : index + 2].tolist()
            yield (
                self.tokens[start : start + length].tolist(),
                self.tokens[start + length : end].tolist(),
            )

    def __len__(self) -> int:
        return len(self.source_length_E)

    @property
    def packed_length_E(self) -> np.ndarray:
        """Length of `[CLS] S1 [SEP] S2 [SEP]`."""
        return np.diff(self.start_E) + 3

    @property
    def target_length_E(self) -> np.ndarray:
        """Length of S2, without its [SEP]."""
        return np.diff(self.start_E) - self.source_length_E


class Example(NamedTuple):
    """Ids of S1 and S2, a BIO label for each, and the marks of S1."""

    source: Sequence[int]
    target: Sequence[int]
    source_labels: Sequence[int]
    target_labels: Sequence[int]
    source_marks: np.ndarray

    @property
    def packed_length(self) -> int:
        """Length of `[CLS] S1 [SEP] S2 [SEP]`."""
        return len(self.source) + len(self.target) + 3


def examples(
    documents: Sequence[Document],
    wordpiece: Wordpiece,
    options: Options,
    left_out: LeftOut | None = None,
) -> Iterator[Example]:
    """Each document as an example (METHOD 2 and 3), or where it is too long as several.

    A document that exceeds `options.max_length` is written in windows (`grel.text.windows`), whose
    sources leave a quarter of that for the target; a triple counts in every window that holds both
    its names. What still is too long is left out, and counted in `left_out` as is all the rest.

    Duplicate triples are dropped. Raises FeaturesError on a relation that the schema lacks, and on
    a name that has no wordpieces, because a target with an empty part cannot be read back.
    """
    left_out = LeftOut() if left_out is None else left_out
    for start in range(0, len(documents), _CHUNK):
        chunk = [ordered(d, options.order) for d in documents[start : start + _CHUNK]]
        names = sorted({name for d in chunk for t in d.triples for name in (t.head, t.tail)})
        encoded = dict(zip(names, wordpiece.encode_batch(names), strict=True))
        sources = [
            _marked(document, encoding, options)
            for document, encoding in zip(
                chunk, wordpiece.encode_batch([d.text for d in chunk]), strict=True
            )
        ]
        for document, source in zip(chunk, sources, strict=True):
            triples = [_written(t, document, encoded, wordpiece) for t in document.triples]
            whole = _example(source, triples, wordpiece, options)
            if whole.packed_length <= options.max_length:
                yield whole
                continue
            left_out.windowed += 1
            held = [False] * len(triples)
            limit = options.max_length - options.max_length // 4
            places = {
                name: locate(document.text, name)
                for triple in document.triples
                for name in (triple.head, triple.tail)
            }
            for part in windows(document.text, source.offsets, limit):
                inside = [_holds(source.offsets[part], t, places) for t in document.triples]
                held = [h or i for h, i in zip(held, inside, strict=True)]
                chosen = [t for t, i in zip(triples, inside, strict=True) if i]
                example = _example(source.part(part), chosen, wordpiece, options)
                if example.packed_length <= options.max_length:
                    yield example
                else:
                    left_out.too_long += 1
            left_out.apart += held.count(False)


_Ids = Sequence[int]


def _written(
    triple: Triple, document: Document, encoded: Mapping[str, Encoding], wordpiece: Wordpiece
) -> tuple[_Ids, _Ids, _Ids]:
    """Head, tail and relation as ids; `encoded` has all names."""
    if triple.relation not in wordpiece.relation_ids:
        raise FeaturesError(
            f"document {document.id!r}: relation {triple.relation!r} is not in the schema "
            f"of {len(wordpiece.relations)} relations; train with data that has it"
        )

    def written(name: str) -> _Ids:
        ids = encoded[name].ids
        if not ids:
            raise FeaturesError(
                f"document {document.id!r}: entity {name!r} has no wordpieces, "
                "only control characters; correct or delete its triple"
            )
        if wordpiece.holds_unknown(ids):
            ids = wordpiece.encode_name(name, document.text).ids
        return ids

    return written(triple.head), written(triple.tail), wordpiece.relation_ids[triple.relation]


def _marked(document: Document, source: Encoding, options: Options) -> Encoding:
    """The source with the marks of the memory, none of which take no bytes where there is none."""
    memory = options.memory
    if memory is None:
        return source._replace(marks=np.zeros((len(source.ids), 0), np.uint8))
    own = {triple.key for triple in document.triples} if options.taught else ()
    return source._replace(marks=memory.marks(document.text, source.offsets, own))


def _example(
    source: Encoding,
    triples: Sequence[tuple[_Ids, _Ids, _Ids]],
    wordpiece: Wordpiece,
    options: Options,
) -> Example:
    target, slots = linearize.linearize(triples, wordpiece.form)
    entities = [place for slot in slots for place in (slot.head, slot.tail)]
    label_fn = bio.LABELLINGS[options.labelling]
    labels = label_fn(source.ids, target, entities)
    return Example(source.ids, target, *labels, source.marks)


def _holds(offsets: Sequence[Span], triple: Triple, places: Mapping[str, Sequence[Span]]) -> bool:
    """Whether both names stand in the part of the text that these wordpieces are."""
    if not offsets:
        return False
    start, end = offsets[0][0], offsets[-1][1]
    return all(
        any(start <= span[0] and span[1] <= end for span in places[name])
        for name in (triple.head, triple.tail)
    )


def unknown_names(documents: Iterable[Document], wordpiece: Wordpiece) -> list[str]:
    """The names in the triples that have words which the vocabulary lacks; each once, sorted."""
    names = sorted({name for d in documents for t in d.triples for name in (t.head, t.tail)})
    encoded = zip(names, wordpiece.encode_batch(names), strict=True)
    return [name for name, encoding in encoded if wordpiece.holds_unknown(encoding.ids)]


def notes(
    documents: Mapping[str, Sequence[Document]],
    found: Mapping[str, Features],
    wordpiece: Wordpiece,
) -> Iterator[str]:
    """What there is to know of the splits "train" and "validation" before they are used."""
    for split, features in found.items():
        left_out = features.left_out
        if left_out.windowed:
            yield (
                f"{split}: {left_out.windowed:,} of {len(documents[split]):,} documents are too "
                f"long and are written in windows; {left_out.apart:,} triples have their names in "
                f"no common window, and {left_out.too_long:,} windows are too long with their "
                "triples: these are left out"
            )
    everything = [document for part in documents.values() for document in part]
    if unknown := unknown_names(everything, wordpiece):
        yield (
            f"{len(unknown):,} names have words that the vocabulary lacks, such as {unknown[0]!r}: "
            "of these the model knows only which is which, of up to "
            f"{len(wordpiece.unknown_ids)} in a text"
        )


def ordered(document: Document, order: str) -> Document:
    """The document with each triple once, in an order of `ORDERS`."""
    document = document.without_duplicates()
    if order == "file":
        return document
    triples = sorted(
        document.triples,
        key=lambda t: (
            t.relation if order == "relation" else "",
            _start(document.text, t.head, t.head_span),
            _start(document.text, t.tail, t.tail_span),
        ),
    )
    return dataclasses.replace(document, triples=tuple(triples))


def _start(text: str, entity: str, span: Span | None) -> int:
    """Where an entity stands; one without a span is looked up, one that does not occur is last."""
    if span is None:
        span = next(iter(locate(text, entity)), (len(text), len(text)))
    return span[0]


def build(
    documents: Sequence[Document],
    wordpiece: Wordpiece,
    options: Options,
    cache_dir: str | Path | None = None,
) -> Features:
    """Features of documents; with `cache_dir`, read from there if they were made before.

    A damaged cache is made anew. Raises FeaturesError where `examples` does, and where the cache
    cannot be written.
    """
    name = fingerprint(documents, wordpiece, options)
    if cache_dir is None:
        return _compute(documents, wordpiece, options, name)
    folder = expand_home(cache_dir) / name
    try:
        if folder.is_dir():
            try:
                return _load(folder)
            except _DamagedError as error:
                _LOG.warning("%s: damaged cache (%s): made anew", folder, error)
                aside = folder.rename(_beside(folder))
                shutil.rmtree(aside)
        _save(_compute(documents, wordpiece, options, name), folder)
        return _load(folder)
    except (OSError, _DamagedError) as error:
        raise FeaturesError(f"{folder}: cannot be made ({error})") from error


def fingerprint(documents: Iterable[Document], wordpiece: Wordpiece, options: Options) -> str:
    """Names a set of features: changes whenever they could."""
    memory = options.memory.fingerprint if options.memory else ""
    how = f"{_VERSION} {wordpiece.fingerprint} {options} {memory}\n"
    return records.fingerprint(documents, how)


def _compute(
    documents: Sequence[Document], wordpiece: Wordpiece, options: Options, name: str
) -> Features:
    token_dtype = np.uint16 if len(wordpiece.vocabulary) <= 1 << 16 else np.int32
    nothing = Features(
        np.zeros(0, token_dtype),
        np.zeros(0, np.uint8),
        np.zeros((0, 0 if options.memory is None else options.memory.width), np.uint8),
        np.zeros(1, np.int64),
        np.zeros(0, np.int32),
        left_out=LeftOut(),
    )
    left_out = LeftOut()
    found = gather(examples(documents, wordpiece, options, left_out), nothing)
    return dataclasses.replace(found, left_out=left_out, fingerprint=name)


def documents_of(
    documents: Iterable[Document], wordpiece: Wordpiece, options: Options
) -> Iterator[Document]:
    """The document of each of the `examples`."""
    options = dataclasses.replace(options, memory=None)  # which makes no example more or less
    for document in documents:
        for _ in examples([document], wordpiece, options):
            yield document


def gather(chosen: Iterable[Example | int], others: Features) -> Features:
    """Examples as arrays, one after the other; a number stands for that one of the others."""
    tokens, labels, marks = [others.tokens[:0]], [others.labels[:0]], [others.marks[:0]]
    lengths, source_lengths = [], []
    for one in chosen:
        if isinstance(one, int):
            place = slice(others.start_E[one], others.start_E[one + 1])
            tokens.append(others.tokens[place])
            labels.append(others.labels[place])
            marks.append(others.marks[place])
            source_lengths.append(others.source_length_E[one])
        else:
            tokens.append(np.array([*one.source, *one.target], others.tokens.dtype))
            labels.append(np.array([*one.source_labels, *one.target_labels], others.labels.dtype))
            marks.append(np.pad(one.source_marks, ((0, len(one.target)), (0, 0))))
            source_lengths.append(len(one.source))
        lengths.append(len(tokens[-1]))
    return Features(
        np.concatenate(tokens),
        np.concatenate(labels),
        np.concatenate(marks),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        np.array(source_lengths, np.int32),
        left_out=others.left_out,
    )


_ARRAYS = ("tokens", "labels", "marks", "start_E", "source_length_E")


class _DamagedError(Exception):
    """A cache that is not as it was written."""


def _save(features: Features, folder: Path) -> None:
    """Writes beside the folder and renames, so that a half-written cache is never read."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        with locked_folder(folder.parent.resolve(), wait=True):
            remove_unlocked(folder.parent.glob(f"{folder.name}.*"))  # left by killed processes
            scratch.mkdir()  # with the mode that the umask says: a cache may be a team's
            stack.enter_context(locked_folder(scratch, wait=True))
        for name in _ARRAYS:
            np.save(scratch / f"{name}.npy", getattr(features, name), allow_pickle=False)
        sha256 = {name: digests.of_file(scratch / f"{name}.npy") for name in _ARRAYS}
        about = {"left_out": dataclasses.asdict(features.left_out), "sha256": sha256}
        (scratch / "about.json").write_text(json.dumps(about))
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have written the same meanwhile
                raise


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")


def _load(folder: Path) -> Features:
    try:
        about = json.loads((folder / "about.json").read_text())
        arrays = {}
        for name in _ARRAYS:
            path = folder / f"{name}.npy"
            # A flipped bit would make another token, or an id beyond the vocabulary.
            if digests.of_file(path) != about["sha256"][name]:
                raise ValueError(f"{path.name} is not as it was written")
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return Features(**arrays, left_out=LeftOut(**about["left_out"]), fingerprint=folder.name)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _DamagedError(str(error)) from error
