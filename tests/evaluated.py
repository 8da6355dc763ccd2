"""Run folders as training and evaluation leave them, for the tests of what reads them."""

import json
from pathlib import Path

from grel.records import Document, Triple, write_jsonl
from grel.scoring.breakdown import by_seen
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS
from grel.scoring.seen import SeenTriples

TEXTS = {
    "1": "Ann Moore , chairman of Time Inc. , lives in New York .",
    "2": "Bob Ray lives in Oslo , Norway .",
    "3": "Nothing is said here .",
}
GOLD = {
    "1": [("Ann Moore", "company", "Time Inc."), ("Ann Moore", "lives_in", "New York")],
    "2": [("Bob Ray", "lives_in", "Oslo"), ("Oslo", "in", "Norway"), ("Norway", "has", "Oslo")],
    "3": [],
}
# One right, one cut short; one right of three; one invented.
WEAK = {
    "1": [("Ann Moore", "company", "Time Inc.", 0.9), ("Ann Moore", "lives_in", "York", 0.3)],
    "2": [("Oslo", "in", "Norway", 0.8)],
    "3": [("Nothing", "in", "here", 0.2)],
}
# All but one of document 2.
GOOD = {
    "1": [("Ann Moore", "company", "Time Inc.", 0.9), ("Ann Moore", "lives_in", "New York", 0.7)],
    "2": [("Bob Ray", "lives_in", "Oslo", 0.6), ("Oslo", "in", "Norway", 0.8)],
    "3": [],
}


def documents(triples_by_id) -> list[Document]:
    return [
        Document(
            id,
            TEXTS[id],
            tuple(Triple(*t[:3], score=t[3] if len(t) > 3 else None) for t in triples),
        )
        for id, triples in triples_by_id.items()
    ]


def write_evaluation(
    workdir: Path,
    name="test",
    predictions=GOOD,
    gold=GOLD,
    split="test",
    copy="on",
    data=None,
    trained=None,
    seed=None,
    model=None,
) -> Path:
    """Writes `workdir/eval/name` and returns it.

    `data` and `model` are fields of `config.data` and `config.model`; `trained` the triples that
    training is known to have had.
    """
    folder = workdir / "eval" / name
    folder.mkdir(parents=True)
    write_jsonl(folder / "gold.jsonl", documents(gold))
    write_jsonl(folder / "predictions.jsonl", documents(predictions))
    config = {
        "data": {"name": "nyt24", "variant": "reduced", "manual_dir": "", **(data or {})},
        "decoding": {"copy": copy, "max_target": 128},
        "model": {"family": "bert", "init_from": "", **(model or {})},
    }
    if seed is not None:
        config["seed"] = seed
    metrics = {"split": split, "step": 40, "protocol": "exact", "f1": 0.5, "config": config}
    if trained is not None:
        judged = judge(documents(gold), documents(predictions), PROTOCOLS["exact"])
        classes = by_seen(judged, SeenTriples.of(documents(trained)))
        metrics |= {name: counts.metrics() for name, counts in classes.items()}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder
