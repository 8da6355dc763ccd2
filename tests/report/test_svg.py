"""Matplotlib's pictures inside a page with a strict policy."""

import re

from grel.report import svg

FILE = b"""<?xml version="1.0"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" width="9pt"
     viewBox="0 0 9 9">
 <metadata>made by</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style>
  <path id="m1" d="M 0 0"/><clipPath id="p1"><rect width="3"/></clipPath></defs>
 <g id="figure_1" clip-path="url(#p1)">
  <use xlink:href="#m1" style="fill: #123456; stroke-width: 0.8"/>
  <text style="font-size: 9px; font-family: 'DejaVu Sans', serif">a&lt;b</text>
 </g>
</svg>"""


def _inline():
    return svg.inline(FILE, "plot", 'a "title"', {"#123456": "plot-ink"})


def test_styles_become_attributes_and_colors_variables():
    text = _inline()
    assert 'fill="var(--plot-ink, #123456)"' in text
    assert 'stroke-width="0.8"' in text
    assert 'font-size="9px"' in text
    assert not re.search("style|font-family|metadata|made by", text)


def test_references_have_the_prefix_and_other_ids_go():
    text = _inline()
    assert set(re.findall(r'id="([^"]*)"', text)) == {"plot-m1", "plot-p1"}
    assert 'href="#plot-m1"' in text
    assert 'clip-path="url(#plot-p1)"' in text


def test_it_is_html_without_addresses_and_with_a_name():
    text = _inline()
    assert text.startswith("<svg ")
    assert "http" not in text
    assert "<clipPath" in text
    assert "a&lt;b" in text
    assert 'aria-label="a &quot;title&quot;"' in text
    assert "</path>" in text
    assert 'width="9pt"' not in text
