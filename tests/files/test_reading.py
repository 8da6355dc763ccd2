"""Lines and items of files, however they are compressed and laid out."""

import bz2
import codecs
import gzip
import io
import itertools
import json
import lzma
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.files import reading
from grel.files.faults import Fault, RecordError
from grel.files.parsing import MAX_LINE_BYTES, parse_object
from grel.files.reading import Item, json_items, json_lines, numbered_lines, text_or_json
from tests.files.test_parsing import JSON_VALUES


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "data"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\r\r\n", [b"a\r"]),
        (b"\n", [b""]),
        (b"a\r\n\r\nb\rc", [b"a", b"", b"b\rc"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [b"a", b"\xef\xbb\xbfb"]),
        ("a\u2028b\x85\x0bc".encode(), ["a\u2028b\x85\x0bc".encode()]),
    ],
)
def test_lines_end_at_line_feeds_only(written, data, lines):
    assert list(numbered_lines(written(data))) == [Item(i + 1, x) for i, x in enumerate(lines)]


def test_gzip_is_told_by_content_and_read_as_it_grows(written):
    lines = [b"%d x" % n for n in range(50_000)]
    packed = gzip.compress(b"\n".join(lines[:9]) + b"\n") + gzip.compress(b"\n".join(lines[9:]))
    assert [item.data for item in numbered_lines(written(packed))] == lines
    for cut in (5, 40, len(packed) - 4):
        with pytest.raises(RecordError, match="ends too early"):
            list(numbered_lines(written(packed[:cut])))
    for at in (30, len(packed) - 6):
        spoiled = packed[:at] + bytes([packed[at] ^ 255]) + packed[at + 1 :]
        with pytest.raises(RecordError, match=r"data: (cannot read|the compressed data ends)"):
            list(numbered_lines(written(spoiled)))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("a".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("é".encode("utf-32"), "UTF-32; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + "a".encode("utf-16-be"), "UTF-16; save it as UTF-8"),
        (bz2.compress(b"a"), "compressed with bzip2; decompress it, or use gzip"),
        (lzma.compress(b"a"), "compressed with xz; decompress it, or use gzip"),
        (b"PK\x03\x04", "a zip archive; unpack it"),
    ],
)
def test_files_of_other_kinds_are_named_as_such(written, data, what):
    for read in (numbered_lines, json_lines, json_items):
        with pytest.raises(RecordError) as info:
            list(read(written(data)))
        assert info.value.reason == f"not UTF-8 text but {what}"


def test_utf_16_without_a_mark_is_named_too():
    for data in ('{"a": 1}'.encode("utf-16-le"), '{"a": 1}'.encode("utf-16-be")):
        with pytest.raises(Fault, match="holds a zero byte, as UTF-16 does; save the file as UTF-"):
            parse_object(data)


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(RecordError, match="standard input is closed"):
        list(numbered_lines("-"))


RECORDS = st.dictionaries(
    st.text("ab{}[],\n", max_size=3),
    st.none() | st.text("ab{}[],\n", max_size=3) | st.lists(st.integers(), max_size=2),
    min_size=1,
    max_size=2,
)


@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_values_laid_out_over_lines_are_split(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "pretty.json"
    path.write_text("\n".join(json.dumps(value, indent=2) for value in values))
    items = list(json_items(path))
    assert [json.loads(item.data) for item in items] == values
    assert [item.number for item in items] == list(range(1, len(values) + 1))
    assert path.read_text().splitlines()[items[-1].line - 1] == "{"


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))),
    st.sampled_from(["auto", "text"]),
)
def test_any_text_is_read_line_by_line(tmp_path_factory, lines, format):
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    expected = [line.removesuffix("\r") for line in lines]
    if expected:
        expected[0] = expected[0].removeprefix("\ufeff")
    for compress in (bytes, gzip.compress):
        path.write_bytes(compress("".join(f"{line}\n" for line in lines).encode()))
        with text_or_json(path, format) as (items, taken, _):
            assert taken == "jsonl" or [item.data.decode() for item in items] == expected


@pytest.mark.parametrize(
    ("data", "format", "is_guess"),
    [
        (b"", "text", False),
        (b"Ann", "text", False),
        (b'{"id": 1}', "jsonl", True),
        (b"\n \n{ \n", "jsonl", True),
        (b"\xef\xbb\xbf[\n", "jsonl", True),
        (b'["a", "b"]', "jsonl", True),
        (b"[]", "jsonl", True),
        (b"[] a", "text", True),
        (b"[[a]]", "text", True),
        (b"{a}", "text", True),
        (b'"a"', "text", True),
        (b'"a" b', "text", False),
    ],
)
def test_what_a_file_holds_is_told_by_its_beginning(written, data, format, is_guess):
    with text_or_json(written(data)) as raw:
        assert (raw.format, raw.is_guess) == (format, is_guess)
    for said in ("jsonl", "text"):
        with text_or_json(written(data), said) as raw:
            assert (raw.format, raw.is_guess) == (said, False)


@pytest.mark.parametrize("start", [b"", b"{", b"[", b"{}", b'"'])
def test_a_line_of_blanks_is_looked_at_once(written, start):
    """To begin again at each of these blanks would take days."""
    with text_or_json(written(start + b" " * 10_000_000 + b"x")) as raw:
        assert raw.format == "text"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_of_a_line_that_is_too_long_only_the_start_is_kept(written, end):
    longest, endless = b"x" * MAX_LINE_BYTES, b"y" * (2 * MAX_LINE_BYTES + 5)
    items = list(numbered_lines(written(end.join([longest, endless, b"z"]))))
    assert [item.line for item in items] == [1, 2, 3]
    assert [items[0].data, items[2].data] == [longest, b"z"]
    assert MAX_LINE_BYTES < len(items[1].data) < MAX_LINE_BYTES + 9


def test_blank_lines_are_dropped_at_the_end_only(written):
    path = written(b"\n \n{}\n\t\n\n[]\n\n \r\n")
    assert [tuple(item) for item in json_lines(path)] == [
        (1, b"", None),
        (3, b"{}", None),
        (4, b"\t", None),
        (6, b"[]", None),
    ]


def test_dash_is_standard_input(monkeypatch):
    for data in (b"{}\n{}\n", b"[{},\n{}]"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert [(item.line, item.data) for item in json_items("-")] == [(1, b"{}"), (2, b"{}")]


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_read_is_an_error_with_its_path(tmp_path, name):
    for read in (numbered_lines, json_lines, json_items):
        with pytest.raises(RecordError, match="cannot read") as info:
            list(read(tmp_path / name))
        assert str(info.value).startswith(f"{tmp_path / name}: ")


@given(st.lists(st.tuples(JSON_VALUES, st.sampled_from(["", "\n", " \r\n\n\t"]))), st.booleans())
def test_a_list_is_split_into_its_items(tmp_path_factory, values_and_space, ascii_only):
    text, lines = "", []
    for value, space in values_and_space:
        text += "," * bool(lines) + space
        lines.append(text.count("\n") + 1)
        text += json.dumps(value, ensure_ascii=ascii_only, indent=1) + space
    path = tmp_path_factory.getbasetemp() / "list.json"
    path.write_bytes(b"\xef\xbb\xbf[" + text.encode() + b"]\n\n")
    items = list(json_items(path))
    assert [json.loads(item.data) for item in items] == [value for value, _ in values_and_space]
    assert [item.number for item in items] == list(range(1, len(lines) + 1))
    assert [item.line for item in items] == lines


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"[{}", 1, "end of the list at column 4"),
        (b"[\n{},\n]", 3, "Expecting value at column 1"),
        (b"[{}\n{}]", 2, "end of the list at column 1"),
        (b"[{}]\n]", 1, "end of the list at column 4"),
        (b"[{}] x", 1, "end of the list at column 4"),
        (b"[\n{]", 2, "not JSON: Expecting property name enclosed in double quotes at column 2"),
        (b"[\n{}, {}, {]", 2, "double quotes at column 10"),
        (b'[\n{},\n{"a": 1,\n"b" 2}]', 4, "Expecting ':' delimiter at column 5"),
        (b"{\n}\n{}  nul\n", 3, "not JSON: Expecting value at column 5"),
        (b"[", 1, "not JSON"),
        (b"[\n\n'\xff'", 3, "not UTF-8: byte 0xff at byte 5"),
        (b"[\n\n'\xc3\xa9\xff'", 3, "not UTF-8: byte 0xff at byte 7"),
        (b"[\n{}\n,'\xe2\x82", 3, "not UTF-8: byte 0xe2 at byte 8"),
    ],
)
def test_a_list_that_cannot_be_split_is_an_error(written, monkeypatch, data, line, reason, chunk):
    monkeypatch.setattr(reading, "_CHUNK", chunk)
    with pytest.raises(RecordError, match=reason) as info:
        list(json_items(written(data)))
    assert info.value.line == line


def test_a_list_nested_without_end_is_an_error(written):
    with pytest.raises(RecordError, match="item 2 is nested too deeply"):
        list(json_items(written(b"[1," + b"[" * 200_000)))


@given(st.lists(JSON_VALUES, max_size=4), st.booleans(), st.booleans(), st.sampled_from([None, 1]))
def test_it_does_not_matter_where_a_file_is_cut(
    tmp_path_factory, values, is_list, ascii_only, indent
):
    """Numbers, escapes, and characters of several bytes too."""
    texts = [
        json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        for value in [*values, 1.5e-7, -12, "\u00e9\U0001f600", {}]
    ]
    path = tmp_path_factory.getbasetemp() / "cut.json"
    joined = ", ".join(texts) + " ]" if is_list else " \n ".join(texts)
    path.write_text(("[" if is_list else "{\n}") + "\n" + joined, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for chunk in (1, 2, 3, 5, 8, 1 << 20):
            patch.setattr(reading, "_CHUNK", chunk)
            items = list(json_items(path))
            assert [item.data.decode() for item in items] == ["{\n}"] * (not is_list) + texts
            lines = path.read_text(encoding="utf-8").split("\n")
            starts = [item.data.decode().split("\n")[0] for item in items]
            assert all(s in lines[i.line - 1] for s, i in zip(starts, items, strict=True))


class _Endless(io.RawIOBase):
    """One value after another; fails where it is read on and on."""

    def __init__(self, start, again):
        self._rest, self._again, self._left = start, again, 8 * MAX_LINE_BYTES

    def readable(self):
        return True

    def readinto(self, buffer):
        while len(self._rest) < len(buffer):
            self._rest += self._again * 1000
        size = len(buffer)
        self._left -= size
        assert self._left > 0, "it is read on and on"
        buffer[:], self._rest = self._rest[:size], self._rest[size:]
        return size


@pytest.mark.parametrize(
    ("start", "again"), [(b"[", b'{"a": 1}, '), (b"[\n", b"[],\n"), (b'{\n"a": 1}', b" {}\n")]
)
def test_of_a_file_of_records_a_part_is_read_at_a_time(start, again):
    def opened():
        return io.BufferedReader(_Endless(start, again))

    with text_or_json("endless", open_fn=opened) as raw:
        assert len(list(itertools.islice(raw.items, 1000))) == 1000


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b'[{}, {"a": [', b"1, "),
        (b'[\n{},\n{"a": "', b"x"),
        (b'{\n}\n{"a": [', b"{}, "),
    ],
)
def test_a_record_without_end_is_an_error(start, again):
    def opened():
        return io.BufferedReader(_Endless(start, again))

    with (
        text_or_json("endless", open_fn=opened) as raw,
        pytest.raises(RecordError, match=r"item 2: longer than 16,777,216 bytes; let the file"),
    ):
        list(raw.items)


def test_what_is_wrong_far_from_the_end_is_told_for_what_it_is():
    def opened():
        return io.BufferedReader(_Endless(b'[\n{},\n{"a": 1 "b": 2}, ', b"{}, "))

    with (
        text_or_json("endless", open_fn=opened) as raw,
        pytest.raises(RecordError, match="endless:3: not JSON: Expecting ',' delimiter at column"),
    ):
        list(raw.items)


def test_items_of_a_list_are_not_judged(written):
    faulty = [b'{"a":1,"a":NaN}', b'{"\\ud800": 1}', b'"\t"', b"9" * 5000]
    items = json_items(written(b"[" + b",".join(faulty) + b"]"))
    assert [item.data for item in items] == faulty
