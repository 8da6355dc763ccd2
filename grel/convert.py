"""Command line: from the raw format of a public corpus to records.

    python -m grel.convert --format=NAME --input=PATH --output=FILE.jsonl

Converting once, strictly, is what lets everything after it trust its input. What was left out or
bent on the way is counted on standard error, so that no corpus shrinks unnoticed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS, files_of
from grel.errors import run_command
from grel.files.textio import Fault, RecordError, decode, numbered_lines, quote, refuse_overwriting
from grel.records import Document, even_blanks, write_jsonl

_NUM_EXAMPLES = 5

_EPILOG = """\
formats (all but ptrnet: JSON objects, one a line, in one list, or pretty-printed):
  ptrnet    PATH.sent, PATH.tup and, if there, PATH.pointer; PATH is the stem, such as DIR/dev, or
            one of the files
  copyre    sentText, relationMentions of em1Text, em2Text, label; also SPN4RE
  casrel    text, triple_list of [head, relation, tail]; also PRGC
  spert     tokens, entities, relations; also PFN
  hrl       sentext, relations of rtext, em1, em2, tags (HRL-RE)
  tplinker  text, relation_list of subject, predicate, object and spans
  jointer   tokens, spo_list and, if there, spo_details; also ETL-Span
  jsonl     records of grel itself, to check them and to fill in spans

Files compressed with gzip are read as they are. A faulty record is reported with file, line and
reason. The output appears complete or not at all.
Exit status: 0 done, 1 error, 2 wrong usage.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grel.convert",
        description="Convert a corpus from its raw format to grel's records (JSONL).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--format", required=True, choices=READERS, help="see below")
    parser.add_argument("--input", required=True, metavar="PATH", help="the corpus; - is stdin")
    parser.add_argument(
        "--output", required=True, metavar="FILE.jsonl", help="where to write; - is stdout"
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

    def lines(self) -> Iterator[str]:
        yield f"documents: {self.documents:,}"
        yield f"triples: {self.triples:,} ({self.distinct:,} without duplicates)"
        # An entity that is not in the text can't be copied, so its count is worth a 0.
        for kind in NoteKind:
            if kind is NoteKind.MISSING or self.notes[kind]:
                yield f"{kind}: {self.notes[kind]:,}"
            yield from (f"  line {n.line}: {n.detail}" for n in self.examples if n.kind is kind)
            if (more := self.notes[kind] - _NUM_EXAMPLES) > 0:
                yield f"  and {more:,} more"
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
    sources = [*files_of(args.format, args.input), *([args.relations] if args.relations else [])]
    refuse_overwriting(sources, [args.output])
    summary = _Summary()
    write_jsonl(args.output, _convert(args, summary))
    for line in summary.lines():
        print(line, file=sys.stderr)


def _convert(args: argparse.Namespace, summary: _Summary) -> Iterator[Document]:
    documents = READERS[args.format](
        args.input,
        relations=_read_relations(args.relations) if args.relations else None,
        on_error=summary.skip if args.on_error == "skip" else None,
        on_note=summary.note,
    )
    yield from map(summary.count, documents)
    if summary.skipped and not summary.documents:
        raise RecordError(args.input, None, f"no record of it is in the format {args.format!r}")


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
