"""Models of real runs: what they can do, and that batches give what the extractor gives."""

from pathlib import Path

import jax
import pytest

from grel.extraction import opening
from grel.extraction.extractor import Extractor
from grel.records import Document
from grel.serving.model import Kind, Model

OLD = Path(__file__).parents[1] / "extraction" / "old_runs"
TEXTS = [text for text in (OLD / "texts").read_text().splitlines() if text.strip()]


def _extractor(name, **options):
    system, params, _ = opening.load(OLD / name, "best")
    return Extractor(system, params, **options)


@pytest.fixture(scope="module")
def extractor():
    return _extractor("bert")


@pytest.fixture(scope="module")
def model(extractor):
    model = Model(extractor, "bert")
    model.warm_up(1)
    return model


def test_it_finds_what_the_extractor_finds(model, extractor):
    documents = [Document(str(n), text) for n, text in enumerate(TEXTS)]
    found = model.find(documents, Kind())
    assert [one.extraction.document for one in found] == extractor.documents(documents)[0]
    assert any(one.extraction.document.triples for one in found)
    assert [one.traces for one in found] == [[]] * len(found)


def test_it_writes_some_relations_only_and_tells_how(model):
    assert model.cannot_restrict is None
    assert model.can_trace
    for relation in model.relations:
        (found,) = model.find([Document("0", TEXTS[0])], Kind((relation,), traced=True))
        assert {t.relation for t in found.extraction.document.triples} == {relation}
        (trace,) = found.traces
        assert trace["source_tokens"]
        assert trace["steps"]


def test_no_text_waits_for_a_program_once_it_is_warmed_up(model, extractor, caplog):
    # The decoder reads more than the buckets of training go up to.
    longest = extractor.max_source
    assert longest > max(extractor.system.config.data.buckets)
    with jax.log_compiles():
        for length in (1, 38, 39, longest, longest + 1):
            model.find([Document("", " ".join([","] * length))], Kind())
    assert not caplog.records


def test_what_it_cannot_do_is_known_before_it_is_asked():
    model = Model(_extractor("bert", structure="off"), "bert")
    assert "structure='on'" in model.cannot_restrict
    lookup = Model(_extractor("lookup"), "lookup")
    lookup.warm_up(2)
    assert lookup.cannot_restrict is None
    assert not lookup.can_trace
