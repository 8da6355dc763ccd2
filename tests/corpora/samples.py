"""One sentence, its triples and the types of its entities, told in every raw format.

`FILES` has for each format the name that a user would point at, and the files that are then there.
"""

import json

from grel.records import Document, Triple

TEXT = "Time : Ann Moore runs Time Inc. in Medellin"
TOKENS = TEXT.split()
TRIPLES = (
    Triple("Ann Moore", "/business/person/company", "Time Inc.", (7, 16), (22, 31)),
    Triple("Time Inc.", "located in", "Medellin", (22, 31), (35, 43)),
)
MEMBERS = [(t.head, t.relation, t.tail) for t in TRIPLES]


def _spo(head_name, relation_name, tail_name, **more):
    return [{head_name: h, relation_name: r, tail_name: t, **more} for h, r, t in MEMBERS]


SAME = {
    "copyre": {
        "sentText": TEXT,
        "articleId": "x",
        "relationMentions": _spo("em1Text", "label", "em2Text"),
        "sentId": "1",
    },
    "casrel": {"text": TEXT, "triple_list": MEMBERS},
    "spert": {
        "tokens": TOKENS,
        "entities": [
            {"type": "Org", "start": 5, "end": 7},
            {"type": "Peop", "start": 2, "end": 4},
            {"type": "Loc", "start": 8, "end": 9},
        ],
        "relations": [
            {"type": MEMBERS[0][1], "head": 1, "tail": 0},
            {"type": MEMBERS[1][1], "head": 0, "tail": 2},
        ],
    },
    "hrl": {
        "sentext": TEXT,
        "entities": ["Ann Moore"],
        "relations": [
            {"em1": h, "rtext": r, "em2": t, "tags": tags}
            for (h, r, t), tags in zip(
                MEMBERS, ([6, 0, 4, 1, 0, 5, 2, 0, 6], [0, 0, 6, 3, 0, 4, 1, 0, 5]), strict=True
            )
        ],
    },
    "tplinker": {
        "text": TEXT,
        "relation_list": [
            {
                "subject": t.head,
                "predicate": t.relation,
                "object": t.tail,
                "subj_char_span": t.head_span,
                "obj_char_span": t.tail_span,
                "subj_tok_span": [0, 1],
            }
            for t in TRIPLES
        ],
    },
    "jointer": {
        "tokens": TOKENS,
        "spo_list": MEMBERS,
        "spo_details": [
            [2, 4, "Peop", MEMBERS[0][1], 5, 7, "Org"],
            [5, 7, "Org", MEMBERS[1][1], 8, 9, "Loc"],
        ],
        "pos_tags": [],
    },
    "jsonl": {
        "id": "data-1",
        "text": TEXT,
        "triples": _spo("head", "relation", "tail"),
    },
}


_TYPES = {"Ann Moore": "Peop", "Time Inc.": "Org", "Medellin": "Loc"}
_SPANS = {t.head: t.head_span for t in TRIPLES} | {t.tail: t.tail_span for t in TRIPLES}
# Entities of the formats that have types, in the order in which the example has them.
NAMES = ["Ann Moore", "Time Inc.", "Medellin"]
ENTITIES = dict.fromkeys(
    [
        *("jointer", "doccano", "labelstudio", "prodigy", "dygie", "docred", "gliner", "tacred"),
        *("duie", "brat", "webanno", "conll04", "multihead", "csv"),
    ],
    NAMES,
)
ENTITIES["spert"] = ["Time Inc.", "Ann Moore", "Medellin"]


# Formats whose sample has an id of its own.
OWN_IDS = {"jsonl": "data-1", "doccano": "7", "labelstudio": "7", "dygie": "d", "rebel": "d"}
OWN_IDS |= {"multihead": "5"}
# Formats of which a file is one document, which its name is the id of.
WHOLE_FILES = {"brat", "webanno"}


def told(format):
    """The document that the example is."""
    default = {"csv": "data-2"} | dict.fromkeys(WHOLE_FILES, "data")
    id = (default | OWN_IDS).get(format, "data-1")
    entities = [
        {"text": name, "type": _TYPES[name], "span": list(_SPANS[name])}
        for name in ENTITIES.get(format, [])
    ]
    return Document(id, TEXT, TRIPLES, {"entities": entities} if entities else {})


TUP = " | ".join(f"{head} ; {tail} ; {relation}" for head, relation, tail in MEMBERS)
POINTER = " | ".join(
    f"{places} {relation}"
    for places, (_, relation, _) in zip(("2 3 5 6", "5 6 8 8"), MEMBERS, strict=True)
)

_TOKENS = {"Ann Moore": (2, 4), "Time Inc.": (5, 7), "Medellin": (8, 9)}
_PAIRS = [(0, MEMBERS[0][1], 1), (1, MEMBERS[1][1], 2)]

# Formats of JSON objects that say where an entity stands, or have one relation a record.
PLACED = {
    "doccano": {
        "id": 7,
        "text": TEXT,
        "entities": [
            {
                "id": 10 + number,
                "label": _TYPES[name],
                "start_offset": _SPANS[name][0],
                "end_offset": _SPANS[name][1],
            }
            for number, name in enumerate(NAMES)
        ],
        "relations": [
            {"id": number, "from_id": 10 + head, "to_id": 10 + tail, "type": label}
            for number, (head, label, tail) in enumerate(_PAIRS)
        ],
        "Comments": [],
    },
    "labelstudio": {
        "id": 7,
        "data": {"text": TEXT},
        "annotations": [
            {
                "id": 1,
                "was_cancelled": False,
                "result": [
                    {
                        "id": name,
                        "type": "labels",
                        "from_name": "label",
                        "to_name": "text",
                        "value": {
                            "start": _SPANS[name][0],
                            "end": _SPANS[name][1],
                            "text": name,
                            "labels": [_TYPES[name]],
                        },
                    }
                    for name in NAMES
                ]
                + [
                    {
                        "type": "relation",
                        "from_id": NAMES[head],
                        "to_id": NAMES[tail],
                        "direction": "right",
                        "labels": [label],
                    }
                    for head, label, tail in _PAIRS
                ],
            }
        ],
        "predictions": [],
    },
    "prodigy": {
        "text": TEXT,
        "tokens": [{"text": token, "start": 0, "end": 4, "id": 0} for token in TOKENS],
        "spans": [
            {"start": _SPANS[name][0], "end": _SPANS[name][1], "label": _TYPES[name]}
            for name in NAMES
        ],
        "relations": [
            {
                "head": _TOKENS[NAMES[head]][1] - 1,
                "child": _TOKENS[NAMES[tail]][1] - 1,
                "head_span": {"start": _SPANS[NAMES[head]][0], "end": _SPANS[NAMES[head]][1]},
                "child_span": {"start": _SPANS[NAMES[tail]][0], "end": _SPANS[NAMES[tail]][1]},
                "label": label,
            }
            for head, label, tail in _PAIRS
        ],
        "answer": "accept",
    },
    "dygie": {
        "doc_key": "d",
        "sentences": [TOKENS[:2], TOKENS[2:]],
        "ner": [[], [[_TOKENS[n][0], _TOKENS[n][1] - 1, _TYPES[n]] for n in NAMES]],
        "relations": [
            [],
            [
                [
                    *(_TOKENS[NAMES[head]][0], _TOKENS[NAMES[head]][1] - 1),
                    *(_TOKENS[NAMES[tail]][0], _TOKENS[NAMES[tail]][1] - 1),
                    *(label, 0.9),
                ]
                for head, label, tail in _PAIRS
            ],
        ],
        "clusters": [],
    },
    "docred": {
        "sents": [TOKENS[:2], TOKENS[2:]],
        "vertexSet": [
            [
                {
                    "name": name,
                    "sent_id": 1,
                    "pos": [place - 2 for place in _TOKENS[name]],
                    "type": _TYPES[name],
                }
            ]
            for name in NAMES
        ],
        "labels": [{"h": h, "t": t, "r": label, "evidence": [1]} for h, label, t in _PAIRS],
    },
    "gliner": {
        "tokenized_text": TOKENS,
        "ner": [[_TOKENS[n][0], _TOKENS[n][1] - 1, _TYPES[n], n] for n in NAMES],
        "relations": [[head, tail, label] for head, label, tail in _PAIRS],
    },
    "duie": {
        "text": TEXT,
        "spo_list": [
            {
                "subject": NAMES[head],
                "predicate": label,
                "object": {"@value": NAMES[tail]},
                "subject_type": _TYPES[NAMES[head]],
                "object_type": {"@value": _TYPES[NAMES[tail]]},
            }
            for head, label, tail in _PAIRS
        ],
    },
    "rebel": {
        "docid": "d",
        "text": TEXT,
        "triples": [
            {
                "subject": {"surfaceform": NAMES[head], "boundaries": _SPANS[NAMES[head]]},
                "predicate": {"surfaceform": label, "boundaries": None},
                "object": {"surfaceform": NAMES[tail], "boundaries": None},
            }
            for head, label, tail in _PAIRS
        ],
    },
}
ROWS = {
    "tacred": [
        {
            "id": f"{number}",
            "token": TOKENS,
            "relation": label,
            "subj_start": _TOKENS[NAMES[head]][0],
            "subj_end": _TOKENS[NAMES[head]][1] - 1,
            "subj_type": _TYPES[NAMES[head]],
            "obj_start": _TOKENS[NAMES[tail]][0],
            "obj_end": _TOKENS[NAMES[tail]][1] - 1,
            "obj_type": _TYPES[NAMES[tail]],
        }
        for number, (head, label, tail) in enumerate(_PAIRS)
    ],
    "opennre": [
        {
            "text": TEXT,
            "relation": label,
            "h": {"name": NAMES[head], "id": "Q1", "pos": _SPANS[NAMES[head]]},
            "t": {"name": NAMES[tail], "id": "Q2", "pos": _SPANS[NAMES[tail]]},
        }
        for head, label, tail in _PAIRS
    ],
}
FEWREL = {
    label: [
        {
            "tokens": TOKENS,
            "h": [NAMES[head], "Q1", [list(range(*_TOKENS[NAMES[head]]))]],
            "t": [NAMES[tail], "Q2", [list(range(*_TOKENS[NAMES[tail]]))]],
        }
    ]
    for head, label, tail in _PAIRS
}


def _lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


BRAT = """\
T1\tPeop 7 16\tAnn Moore
T2\tOrg 22 31\tTime Inc.
R1\t/business/person/company Arg1:T1 Arg2:T2
T3\tLoc 35 43\tMedellin
R2\tlocated_in Arg1:T2 Arg2:T3\t
""".replace("located_in", "located%20in")
_ANNOTATED = {2: "Peop[1]", 3: "Peop[1]", 5: "Org[2]", 6: "Org[2]", 8: "Loc"}
_RELATED = {
    5: "/business/person/company\t1-3[1_2]",
    8: "located in\t1-6[2_0]",
}
WEBANNO = (
    "#FORMAT=WebAnno TSV 3.3\n#T_SP=webanno.custom.Entity|value\n"
    "#T_RL=webanno.custom.Relation|label|BT_webanno.custom.Entity\n\n\n"
    f"#Text={TEXT}\n"
) + "".join(
    f"1-{n + 1}\t{start}-{start + len(token)}\t{token}\t"
    f"{_ANNOTATED.get(n, '_')}\t{_RELATED.get(n, '_' + chr(9) + '_')}\t\n"
    for n, token in enumerate(TOKENS)
    for start in [len(" ".join(TOKENS[:n])) + (n > 0)]
)
_TYPE_OF_TOKEN = {"Ann": "Peop", "Moore": "Peop", "Inc.": "Org", "Medellin": "Loc"}
CORP = """\
9\tO\t0\tO\tNN\tTime\tO\tO\tO
9\tO\t1\tO\t:\t:\tO\tO\tO
9\tPeop\t2\tO\tNNP/NNP\tAnn/Moore\tO\tO\tO
9\tO\t3\tO\tVBZ\truns\tO\tO\tO
9\tOrg\t4\tO\tNNP/NNP\tTime/Inc.\tO\tO\tO
9\tO\t5\tO\tIN\tin\tO\tO\tO
9\tLoc\t6\tO\tNNP\tMedellin\tO\tO\tO

2\t4\t/business/person/company
4\t6\tlocated in

"""
_BIO = ["O", "O", "B-Peop", "I-Peop", "O", "B-Org", "I-Org", "O", "B-Loc"]
_SELECTED = {3: f"['{MEMBERS[0][1]}']\t[6]", 6: "['located in']\t[8]"}
MULTIHEAD = "#doc 5\n" + "".join(
    f"{n}\t{token}\t{_BIO[n]}\t" + _SELECTED.get(n, f"['N']\t[{n}]") + "\n"
    for n, token in enumerate(TOKENS)
)
TABLE = "text,head,relation,tail,head_start,head_end,tail_start,tail_end,head_type,tail_type\n" + (
    "".join(
        f"{TEXT},{t.head},{t.relation},{t.tail},{t.head_span[0]},{t.head_span[1]},"
        f"{t.tail_span[0]},{t.tail_span[1]},{_TYPES[t.head]},{_TYPES[t.tail]}\n"
        for t in TRIPLES
    )
)
WEBNLG = f"""\
<?xml version="1.0" encoding="utf-8"?>
<benchmark><entries>
<entry category="Company" eid="1" size="2">
<originaltripleset><otriple>x | y | z</otriple></originaltripleset>
<modifiedtripleset>
<mtriple>Ann_Moore | /business/person/company | Time_Inc.</mtriple>
<mtriple>Time_Inc. | located in | "Medellin"</mtriple>
</modifiedtripleset><lex comment="good" lid="1">{TEXT}</lex>
</entry></entries></benchmark>
"""

FILES = {name: ("data.json", {"data.json": json.dumps(record)}) for name, record in SAME.items()}
FILES |= {name: ("data.json", {"data.json": _lines(record)}) for name, record in PLACED.items()}
FILES |= {name: ("data.json", {"data.json": _lines(*rows)}) for name, rows in ROWS.items()}
FILES |= {
    "brat": ("data.ann", {"data.txt": TEXT, "data.ann": BRAT}),
    "webanno": ("data.tsv", {"data.tsv": WEBANNO}),
    "conll04": ("data.corp", {"data.corp": CORP}),
    "multihead": ("data.txt", {"data.txt": MULTIHEAD}),
    "csv": ("data.csv", {"data.csv": TABLE}),
    "webnlg": ("data.xml", {"data.xml": WEBNLG}),
    "fewrel": ("data.json", {"data.json": json.dumps(FEWREL)}),
    "ptrnet": ("data", {"data.sent": TEXT, "data.tup": TUP, "data.pointer": POINTER}),
}


def write(folder, format):
    """Writes the files of a format, and gives the path to point at."""
    name, files = FILES[format]
    for file, content in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name
