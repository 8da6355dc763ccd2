"""The page to try a model on: one HTML file, which talks to its own server and to nobody else."""

from __future__ import annotations

import html
import string
from typing import NamedTuple

from grel.report import assets

_PACKAGE = "grel.serving"


class Page(NamedTuple):
    """The file, and the Content-Security-Policy that it is sent with."""

    html: str
    policy: str


def page(name: str) -> Page:
    """The page of the model that is called `name`.

    What the model can do it asks its server for. Looks and traces are those of the report.
    """
    style = assets.read("style.css") + assets.read("page.css", package=_PACKAGE)
    script = assets.read("trace.js")
    script += assets.read("graph.js", "page.js", package=_PACKAGE)
    text = string.Template(assets.read("page.html", package=_PACKAGE)).substitute(
        title=html.escape(name), style=style, script=script
    )
    # Its own server is the one it may ask, and nobody may put it into a frame.
    own = "; connect-src 'self'; frame-ancestors 'none'"
    return Page(text, assets.policy(script, style) + own)
