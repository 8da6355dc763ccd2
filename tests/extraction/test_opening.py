"""Opening runs: those of earlier versions give what they gave then."""

import json
from pathlib import Path

import pytest

import grel
from grel import checkpoint
from grel.extraction.opening import load

OLD = Path(__file__).parent / "old_runs"


@pytest.mark.parametrize("name", ["bert", "lookup"])
def test_a_run_of_an_earlier_version_gives_what_it_gave(name, capsys):
    assert checkpoint.main([f"--verify={OLD / name}"]) == 0
    system, _, about = load(OLD / name, "best")
    assert system.config.model.family == name
    assert about["format"] == 2
    extractor = grel.Extractor.from_checkpoint(OLD / name, compile_cache=None)
    texts = (OLD / "texts").read_text().splitlines()
    then = [json.loads(line) for line in (OLD / name / "predictions.jsonl").open()]
    assert any(record["triples"] for record in then)
    for document, record in zip(extractor(texts), then, strict=True):
        assert document.text == record["text"]
        for triple, known in zip(document.triples, record["triples"], strict=True):
            assert triple.key == (known["head"], known["relation"], known["tail"])
            assert triple.head_span == tuple(known["head_span"])
            assert triple.tail_span == tuple(known["tail_span"])
            assert triple.score == pytest.approx(known["score"], rel=1e-5)
