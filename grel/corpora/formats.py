"""The raw formats that corpora and annotation tools have: `FORMATS`, a dict from name to Format.

Formats differ in how they say where an entity stands: not at all, by character, by word, by tags.
Whichever it is, every reader gives the same Documents with character spans: those of the file where
they spell the entity, else of the first place where it occurs, which is also what the official
pointers of NYT24 say for over 99 % of the mentions. Duplicate triples stay as they are in the file,
because a corpus is counted with them by some and without them by others. Fields that a foreign
format has and that are not needed here are ignored; types of entities become the field `entities`.

A file is of the first format here that fits it, so that those that ask for more stand before those
that ask for less.
"""

from __future__ import annotations

from pathlib import Path

from grel.corpora.drafts import Reader
from grel.corpora.readers import (
    brat,
    columns,
    docbin,
    names,
    offsets,
    pairs,
    ptrnet,
    tables,
    tokens,
    webanno,
    webnlg,
)
from grel.corpora.readers.shapes import json_reader
from grel.corpora.recognition import Format, Head, any_of, begins, has_fields


def _is_ptrnet(head: Head) -> str | None:
    return "its name ends as one of parallel files" if head.path.suffix in ptrnet.SUFFIXES else None


def _is_brat(head: Head) -> str | None:
    text_file, *annotation_files = brat.files_of(head.path)
    others = [*annotation_files] if str(head.path) == text_file else [text_file]
    there = [Path(other).name for other in others if Path(other).is_file()]
    is_one = head.path.suffix in (brat.TEXT, *brat.ANNOTATIONS)
    return f"{there[0]} is beside it" if is_one and there else None


def _is_table(head: Head) -> str | None:
    delimiter = tables.delimiter_of(head.lines[0]) if head.lines else None
    return tables.described(delimiter) if delimiter else None


def _is_docbin(head: Head) -> str | None:
    start = docbin.unpacked(head.data, 1 << 12)
    return "it is a compressed DocBin" if b"version" in start and b"attrs" in start else None


_has_own_fields = has_fields("id", "text", "triples.relation")
_has_fields_of_rebel = any_of(
    has_fields("docid", "text", "triples.subject"), has_fields("context", "triplets")
)


def _is_rebel(head: Head) -> str | None:
    # Where no record has triples, an id says that they are grel's, which may have further fields.
    return None if _has_own_fields(head) else _has_fields_of_rebel(head)


_is_labelstudio = any_of(
    has_fields("data", "annotations.result"), has_fields("data", "predictions.result")
)

FORMATS: dict[str, Format] = {
    "rebel": Format(
        "REBEL: text, triples of subject, predicate, object; or context, triplets",
        json_reader(names.rebel),
        _is_rebel,
    ),
    "jsonl": Format(
        "records of grel itself, to check them and to fill in spans",
        json_reader(names.jsonl),
        has_fields("text", "triples.relation"),
    ),
    "ptrnet": Format(
        "PtrNet, WordDec: PATH.sent, PATH.tup and, if there, PATH.pointer; PATH is the stem, such "
        "as DIR/dev, or one of the files",
        ptrnet.read,
        _is_ptrnet,
        ptrnet.files_of,
    ),
    "copyre": Format(
        "CopyRE, SPN4RE: sentText, relationMentions of em1Text, em2Text, label",
        json_reader(names.copyre),
        has_fields("sentText", "relationMentions"),
    ),
    "casrel": Format(
        "CasRel, PRGC: text, triple_list of [head, relation, tail]",
        json_reader(names.casrel),
        has_fields("text", "triple_list"),
    ),
    "spert": Format(
        "SpERT, PFN: tokens, entities of start, end, type, relations of head, tail, type",
        json_reader(tokens.spert),
        has_fields("tokens", "entities.start", "relations.head"),
    ),
    "hrl": Format(
        "HRL-RE: sentext, relations of rtext, em1, em2, tags",
        json_reader(tokens.hrl),
        has_fields("sentext", "relations"),
    ),
    "tplinker": Format(
        "TPLinker: text, relation_list of subject, predicate, object and spans",
        json_reader(offsets.tplinker),
        has_fields("text", "relation_list"),
    ),
    "jointer": Format(
        "JointER, ETL-Span: tokens, spo_list and, if there, spo_details",
        json_reader(tokens.jointer),
        has_fields("tokens", "spo_list"),
    ),
    "doccano": Format(
        "doccano, relations: text, entities of id, start_offset, end_offset, label, relations of "
        "from_id, to_id, type",
        json_reader(offsets.doccano),
        has_fields("text", "entities.start_offset", "relations.from_id"),
    ),
    "labelstudio": Format(
        "Label Studio, JSON: data, annotations or predictions of results: labels and relations",
        json_reader(offsets.labelstudio),
        _is_labelstudio,
    ),
    "prodigy": Format(
        "Prodigy, rel.manual: text, tokens, spans, relations of head_span, child_span, label",
        json_reader(offsets.prodigy),
        has_fields("text", "tokens.start", "relations.child"),
    ),
    "dygie": Format(
        "DyGIE++, SciERC: doc_key, sentences, ner, relations of [start, end, start, end, label]",
        json_reader(tokens.dygie),
        has_fields("sentences", "relations", "doc_key"),
    ),
    "docred": Format(
        "DocRED, Re-DocRED: sents, vertexSet of mentions, labels of h, t, r",
        json_reader(tokens.docred),
        has_fields("sents", "vertexSet"),
    ),
    "gliner": Format(
        "GLiNER, GLiREL: tokenized_text, ner of [first, last, type], relations",
        json_reader(tokens.gliner),
        has_fields("tokenized_text", "ner", "relations"),
    ),
    "tacred": Format(
        "TACRED and its revisions: token, subj_start, subj_end, obj_start, obj_end, relation; "
        "records of one sentence are joined, here and in the next two",
        pairs.pair_reader(pairs.tacred),
        has_fields("token", "subj_start", "obj_start", "relation"),
    ),
    "opennre": Format(
        "OpenNRE: text or token, h and t with pos, relation",
        pairs.pair_reader(pairs.opennre),
        has_fields("h.pos", "t.pos", "relation"),
    ),
    "fewrel": Format(
        "FewRel: one object of relations, with lists of tokens, h, t",
        pairs.fewrel,
        begins(
            r'\{\s*"[^"]*"\s*:\s*\[\s*\{\s*"(tokens|h|t)"\s*:',
            "it is an object of lists of tokens, h and t",
        ),
    ),
    "duie": Format(
        "DuIE 1.0, 2.0: text, spo_list of subject, predicate, object and types",
        json_reader(names.duie),
        has_fields("text", "spo_list.predicate"),
    ),
    "brat": Format(
        "brat: X.txt and X.ann, or .a1 and .a2; PATH is one of them, X, or a folder of them",
        brat.read,
        _is_brat,
        brat.files_of,
    ),
    "webanno": Format(
        "INCEpTION, WebAnno TSV 3: a token a line, layers in columns",
        webanno.read,
        begins(webanno.MARK, f"it begins with {webanno.MARK}"),
    ),
    "conll04": Format(
        "CoNLL04, .corp: tokens in 9 columns, relations in 3",
        columns.corp,
        begins(columns.CORP_LINE, "its lines have the 9 columns of .corp"),
    ),
    "multihead": Format(
        "CoNLL04 for multi-head selection: #doc, then number, word, tag, labels, tails",
        columns.multihead,
        begins(columns.MULTIHEAD_LINE, "it begins with #doc"),
    ),
    "csv": Format(
        "a table with columns text, head, relation, tail, between commas, tabs or semicolons; if "
        "there, id, head_start, head_end, head_type, tail_start, tail_end, tail_type, score",
        tables.read,
        _is_table,
    ),
    "webnlg": Format(
        "WebNLG, XML: benchmark, entries of modifiedtripleset and lex",
        webnlg.read,
        begins(r"<(\?xml[^>]*>\s*<)?(!--.*?-->\s*<)?benchmark\b", "it is XML of a benchmark"),
    ),
    "spacy": Format(
        "spaCy, DocBin: doc.ents, doc.spans and doc._.triples or doc._.rel (needs spaCy)",
        docbin.read,
        _is_docbin,
    ),
}

READERS: dict[str, Reader] = {name: format.reader for name, format in FORMATS.items()}
