"""The report in a real Chromium: opened from its file and clicked through."""

import pytest

from grel.report.__main__ import main
from tests.report import chromium, sample

pytestmark = pytest.mark.skipif(
    bool(chromium.MISSING), reason=f"not on PATH: {' '.join(chromium.MISSING)}"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    run = sample.write_run(folder / "run", copies=40)
    reverse = sample.triple(sample.ANN, "Time Inc.", "company", "Ann Moore")
    predicted = {"relation": [sample.WORKS, reverse]}
    other = sample.write_run(folder / "other", predicted, copies=40)
    report = folder / "report.html"
    assert main([f"--workdir={run}", f"--compare={other}", f"--output={report}"]) == 0
    with chromium.browser(folder) as browser:
        browser.open(report)
        yield browser


@pytest.fixture(autouse=True)
def _everything_shown(request):
    request.getfixturevalue("page").click("#reset")


def _ids(page):
    return page.texts(".sentence h3")


def test_it_opens_without_complaints_and_hostile_text_does_nothing(page):
    assert page.script("return document.title") == "Report on run against other"
    page.type("#search", "onerror")
    assert _ids(page) == ["hostile"]
    # textContent, as the browser shows U+2028 as a line.
    shown = page.script("return document.querySelector('.sentence .text').textContent")
    assert shown == sample.HOSTILE
    assert page.script("return document.querySelectorAll('main img, main script, b b').length") == 0
    assert page.texts(".sentence .relation")[0] == "<b>bold</b>"
    assert page.complaints() == []


def test_filters_and_search(page):
    page.click("#class-filter option[value=disorder]")
    assert _ids(page) == ["disorder"]
    assert page.texts("#count") == ["1 of 44 sentences"]
    page.click("#class-filter option[value=any]")
    assert _ids(page) == ["relation", "disorder"]
    page.click("#compare-filter option[value=second]")
    assert _ids(page) == ["relation"]
    page.click("#reset")
    page.type("#search", "MOORE ANN")
    assert _ids(page) == ["disorder"]


def test_errors_that_the_second_system_alone_makes_are_told_and_are_no_filter(page):
    page.click("#compare-filter option[value=second]")
    told = page.texts(".sides section:last-child .verdict")
    assert told == ["correct", "wrong · head and tail exchanged"]
    values = page.script(
        "return [...document.querySelectorAll('#class-filter option')].map(o => o.value)"
    )
    assert values == ["all", "correct", "any", "missed", "disorder", "relation", "traced"]


def test_pages(page):
    assert _ids(page)[:2] == ["right", "relation"]
    assert page.texts("#page") == ["Page 1 of 3"]
    page.click("#next")
    page.click("#next")
    assert _ids(page) == ["copy 36", "copy 37", "copy 38", "copy 39"]
    assert page.script("return document.querySelector('#next').disabled")
    page.click("#previous")
    assert page.texts("#page") == ["Page 2 of 3"]


def test_a_triple_is_shown_alone(page):
    page.type("#search", "right")
    assert page.texts(".sentence mark") == ["Ann Moore", "Time Inc.", "New York"]
    page.click(".sides li:nth-child(2) .triple")
    assert page.texts(".sentence mark.gold-head") == ["Ann Moore"]
    assert page.texts(".sentence mark.gold-tail") == ["New York"]
    assert len(page.texts(".sentence mark")) == 2
    assert len(page.texts(".triple[aria-pressed=true]")) == 1
    page.click(".sides li:nth-child(2) .triple")
    assert len(page.texts(".sentence mark")) == 3


def test_a_trace_opens_and_tells_each_step(page):
    page.type("#search", "right")
    page.click(".trace summary")
    rows = [text.split("\t") for text in page.texts(".steps tbody tr")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["1", "B", "a token of the sentence", "every token of the sentence", "Time"],
        ["2", "I", "what follows “Time”", "Inc.", "Inc."],
        ["3", "O", "any token", "the whole vocabulary", ";"],
        ["4", "O", "what the form of triples allows", "id 1id 55", ";"],
        ["5", "I", "any token: the sentence offers none", "the whole vocabulary", "<i>"],
    ]


def test_a_cell_of_the_confusion_table_shows_its_sentences(page):
    page.click(".matrix button[aria-label='1: gold company, predicted lives_in']")
    assert _ids(page) == ["relation"]
    page.click("#cell-filter")
    assert len(_ids(page)) == 20


def test_the_keyboard_alone_will_do(page):
    tab = "\ue004"
    # From the search over "Show all" to the first triple, as one page needs no pager.
    page.type("#search", f"right{tab}{tab} ")
    assert page.script("return document.activeElement.className") == "triple found"
    assert page.script("return document.querySelector('.triple').ariaPressed") == "true"


def test_confusions_of_folded_relations_are_not_drawn_as_right(tmp_path):
    often = [{**sample.WORKS, "relation": f"r{n}"} for n in range(40)]
    once = [sample.WORKS, {**sample.LIVES, "relation": "near"}]
    predicted = {"relation": often, "disorder": often, "right": once}
    run = sample.write_run(tmp_path / "run", predicted)
    assert main([f"--workdir={run}", f"--output={tmp_path / 'a.html'}"]) == 0
    with chromium.browser(tmp_path) as browser:
        browser.open(tmp_path / "a.html")
        last = "document.querySelectorAll('.matrix tr:last-child td:last-child button')"
        drawn = browser.script(
            f"return [...{last}].map(e => [e.className.slice(0, 5), e.ariaLabel])"
        )
        assert drawn == [
            ["right", "1: gold (all others), predicted (all others)"],
            ["wrong", "1: gold (all others), predicted another of them"],
        ]
        browser.click(".matrix tr:last-child td:last-child button:last-child")
        assert _ids(browser) == ["right"]
        assert browser.complaints() == []
