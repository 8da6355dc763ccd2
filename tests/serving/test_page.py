"""The page in a real Chromium, before a real model; and what it is allowed."""

import base64
import dataclasses
import hashlib
import re
from pathlib import Path

import pytest

from grel.extraction import opening
from grel.extraction.extractor import Extractor
from grel.records import Document, Triple
from grel.serving.model import Found, Model
from grel.serving.page import page as make_page
from tests.fakes import BORN, LIVES
from tests.report import chromium
from tests.serving.served import REASON, FakeModel, running

OLD = Path(__file__).parents[1] / "extraction" / "old_runs"
TEXT = "Ann Moore , born in Lima , lives in Port Moresby ."


def test_it_runs_its_own_script_has_its_own_style_and_asks_its_own_server():
    html, policy = make_page("a <b>run</b>")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "<title>a &lt;b&gt;run&lt;/b&gt;</title>" in html
    assert "unsafe" not in policy
    # The name space of SVG is no address that anything is fetched from.
    assert re.findall(r"https?://[^\s\"']+", html) == ["http://www.w3.org/2000/svg"]
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", html)


needs_browser = pytest.mark.skipif(
    bool(chromium.MISSING), reason=f"not on PATH: {' '.join(chromium.MISSING)}"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    for package in ("starlette", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason=REASON)
    with chromium.browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def bert():
    system, params, _ = opening.load(OLD / "bert", "best")
    model = Model(Extractor(system, params), "bert")
    model.warm_up(1)
    with running(model) as client:
        yield client


def _visit(browser, client):
    browser.visit(f"http://127.0.0.1:{client.port}/")
    browser.wait_for("document.body.dataset.ready")
    assert browser.complaints() == []


@pytest.fixture
def page(browser, bert):
    _visit(browser, bert)
    return browser


def _extract(page, text):
    page.script(f"document.querySelector('#text').value = {text!r}")
    _press(page)


def _press(page):
    page.script("document.querySelector('#status').textContent = ''")
    page.click("#extract")
    page.wait_for(
        "document.querySelector('#status').textContent === 'done' || "
        "!document.querySelector('#error').hidden"
    )


def _slide(page, value):
    page.script(
        f"const s = document.querySelector('#min-score'); s.value = {value};"
        "s.dispatchEvent(new Event('input'))"
    )


def _rows(page):
    cells = page.script(
        "return [...document.querySelectorAll('#table tbody tr')].map(row => "
        "[...row.cells].map(cell => cell.textContent))"
    )
    return [tuple(row[1:4]) for row in cells]


@needs_browser
def test_triples_are_marked_drawn_and_listed(page):
    _extract(page, TEXT)
    assert _rows(page) == [("Ann Moore", LIVES, "Lima"), ("Ann Moore", BORN, "Port Moresby")]
    assert page.texts("#marked mark.predicted-head") == ["Ann Moore"]
    assert page.texts("#marked mark.predicted-tail") == ["Lima", "Port Moresby"]
    assert page.script("return document.querySelector('#marked').textContent") == TEXT
    drawn = "return [...document.querySelectorAll('#graph .{} title')].map(t => t.textContent)"
    assert page.script(drawn.format("node")) == ["Ann Moore", "Lima", "Port Moresby"]
    assert page.script(drawn.format("edge")) == [
        f"Ann Moore — {LIVES} → Lima",
        f"Ann Moore — {BORN} → Port Moresby",
    ]
    assert page.texts("#told") == ["2 of 2 triples shown"]
    assert page.complaints() == []


@needs_browser
def test_a_triple_is_shown_alone_from_table_and_graph(page):
    _extract(page, TEXT)
    page.click("#table tbody tr:nth-child(2) button")
    assert page.texts("#marked mark") == ["Ann Moore", "Port Moresby"]
    assert page.texts("#table button[aria-pressed=true]") == ["2"]
    assert page.script("return document.activeElement.textContent") == "2"
    assert len(page.texts("#graph .edge.selected")) == 1
    page.click("#graph .edge text")
    assert page.texts("#marked mark") == ["Ann Moore", "Lima"]
    page.click("#table tbody tr:nth-child(1) button")
    assert len(page.texts("#marked mark")) == 3


@needs_browser
def test_slider_and_ticks_hide_and_the_model_writes_what_is_ticked(page):
    _extract(page, TEXT)
    _slide(page, 0.9)
    assert _rows(page) == [("Ann Moore", LIVES, "Lima")]
    assert page.texts("#least") == ["0.90"]
    assert page.texts("#told") == ["1 of 2 triples shown"]
    _slide(page, 0)
    page.click("#relations summary")
    page.click(f"#ticks input[value='{LIVES}']")
    assert _rows(page) == [("Ann Moore", BORN, "Port Moresby")]
    assert page.texts("#ticked") == ["1 of 2"]
    _press(page)
    assert {relation for _, relation, _ in _rows(page)} == {BORN}
    page.click("#tick-all")
    assert {relation for _, relation, _ in _rows(page)} == {BORN}
    page.click("#tick-none")
    assert _rows(page) == []


@needs_browser
def test_the_decoding_opens_step_by_step(page):
    _extract(page, TEXT)
    page.click(".trace summary")
    rows = [text.split("\t") for text in page.texts(".steps tbody tr")]
    assert [cell.strip() for cell in rows[1]] == [
        *("2", "B", "a token of the sentence", "every token of the sentence", "Ann")
    ]
    assert rows[2][2].strip() == "what follows “Ann”"


@needs_browser
def test_the_keyboard_alone_will_do(page):
    control_enter = "\ue009\ue007"
    page.type("#text", "Bo Li lives in Cairo ." + control_enter)
    page.wait_for("document.querySelector('#status').textContent === 'done'")
    assert _rows(page) == [("Bo Li", LIVES, "Cairo")]


@needs_browser
def test_what_the_server_refuses_is_told(page, bert):
    _extract(page, "a" * 20_001)
    assert page.texts("#error") == ["texts[0]: 20,001 characters; at most 20,000, so divide it"]
    page.script("document.querySelector('#text').value = 'half \\ud83d of a pair'")
    _press(page)
    assert "half of a surrogate pair" in page.texts("#error")[0]
    _extract(page, TEXT)
    assert page.script("return document.querySelector('#error').hidden")
    # The browser itself tells of the two refusals.
    assert [re.findall(r"status of (\d+)", told) for told in page.complaints()] == [
        ["413"],
        ["400"],
    ]


class Hostile(FakeModel):
    """Finds names and relations that would be markup, and characters beyond 16 bits."""

    name = "<img src=x onerror=alert(1)>"
    relations = ("<b>bold</b>", "/a/loves")
    cannot_restrict = "no"
    can_trace = False
    text = "<script>alert(1)</script> 😀 <i>x</i> & 😀"

    def find(self, documents, kind):
        assert kind.relations is None
        (document,) = documents
        triples = (
            Triple("<i>x</i>", "<b>bold</b>", "😀", (28, 36), (26, 27), score=0.5),
            Triple("😀", "/a/loves", "😀", (26, 27), (26, 27), score=0.4),
            Triple("<i>x</i>", "/a/loves", "😀", (28, 36), (39, 40), score=0.3),
        )
        (found,) = self.extractor.extractions([Document("0", self.text)])
        document = Document("0", document.text, triples)
        return [Found(dataclasses.replace(found, document=document), [])]


@needs_browser
def test_hostile_text_is_text_and_places_count_characters(browser):
    with running(Hostile()) as client:
        _visit(browser, client)
        assert browser.script("return document.title") == Hostile.name
        _extract(browser, Hostile.text)
        assert (
            browser.script("return document.querySelector('#marked').textContent") == Hostile.text
        )
        assert browser.texts("#marked mark") == ["😀", "<i>x</i>", "😀"]
        assert browser.texts("#marked mark.predicted-head.predicted-tail") == ["😀"]
        ticks = "return [...document.querySelectorAll('#ticks label')].map(l => l.textContent)"
        assert browser.script(ticks) == list(Hostile.relations)
        # A loop, and two arrows side by side.
        paths = browser.script(
            "return [...document.querySelectorAll('#graph .edge path')]"
            ".map(path => path.getAttribute('d'))"
        )
        assert len(set(paths)) == 3
        markup = "main img, main script, main b, main i, h1 img"
        assert browser.script(f"return document.querySelectorAll('{markup}').length") == 0
        assert browser.complaints() == []


@needs_browser
def test_a_server_that_is_gone_is_told(browser):
    with running() as client:
        _visit(browser, client)
    _extract(browser, "Ann in Oslo")
    assert browser.texts("#error") == ["The server does not answer."]
