"""docs/METHOD.md and others: citations find their sections, fields and drawings are the code's."""

import re
from pathlib import Path

import pytest

from grel.config import get_config
from grel.families.registry import FAMILIES
from grel.fields import leaves
from grel.models.attention import seq2seq_mask, twin_mask

ROOT = Path(__file__).parents[2]
METHOD = (ROOT / "docs" / "METHOD.md").read_text()
SECTIONS = set(map(int, re.findall(r"^## (\d+)\. ", METHOD, re.MULTILINE)))
FILES = [path for folder in ("grel", "tests") for path in (ROOT / folder).rglob("*.py")]


def test_every_citation_names_a_section():
    cited = set()
    for path in FILES:
        for found in re.findall(r"METHOD (?:sections? )?(\d(?: (?:and|to) \d)?)", path.read_text()):
            first, last = int(found[0]), int(found[-1])
            cited |= set(range(first, last + 1)) if "to" in found else {first, last}
    assert cited >= {2, 3, 4, 5, 6, 7}
    assert cited <= SECTIONS


def test_every_field_it_names_exists():
    fields = {
        name: value for family in FAMILIES for name, value in leaves(get_config(family)).items()
    }
    sections = {name.split(".")[0] for name in fields if "." in name}
    for page, at_least in {"METHOD": 30, "RECIPES": 12, "SCALE": 0, "FAULTS": 1}.items():
        text = (ROOT / "docs" / f"{page}.md").read_text()
        named = set(re.findall(rf"`((?:{'|'.join(sections)})\.(?!py\b)\w+)", text))
        assert len(named) >= at_least, page
        assert named <= fields.keys(), page


def test_the_deviations_have_the_defaults_that_it_says():
    table = METHOD.partition("## 9.")[2]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    fields = leaves(get_config())
    checked = 0
    for names, default in rows:
        for name in re.findall(r"`([a-z_.]+)`", names):
            said = default.strip().strip("`").partition(":")[0]
            actual = fields[name]
            if isinstance(actual, str | bool):
                assert said == (str(actual) or "empty"), name
            else:
                assert float(said) == actual, name
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("mask", [seq2seq_mask, twin_mask])
def test_the_masks_are_drawn_as_in_the_docstrings(mask):
    def drawing(text):
        lines = [line.split() for line in text.splitlines()]
        start = next(n for n, words in enumerate(lines) if words[:1] == ["keys:"])
        size = len(lines[start]) - 1
        return lines[start : start + 1 + size]

    drawn = drawing(mask.__doc__)
    text = METHOD if mask is seq2seq_mask else METHOD.partition("## 5.")[2]
    assert drawing(text) == drawn
