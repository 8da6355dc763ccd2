"""The pages in docs/: citations find their sections; fields, drawings, formats are the code's.

And that on serving: its limits, paths, fields and metrics are those of the server.
"""

import dataclasses
import re
from pathlib import Path

import pytest

from grel.config import get_config
from grel.corpora import inputs
from grel.corpora.formats import FORMATS
from grel.corpora.outputs import OUTPUTS
from grel.decoding import copying
from grel.families.registry import FAMILIES
from grel.fields import leaves
from grel.models.attention import seq2seq_mask, twin_mask
from grel.records import Triple
from grel.serving import openapi, requests
from grel.serving.limits import Limits
from grel.serving.metrics import Metrics
from tests import scale
from tests.serving.served import FakeModel

ROOT = Path(__file__).parent.parent
SERVING = (ROOT / "docs" / "SERVING.md").read_text()
METHOD = (ROOT / "docs" / "METHOD.md").read_text()
EXTRACTION = (ROOT / "docs" / "EXTRACTION.md").read_text()
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


def test_the_values_of_decoding_begin_with_the_default():
    table = EXTRACTION.partition("`--config.decoding.`")[2]
    rows = dict(re.findall(r"^\| `(\w+)=([^`]+)` \|", table, re.MULTILINE))
    decoding = get_config().decoding
    assert len(rows) > 7
    for name, values in rows.items():
        first, *others = values.split("\\|")
        assert first == str(decoding[name]).removesuffix(".0"), name
        assert not others or {first, *others} == set(copying.CHOICES[name]), name


def test_the_deviations_have_the_defaults_that_it_says():
    table = METHOD.partition("## 9.")[2]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    fields = leaves(get_config())
    checked = 0
    for names, default in rows:
        for name in re.findall(r"`([a-z_.]+)`", names):
            said = default.strip().strip("`").partition(":")[0]
            actual = fields[name]
            if isinstance(actual, str):
                assert said == (actual or "empty"), name
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


def test_the_limits_of_a_server_are_as_told():
    told = dict(re.findall(r"^\| `--max_(\w+)` \| ([\d.]+) \|", SERVING, re.MULTILINE))
    assert {name: float(value) for name, value in told.items()} == dataclasses.asdict(Limits())


def test_the_paths_fields_statuses_and_metrics_of_a_server_are_as_told():
    paths = openapi.document(FakeModel(), Limits())["paths"]
    told = re.findall(r"^\| `(GET|POST) (/\S*)` \|", SERVING, re.MULTILINE)
    assert {(path, method.lower()) for method, path in told} == {
        (path, method) for path, methods in paths.items() for method in methods
    }
    asked = SERVING.partition("## Ask it")[2].partition("The answer")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", asked, re.MULTILINE)) == set(requests.FIELDS)
    statuses = {
        s for row in re.findall(r"^\| ([45]\d\d.*?) \|", SERVING, re.M) for s in row.split(", ")
    }
    answers = paths["/extract"]["post"]["responses"].keys() - {"200"}
    assert statuses == answers | {"404", "405", "421"}
    metrics = set(re.findall(r"`(grel_\w+)`", SERVING))
    shown = set(re.findall(r"^# TYPE (\w+)", Metrics().text(), re.MULTILINE))
    assert shown | {"grel_requests_under_way", "grel_texts_waiting"} == metrics


FORMAT_PAGE = (ROOT / "docs" / "FORMATS.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", FORMAT_PAGE, re.MULTILINE | re.DOTALL))


def test_every_format_is_on_its_page():
    def named(section):
        table = FORMAT_PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
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


def test_the_figures_of_scale_are_those_of_its_script():
    page = scale.PAGE.read_text()
    assert scale.filled(page, scale.tables(scale.Assumed())) == page
