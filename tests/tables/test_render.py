"""The three forms of a table, and that no text in a cell breaks out of it."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.tables.render import Table, markdown_rows, plain, to_csv, to_json, to_markdown

TABLE = Table(
    "name",
    "A title",
    ("system", "F1", "gold"),
    [("one", 0.12345, 1234), ("a|b\nc", None, 2), ("<b>", 1.0, None)],
    ("A note.",),
)


def test_markdown_rounds_and_aligns():
    assert to_markdown([TABLE]) == (
        "## A title\n"
        "\n"
        "| system | F1 | gold |\n"
        "| --- | ---: | ---: |\n"
        "| one | 0.123 | 1,234 |\n"
        "| a\\|b c | - | 2 |\n"
        "| &lt;b> | 1.000 | - |\n"
        "\n"
        "A note.\n"
    )


def test_csv_keeps_all_digits_and_leaves_unknown_values_empty():
    assert list(csv.reader(io.StringIO(to_csv(TABLE)))) == [
        ["system", "F1", "gold"],
        ["one", "0.12345", "1234"],
        ["a|b\nc", "", "2"],
        ["<b>", "1.0", ""],
    ]


def test_json_has_rows_by_column():
    found = json.loads(to_json([TABLE]))
    assert found["name"]["title"] == "A title"
    assert found["name"]["notes"] == ["A note."]
    assert found["name"]["rows"][1] == {"system": "a|b\nc", "F1": None, "gold": 2}


def test_a_row_of_another_width_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        Table("n", "t", ("a", "b"), [(1,)]).records()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b_c", "/a/b_c"),
        ("a | b", "a \\| b"),
        ("`x` *y* [z]", "\\`x\\` \\*y\\* \\[z\\]"),
        ("\\|", "\\\\\\|"),
        ("<script>&lt;", "&lt;script>&amp;lt;"),
        ("two\r\n\nlines\u2028", "two lines"),
        ("# no heading", "\\# no heading"),
        ("- no list", "\\- no list"),
        ("_Time_ magazine", "\\_Time\\_ magazine"),
        ("a __init__ of snake_case_x", "a \\_\\_init\\_\\_ of snake_case_x"),
        ("1986. A great year", "1986\\. A great year"),
        ("3) no list, but 3.5 and 4) ones", "3\\) no list, but 3.5 and 4) ones"),
        ("1986.", "1986\\."),
        ("3.5 of C#", "3.5 of C#"),
        ("C #", "C \\#"),
    ],
)
def test_plain_text_stays_text(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize("place", ["{}", "# {}", "- a: {}", "| a |\n| --- |\n| {} |"])
@given(st.text(st.sampled_from(" \n_*`~|[]()<>&#+-=.!:;\\\"'01aé€—"), max_size=12))
def test_markdown_shows_plain_text_as_it_is(place, text):
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    parser = markdown.MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def parts(source):
        tokens = [one for token in parser.parse(source) for one in (token, *(token.children or ()))]
        return [(token.type, "" if token.children else token.content) for token in tokens]

    for line in (f"{text}a", f"a{text}", f"a {text}", f"{text} a", f"a{text}a"):
        whole = " ".join(line.split())
        expected = [
            (kind, content.replace("X", whole)) for kind, content in parts(place.format("X"))
        ]
        assert parts(place.format(plain(line))) == expected


def test_a_table_without_rows_is_its_header():
    assert markdown_rows(("a", "b"), []) == "| a | b |\n| --- | --- |\n"
