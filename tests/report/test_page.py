"""The HTML: what records say stands there as text, and nothing runs but the page's own script."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.report.__main__ import main
from grel.report.page import script_json, table
from tests.report import sample


class _Page(HTMLParser):
    """Elements and the texts of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] in ("script", "style") and data.strip():
            self.raw.append((self.elements[-1], data))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    sample.write_run(folder / "run")
    sample.write_run(folder / "<b>other", {"right": [sample.WORKS]})
    args = [f"--workdir={folder / 'run'}", f"--compare={folder / '<b>other'}"]
    assert main([*args, f"--output={folder / 'a.html'}"]) == 0
    return (folder / "a.html").read_text(encoding="utf-8")


def test_nothing_is_fetched(report):
    assert "http" not in report.replace("http-equiv", "")
    page = _Page(report)
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not attributes.keys() & {"src", "srcset", "style", "action", "xmlns"}
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"@import|url\((?!#)", report)


def test_the_policy_allows_the_scripts_and_styles_of_the_page_and_no_others(report):
    page = _Page(report)
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()}'"
        for (_, attributes), data in page.raw
        if attributes.get("type") != "application/json"
    }
    assert set(re.findall(r"'sha256-[^']*'", policy)) == hashes
    assert len(hashes) == 2


def test_hostile_records_stay_data(report):
    page = _Page(report)
    scripts = [element for element in page.elements if element[0] == "script"]
    assert len(scripts) == 2
    assert not any(tag in ("b", "i") for tag, _ in page.elements)
    (data,) = [json.loads(text) for (_, attributes), text in page.raw if "type" in attributes]
    hostile = next(s for s in data["sentences"] if s["id"] == "hostile")
    assert "".join(piece for piece, _ in hostile["pieces"]) == sample.HOSTILE
    assert "<b>bold</b>" in data["relations"]
    assert "&lt;b&gt;other" in report


@given(st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_in_a_script_reads_back_and_cannot_end_it(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_the_dangerous_characters_are_among_those_tried():
    assert script_json("</script><!--&\u2028") == (r'"\u003c/script\u003e\u003c!--\u0026\u2028"')


def test_tables_escape_and_round():
    text = table("a<b", ("", "<i>"), [("<s>", 0.12345, 12345, "&")])
    assert "<caption>a&lt;b</caption>" in text
    assert '<th scope="col">&lt;i&gt;</th>' in text
    assert '<th scope="row">&lt;s&gt;</th><td>0.123</td><td>12,345</td><td>&amp;</td>' in text
