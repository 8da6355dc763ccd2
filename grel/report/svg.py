"""Matplotlib's SVG made fit to stand inside the page: no styles, no foreign addresses, themed.

A strict Content-Security-Policy forbids style attributes, so they become presentation attributes;
namespaces and document types, which look like addresses, go, as HTML needs neither; names that
would collide between two pictures get a prefix. Colors become variables of the page, so that the
pictures follow its light and dark themes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline(data: bytes, name: str, title: str, colors: Mapping[str, str]) -> str:
    """An `<svg>` element for an HTML page, from an SVG file that matplotlib wrote.

    Args:
        data: the file.
        name: a prefix for ids, another one for every picture of a page.
        title: what the picture is called for those who don't see it.
        colors: hexadecimal color -> name of the CSS variable that takes its place.
    """
    root = ElementTree.fromstring(data)
    kept = set(_REFERENCE.findall(data.decode()))
    kept |= {value[1:] for e in root.iter() for key, value in e.items() if _local(key) == "href"}
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        old = {_local(key): value for key, value in element.items()}
        element.attrib.clear()
        for key, value in _with_presentation(old):
            if key == "id" and value not in kept:
                continue
            element.set(key, _translate(key, value, name, colors))
    # What the removed style sheet said of everything.
    root.set("stroke-linejoin", "round")
    root.set("role", "img")
    root.set("aria-label", title)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _with_presentation(attributes: dict[str, str]) -> list[tuple[str, str]]:
    declarations = attributes.pop("style", "").split(";")
    pairs = (declaration.partition(":") for declaration in declarations if declaration.strip())
    # The page's own font: matplotlib's are seldom installed where the page is read.
    styles = [(k.strip(), v.strip()) for k, _, v in pairs if k.strip() != "font-family"]
    return [*attributes.items(), *styles]


def _translate(key: str, value: str, name: str, colors: Mapping[str, str]) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}"
    if key in ("fill", "stroke") and value in colors:
        return f"var(--{colors[value]}, {value})"
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)
