"""docs/FORMATS.md: all formats are there, and the examples say what they should."""

import re
from pathlib import Path

import pytest

from grel.corpora import inputs
from grel.corpora.formats import FORMATS
from grel.corpora.outputs import OUTPUTS
from grel.records import Triple

PAGE = (Path(__file__).parents[2] / "docs" / "FORMATS.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_format_is_on_its_page():
    def named(section):
        table = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
        return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(named("Formats to read")) == sorted(FORMATS)
    assert named("Formats to write") == list(OUTPUTS)
    assert {*EXAMPLES, "spacy"} == set(FORMATS)


@pytest.mark.parametrize("format", EXAMPLES)
def test_the_examples_of_formats_say_what_they_should(tmp_path, format):
    files = re.findall(r"^```(\S+)\n(.*?)\n```$", EXAMPLES[format], re.MULTILINE | re.DOTALL)
    for name, content in files:
        (tmp_path / name).write_text(content + "\n", encoding="utf-8")
    found = inputs.find(str(tmp_path))
    assert (found.format, found.others, len(files)) == (format, (), len(found.files))
    notes = []
    (document,) = found.read(on_note=notes.append)
    assert document.text.strip() == "Ann Moore lives in Oslo ."
    assert document.triples == (Triple("Ann Moore", "lives_in", "Oslo", (0, 9), (19, 23)),)
    assert notes == []
