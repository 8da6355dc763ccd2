"""Word vectors in all forms of files, and what is wrong with a file."""

import gzip
import struct

import numpy as np
import pytest

from grel.files.faults import RecordError
from grel.text.vectors import read_vectors

ROWS = {"the": [0.5, -1.0, 2.0], "Jos\u00e9": [1e-3, 3.0, 4.0], "of": [7.0, 8.0, 9.0]}
WORDS = ("Jos\u00e9", "missing", "of")


def text_of(rows, header=True, end=""):
    lines = [f"{len(rows)} 3{end}"] if header else []
    lines += [f"{word} {' '.join(map(str, row))}{end}" for word, row in rows.items()]
    return ("\n".join(lines) + "\n").encode()


def binary_of(rows, end=b"\n"):
    packed = (word.encode() + b" " + struct.pack("<3f", *row) + end for word, row in rows.items())
    return f"{len(rows)} 3\n".encode() + b"".join(packed)


FORMS = {
    "word2vec text": text_of(ROWS),
    "fastText": text_of(ROWS, end=" "),
    "GloVe": text_of(ROWS, header=False),
    "Windows": text_of(ROWS, end="\r"),
    "word2vec binary": binary_of(ROWS),
    "binary without line breaks": binary_of(ROWS, end=b""),
}


def write(tmp_path, data):
    path = tmp_path / "vectors"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("form", FORMS)
def test_wanted_rows_of_every_form(tmp_path, form, compress):
    vectors_VX, found_V = read_vectors(write(tmp_path, compress(FORMS[form])), WORDS, 3)
    assert vectors_VX.dtype == np.float32
    assert found_V.tolist() == [True, False, True]
    expected = np.array([ROWS["Jos\u00e9"], [0, 0, 0], ROWS["of"]], np.float32)
    np.testing.assert_array_equal(vectors_VX, expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_byte_order_mark_is_dropped(tmp_path, form):
    path = write(tmp_path, b"\xef\xbb\xbf" + FORMS[form])
    vectors_VX, found_V = read_vectors(path, tuple(ROWS), 3)
    assert found_V.all()
    np.testing.assert_array_equal(vectors_VX, np.array(list(ROWS.values()), np.float32))


@pytest.mark.parametrize("is_binary", [False, True])
def test_many_rows_are_read_over_the_ends_of_blocks(tmp_path, is_binary):
    rng = np.random.default_rng(0)
    rows = {f"w{n}": rng.normal(size=3).astype(np.float32) for n in range(20000)}
    path = write(tmp_path, binary_of(rows) if is_binary else text_of(rows))
    vectors_VX, found_V = read_vectors(path, tuple(rows), 3)
    assert found_V.all()
    np.testing.assert_array_equal(vectors_VX, np.array(list(rows.values())))


def test_the_first_of_equal_words_counts_and_words_may_have_blanks(tmp_path):
    data = b"of 1 2 3\n. . . 4 5 6\nof 7 8 9\nat a@b.c 1 1 1\nJose\xcc\x81 2 2 2\n\xff\xfe 3 3 3\n"
    vectors_VX, found_V = read_vectors(write(tmp_path, data), ("of", "Jos\u00e9", "."), 3)
    assert vectors_VX.tolist() == [[1, 2, 3], [2, 2, 2], [0, 0, 0]]
    assert found_V.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "vectors: empty"),
        (b"\xef\xbb\xbf", "vectors: empty"),
        (b"2 4\nof 1 2 3 4\n", "vectors:1: vectors of 4 numbers, and 3 are wanted"),
        (b"of 1 2\n", "vectors:1: a vector of 2 numbers, and 3 are wanted"),
        (b"of 1 2 3 4\n", "vectors:1: a vector of 4 numbers"),
        (b"the 1 2 3\nof 1 2 3 4\n", "vectors:2: a vector of 4 numbers"),
        (b"2 3\nthe 1 2 3\nof 1 2\n", "vectors:3: a vector of 2 numbers"),
        (b"the 1 2 3\n\nof 1 2 3\n", "vectors:2: a vector of 0 numbers"),
        (b"3 3\nthe 1 2 3\nof 1 2 3\n", "vectors: 2 rows, and its first line promises 3"),
        (b"1 3\nthe 1 2 3\nof 1 2 3\n", "vectors: 2 rows, and its first line promises 1"),
        (b"of 1 x 3\n", "vectors:1: 'of': could not convert string to float"),
        (b"of 1 nan 3\n", "vectors:1: 'of': a number is not finite"),
        (b"of 1 1e99 3\n", "vectors:1: 'of': a number is not finite"),
        (binary_of(ROWS)[:-3], "vectors: ends in row 3, and its first line promises 3"),
        (binary_of(ROWS) + b"x", "vectors: goes on after the 3 rows"),
        (binary_of({"of": [1, np.inf, 2]}), "vectors:1: 'of': a number is not finite"),
        (
            gzip.compress(text_of(ROWS), mtime=0)[:-12],
            "vectors: the compressed data ends too early",
        ),
        (b"PK\x03\x04", "a zip archive; unpack it"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, data, message):
    with pytest.raises(RecordError, match=message) as caught:
        read_vectors(write(tmp_path, data), WORDS, 3)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(RecordError, match="nowhere: cannot read: No such file"):
        read_vectors(tmp_path / "nowhere", WORDS, 3)
