"""Command line: from the format of a corpus or an annotation tool to records, and back.

    python -m grel.convert --input=PATH --output=FILE.jsonl
    python -m grel.convert --input=predictions.jsonl --to=brat --output=FOLDER

Converting once, strictly, is what lets everything after it trust its input. What was left out or
bent on the way is counted on standard error, so that no corpus shrinks unnoticed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from grel.corpora import inputs
from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import FORMATS
from grel.corpora.outputs import OUTPUTS, Output
from grel.corpora.recognition import Format
from grel.corpora.writers.shapes import Loss
from grel.errors import path_argument, program, run_command
from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import decode
from grel.files.reading import numbered_lines
from grel.files.writing import refuse_overwriting
from grel.names import even_blanks
from grel.records import Document

_NUM_EXAMPLES = 5

_EPILOG = """\
formats to read (where fields are named: JSON objects, one a line, in a list, or pretty-printed):
{formats}

formats to write:
{outputs}

Files compressed with gzip are read as they are. Of a folder all files are read that are of the
format, those in folders below it too. A faulty record is reported with file, line and reason. The
output appears complete or not at all. docs/FORMATS.md shows every format.
Exit status: 0 done, 1 error, 2 wrong usage.
"""


def _listed(formats: Mapping[str, Format | Output]) -> str:
    width = max(map(len, formats)) + 2
    return "\n".join(
        textwrap.fill(
            format.about,
            width=100,
            initial_indent=f"  {name:<{width}}",
            subsequent_indent=" " * (width + 2),
            break_on_hyphens=False,
        )
        for name, format in formats.items()
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("convert"),
        description="Convert a corpus, or annotations of a tool, to grel's records (JSONL), and "
        "records to formats of tools and graphs.",
        epilog=_EPILOG.format(formats=_listed(FORMATS), outputs=_listed(OUTPUTS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--format",
        default=inputs.AUTO,
        choices=(inputs.AUTO, *FORMATS),
        metavar="NAME",
        help="see below; by default the input is recognised by its content",
    )
    parser.add_argument(
        "--input",
        required=True,
        type=path_argument,
        metavar="PATH",
        help="a file, or a folder of files; - is stdin",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=path_argument,
        metavar="PATH",
        help="where to write; - is stdout",
    )
    parser.add_argument(
        "--to",
        default="jsonl",
        choices=OUTPUTS,
        metavar="NAME",
        help="the format to write, see below; by default jsonl, grel's records",
    )
    parser.add_argument(
        "--on_error",
        choices=("fail", "skip"),
        default="fail",
        help="at a faulty record: stop (default), or skip it and list it",
    )
    parser.add_argument(
        "--relations",
        metavar="FILE",
        help="the relations there are, one a line; a record with another one is faulty",
    )
    return parser


@dataclasses.dataclass
class _Summary:
    """What went through, and what did not."""

    documents: int = 0
    triples: int = 0
    distinct: int = 0
    skipped: int = 0
    relations: Counter[str] = dataclasses.field(default_factory=Counter)
    notes: Counter[NoteKind] = dataclasses.field(default_factory=Counter)
    examples: list[Note] = dataclasses.field(default_factory=list)
    losses: Counter[Loss] = dataclasses.field(default_factory=Counter)

    def count(self, document: Document) -> Document:
        self.documents += 1
        self.triples += len(document.triples)
        self.relations.update(triple.relation for triple in document.triples)
        self.distinct += len(document.without_duplicates().triples)
        return document

    def skip(self, error: RecordError) -> None:
        """Lists the error right away: there may be too many to keep."""
        self.skipped += 1
        print(f"skipped: {error}", file=sys.stderr)

    def note(self, note: Note) -> None:
        self.notes[note.kind] += 1
        if self.notes[note.kind] <= _NUM_EXAMPLES:
            self.examples.append(note)

    def lose(self, loss: Loss, id: str) -> None:
        self.losses[loss] += 1

    def lines(self) -> Iterator[str]:
        yield f"documents: {self.documents:,}"
        yield f"triples: {self.triples:,} ({self.distinct:,} without duplicates)"
        # An entity that is not in the text can't be copied, so its count is worth a 0.
        for kind in NoteKind:
            if kind is NoteKind.MISSING or self.notes[kind]:
                yield f"{kind}: {self.notes[kind]:,}"
            for note in self.examples:
                if note.kind is kind:
                    place = f"{note.file}:{note.line}" if note.file else f"line {note.line}"
                    yield f"  {place}: {note.detail}"
            if (more := self.notes[kind] - _NUM_EXAMPLES) > 0:
                yield f"  and {more:,} more"
        for loss in Loss:
            if self.losses[loss]:
                yield f"not written as it was: {loss}: {self.losses[loss]:,}"
        yield from self._alike()
        yield f"skipped records: {self.skipped:,}"

    def _alike(self) -> Iterator[str]:
        """Relations that are probably one."""
        spellings: dict[str, list[str]] = {}
        for relation in sorted(self.relations):
            spellings.setdefault(even_blanks(relation).casefold(), []).append(relation)
        for names in spellings.values():
            if len(names) > 1:
                told = " and ".join(f"{quote(n)} ({self.relations[n]:,})" for n in names)
                yield f"relations that differ only in blanks or case: {told}; write them one way"


def _run(args: argparse.Namespace) -> None:
    found = inputs.find(args.input, args.format)
    sources = [*found.files, *([args.relations] if args.relations else [])]
    refuse_overwriting(sources, [args.output])
    for line in _about(found):
        print(line, file=sys.stderr)
    summary = _Summary()
    OUTPUTS[args.to].write(args.output, _convert(args, found, summary), summary.lose)
    for line in summary.lines():
        print(line, file=sys.stderr)


def _about(found: inputs.Input) -> Iterator[str]:
    """What is read, as far as the user did not say it."""
    if found.why:
        yield f"format: {found.format} ({found.why})"
    if found.sources[0].name is not None:
        yield f"files: {len(found.sources):,}"
    if found.others:
        more = f" and {len(found.others) - _NUM_EXAMPLES:,} more"
        shown = ", ".join(found.others[:_NUM_EXAMPLES])
        yield f"files of another kind: {shown}{more if len(found.others) > _NUM_EXAMPLES else ''}"


def _convert(
    args: argparse.Namespace, found: inputs.Input, summary: _Summary
) -> Iterator[Document]:
    documents = found.read(
        relations=_read_relations(args.relations) if args.relations else None,
        on_error=summary.skip if args.on_error == "skip" else None,
        on_note=summary.note,
    )
    yield from map(summary.count, documents)
    if summary.skipped and not summary.documents:
        raise RecordError(args.input, None, f"no record of it is in the format {found.format!r}")


def _read_relations(path: str | Path) -> set[str]:
    relations = set()
    for item in numbered_lines(path):
        try:
            relations.add(decode(item.data).strip())
        except Fault as fault:
            raise RecordError(path, item.line, str(fault)) from None
    return relations


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
