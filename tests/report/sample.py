"""A small run folder with several kinds of errors, a trace and a training log."""

import json

HOSTILE = (
    "</script><script>document.title='stolen'</script><!-- "
    "<img src=x onerror=alert(1)> \u2028 &amp; ]]>"
)
ANN = "Ann Moore , chairman of Time Inc. , lives in New York"


def triple(text, head, relation, tail, **extra):
    """A triple as a record has it, with the first places of its entities."""
    spans = {
        f"{role}_span": [text.find(name), text.find(name) + len(name)]
        for role, name in (("head", head), ("tail", tail))
        if name in text
    }
    return {"head": head, "relation": relation, "tail": tail, **spans, **extra}


WORKS = triple(ANN, "Ann Moore", "company", "Time Inc.")
LIVES = triple(ANN, "Ann Moore", "lives_in", "New York")
GOLD = {
    "right": (ANN, [WORKS, LIVES]),
    "relation": (ANN, [WORKS]),
    "disorder": (ANN, [WORKS]),
    "hostile": (HOSTILE, [triple(HOSTILE, "alert(1)", "<b>bold</b>", "</script>")]),
}
PREDICTED = {
    "right": [{**WORKS, "score": 0.9}, {**LIVES, "score": 0.8}],
    "relation": [{**WORKS, "relation": "lives_in", "score": 0.4}],
    "disorder": [triple(ANN, "Moore Ann", "company", "Time Inc.", score=0.3)],
    "hostile": [triple(HOSTILE, "alert(1)", "<b>bold</b>", "</script>", score=0.2)],
}
TRACE = {
    "id": "right",
    "source_ids": [7, 8, 9, 8],
    "source_tokens": ["Ann", "Time", "Inc.", "Time"],
    "excluded_ids": [1],
    "steps": [
        {"label": "B", "match_length": 0, "allowed": [7, 8, 9], "token_id": 8, "token": "Time"},
        {"label": "I", "match_length": 1, "allowed": [9], "token_id": 9, "token": "Inc."},
        {"label": "O", "match_length": 2, "allowed": "all", "token_id": 1, "token": ";"},
        {"label": "O", "match_length": 0, "allowed": [1, 55], "token_id": 1, "token": ";"},
        {"label": "I", "match_length": 0, "allowed": "all", "token_id": 5, "token": "<i>"},
    ],
}
LOG = [
    {"split": "train", "step": 1, "loss": 2.0},
    {"split": "train", "step": 2, "loss": 1.0},
    {"split": "validation", "step": 2, "loss": 1.5, "precision": 0.5, "recall": 0.4, "f1": 0.44},
]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_run(workdir, predicted=(), copies=0):
    """Writes a run folder; `predicted` replaces predictions, `copies` adds sentences all right."""
    folder = workdir / "eval" / "test"
    folder.mkdir(parents=True)
    gold = GOLD | {f"copy {n}": (ANN, [WORKS]) for n in range(copies)}
    found = PREDICTED | {f"copy {n}": [WORKS] for n in range(copies)} | dict(predicted)
    write_lines(
        folder / "gold.jsonl",
        [{"id": id, "text": text, "triples": triples} for id, (text, triples) in gold.items()],
    )
    write_lines(
        folder / "predictions.jsonl",
        [{"id": id, "text": gold[id][0], "triples": triples} for id, triples in found.items()],
    )
    metrics = {"split": "test", "protocol": "exact", "step": 7, "decoding": {"malformed": 3}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_lines(folder / "trace.jsonl", [TRACE])
    write_lines(workdir / "metrics.jsonl", LOG)
    return workdir
