"""Word vectors from the files of word2vec, GloVe and fastText, read as a stream.

Three forms are told apart by how a file begins: text under a line with the number of rows and of
numbers in each (word2vec, fastText), text without it (GloVe), and word2vec's binary form. All may
be compressed with gzip. Only the rows of wanted words are kept, so that the largest files need no
memory; every row is counted and measured, because a file of the wrong width, or half of one, would
train without a word.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from grel.files.faults import RecordError, quote
from grel.files.parsing import MAX_LINE_BYTES
from grel.files.reading import Opened, guarded, opened
from grel.names import canonical

_CHUNK = 1 << 16
_HEADER = re.compile(rb"(\d{1,12}) (\d{1,6})\s*")
# Numbers in binary have such bytes, and no text has.
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f]")

# Its number, its word, and its numbers: text, or binary.
_Row = tuple[int, bytes, bytes]


def read_vectors(
    path: str | Path, words: Sequence[str], num_features: int
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of these words, of `num_features` numbers each.

    Returns vectors_VX in float32, zeros for what the file lacks, and found_V. Of a word that the
    file has twice the first row counts. Raises RecordError where the file can't be read, its width
    is another, it ends too early or goes on, or a number of a wanted word is none or not finite.
    """
    place_of = {word: place for place, word in enumerate(words)}
    vectors_VX = np.zeros((len(words), num_features), np.float32)
    found_V = np.zeros(len(words), bool)
    with opened(path) as file:
        is_binary, rows = _rows(path, file, num_features)
        for row, word, numbers in guarded(path, rows):
            place = place_of.get(canonical(word.decode("utf-8", "replace")))
            if place is None or found_V[place]:
                continue
            try:
                vectors_VX[place] = _parse(numbers, is_binary)
            except ValueError as error:
                raise RecordError(path, row, f"{quote(words[place])}: {error}") from None
            found_V[place] = True
    return vectors_VX, found_V


def _rows(path: str | Path, file: Opened, num_features: int) -> tuple[bool, Iterator[_Row]]:
    """Whether numbers are in binary, and the rows."""
    first, start = next(guarded(path, _beginning(file)))
    first = first.removeprefix(codecs.BOM_UTF8)
    if not first:
        raise RecordError(path, None, "empty; word vectors are wanted")
    header = _HEADER.fullmatch(first)
    if not header:
        return False, _text_rows(path, file, num_features, None, first)
    num_rows, width = map(int, header.groups())
    if width != num_features:
        raise RecordError(path, 1, f"vectors of {width} numbers, and {num_features} are wanted")
    if _CONTROL.search(start):
        return True, _binary_rows(path, file, num_features, num_rows)
    return False, _text_rows(path, file, num_features, num_rows)


def _parse(numbers: bytes, is_binary: bool) -> np.ndarray:
    """Raises ValueError where one is no number, or none that float32 holds."""
    if is_binary:
        vector_X = np.frombuffer(numbers, "<f4")
    else:
        with np.errstate(over="ignore"):
            fields = numbers.split(b" ")
            vector_X = np.array([float(field) for field in fields]).astype(np.float32)
    if not np.isfinite(vector_X).all():
        raise ValueError("a number is not finite")
    return vector_X


def _beginning(file: Opened) -> Iterator[tuple[bytes, bytes]]:
    """The first line, and a look at what follows it."""
    yield file.readline(MAX_LINE_BYTES), file.peek(_CHUNK)[:_CHUNK]


def _text_rows(
    path: str | Path,
    file: Opened,
    num_features: int,
    num_rows: int | None,
    first: bytes | None = None,
) -> Iterator[_Row]:
    """Rows by line; `num_rows` are promised by a first line that was read, and `first` was too."""
    lines = iter(functools.partial(file.readline, MAX_LINE_BYTES), b"")
    line = 1
    if first is not None:
        yield 1, *_split(path, 1, first, num_features, is_first=True)
    for line, data in enumerate(lines, start=2):
        yield line, *_split(path, line, data, num_features)
    if num_rows not in (None, line - 1):
        raise RecordError(
            path, None, f"{line - 1} rows, and its first line promises {num_rows}: damaged or cut"
        )


def _split(
    path: str | Path, line: int, data: bytes, num_features: int, is_first: bool = False
) -> tuple[bytes, bytes]:
    """Word and numbers of a line."""
    data = data.strip(b" \r\n")
    word, _, numbers = data.partition(b" ")
    width = numbers.count(b" ") + 1 if numbers else 0
    # GloVe has words such as `. . .`
    if width > num_features and not is_first and not _is_number(numbers.partition(b" ")[0]):
        word, *fields = data.rsplit(b" ", num_features)
        return word, b" ".join(fields)
    if width != num_features:
        raise RecordError(path, line, f"a vector of {width} numbers, and {num_features} are wanted")
    return word, numbers


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _binary_rows(
    path: str | Path, file: Opened, num_features: int, num_rows: int
) -> Iterator[_Row]:
    """Rows of a word, a blank and float32 numbers, with or without a line break behind."""
    size = 4 * num_features
    buffer, at = b"", 0
    for row in range(1, num_rows + 1):
        while (blank := buffer.find(b" ", at)) < 0 or len(buffer) < blank + 1 + size:
            more = file.read(_CHUNK)
            if not more or len(buffer) - at > size + MAX_LINE_BYTES:
                raise RecordError(
                    path, None, f"ends in row {row}, and its first line promises {num_rows}: cut"
                )
            buffer, at = buffer[at:] + more, 0
        numbers = blank + 1
        yield row, buffer[at:blank].lstrip(b"\n"), buffer[numbers : numbers + size]
        at = numbers + size
    if (buffer[at:] + file.read(_CHUNK)).strip():
        raise RecordError(path, None, f"goes on after the {num_rows} rows that it promises")
