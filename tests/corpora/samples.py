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
ENTITIES = {
    "spert": ["Time Inc.", "Ann Moore", "Medellin"],
    "jointer": ["Ann Moore", "Time Inc.", "Medellin"],
}


def told(format, id="data-1"):
    """The document that the example is."""
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

FILES = {name: ("data.json", {"data.json": json.dumps(record)}) for name, record in SAME.items()}
FILES |= {
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


# Formats whose sample has an id of its own.
OWN_IDS = {"jsonl"}
