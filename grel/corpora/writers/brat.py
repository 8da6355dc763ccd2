"""brat's standoff: a folder with a text, its annotations, and what brat is to know of their types.

Names of files and types are written as `readers.brat.name_of` says; `visual.conf` has the labels as
they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from grel.corpora.readers.brat import ANNOTATIONS, SCORE, TEXT, encoded, name_of
from grel.corpora.writers.shapes import Link, Mark, OnLoss, blaming, marked
from grel.files.faults import Fault, RecordError, quote
from grel.files.folders import replacing_folder
from grel.records import Document, Span

_LINE = re.compile(r"[^\r\n]+")
_ANY = "<ENTITY>"  # brat's word for all types of entities


def write(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
    """A folder of two files a document, which must be new, or empty."""
    if str(path) == "-":
        raise RecordError(path, None, "brat's files are a folder; name one")
    if Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
        raise RecordError(path, None, "is there, and no empty folder; name a new one")
    types: dict[str, None] = {}
    labels: dict[str, None] = {}
    with replacing_folder(Path(path), through_links=True) as folder:
        for document in documents:
            with blaming(path, document):
                entities, links = marked(document, on_loss)
                name, content = name_of(document.id), "\n".join(_lines(document, entities, links))
                for suffix, text in ((TEXT, document.text), (ANNOTATIONS[0], content)):
                    try:
                        with (folder / f"{name}{suffix}").open("xb") as file:
                            file.write(text.encode())
                    except FileExistsError:
                        raise Fault(f"the name of its file, {quote(name)}, is taken") from None
            types |= dict.fromkeys(entity.type for entity in entities)
            labels |= dict.fromkeys(link.label for link in links)
        _configure(folder, list(types), list(labels))


def _lines(document: Document, entities: list[Mark], links: list[Link]) -> Iterable[str]:
    if "\0" in document.text:
        raise Fault("a text with a zero byte, which brat does not read")
    for number, entity in enumerate(entities, start=1):
        pieces = list(_pieces(document.text, entity.span))
        ranges = ";".join(f"{start} {end}" for start, end in pieces)
        said = " ".join(re.sub(r"\s", " ", document.text[slice(*piece)]) for piece in pieces)
        yield f"T{number}\t{encoded(entity.type)} {ranges}\t{said}"
    for number, link in enumerate(links, start=1):
        ends = f"Arg1:T{link.head + 1} Arg2:T{link.tail + 1}"
        yield f"R{number}\t{encoded(link.label)} {ends}"
        if link.score is not None:
            yield f"#{number}\tAnnotatorNotes R{number}\t{SCORE} {link.score!r}"
    yield ""


def _pieces(text: str, span: Span) -> Iterable[Span]:
    """The span line by line, as brat has it, without blanks at the ends of lines."""
    for match in _LINE.finditer(text, *span):
        piece = match[0]
        if piece.strip():
            yield match.end() - len(piece.lstrip()), match.start() + len(piece.rstrip())


def _configure(folder: Path, types: list[str], labels: list[str]) -> None:
    relations = [f"{encoded(label)}\tArg1:{_ANY}, Arg2:{_ANY}" for label in labels]
    sections = {
        "entities": map(encoded, types),
        "relations": relations,
        "events": [],
        "attributes": [],
    }
    content = "".join(
        "\n".join([f"[{section}]", *lines, "", ""]) for section, lines in sections.items()
    )
    (folder / "annotation.conf").write_text(content, encoding="utf-8")
    shown = [
        f"{encoded(name)} | {name}"
        for name in (*types, *labels)
        if encoded(name) != name and "|" not in name and name.isprintable()
    ]
    content = "\n".join(["[labels]", *shown, "", "[drawing]", ""])
    (folder / "visual.conf").write_text(content, encoding="utf-8")
