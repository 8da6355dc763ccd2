"""Exported programs: run without grel they write what the extractor writes."""

import dataclasses
import importlib.util
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from grel.decoding.driver import Written
from grel.exports import stablehlo
from grel.exports.schema import ExportError, write_schema
from grel.extraction.extractor import Extractor
from grel.families import reading
from grel.families.bert import System
from grel.records import Document
from grel.text.wordpiece import SPECIAL, Wordpiece
from tests import tiny
from tests.fakes import BORN, LIVES, PIECES

pytest.importorskip("flatbuffers", reason="needs flatbuffers, which launch/setup.sh --tests does")

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "docs" / "run_exported.py"
PAGE = (ROOT / "docs" / "EXPORT.md").read_text()
TEXTS = [
    "Ann Moore in New York",
    "",
    "the Moores , born in Medellín , 東 and 京 .",
    "Ann in York . " * 9,  # longer than the last bucket
]


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("run_exported", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _wordpiece(form="htr", relation_as="words", lowercase=True):
    slots = (f"[unused{n}]" for n in range(6))
    vocabulary = [*SPECIAL, *slots, *PIECES.split(), "##n", "I", "i", "r", "##r", "a", "##a"]
    return Wordpiece(
        vocabulary,
        [LIVES, BORN],
        lowercase=lowercase,
        relation_as=relation_as,
        triple_form=form,
        num_unknown=3,
    )


# Every value of every option, and all heads and objectives with and without structure.
RUNS = {
    "as the paper": ("htr", "words", "vocabulary", "mlm", {}),
    "read off the text": (
        *("rht", "token", "pointer", "causal"),
        {"structure": "on", "label": "joint", "end_bias": -20.0},
    ),
    "a vocabulary inside the grammar": (
        *("rht", "words", "vocabulary", "causal"),
        {
            **{"structure": "on", "scores": "renormalized", "end_bias": -100.0},
            **{"num_beams": 2, "num_best": 2},
        },
    ),
    "a pointer without": ("htr", "token", "pointer", "mlm", {"end_bias": -20.0, "draft": 2}),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_is_extracted_is_what_predict_extracts(name, runner, tmp_path):
    form, relation_as, head, objective, decoding = RUNS[name]
    wordpiece = _wordpiece(form, relation_as)
    config = tiny.config(
        tmp_path / "data",
        **{
            "data.triple_form": form,
            "tokenizer.relation_as": relation_as,
            "model.head": head,
            "model.objective": objective,
            "model.relative_buckets": 8 if head == "pointer" else 0,
            "model.init_stddev": 0.5,
            "decoding.max_target": 19,
            **{f"decoding.{field}": value for field, value in decoding.items()},
        },
    )
    config.data.buckets = (28,)
    system = System.build(config, wordpiece)
    params = jax.tree.map(np.asarray, system.init(jax.random.PRNGKey(1)))
    folder = tmp_path / "exported"
    folder.mkdir()
    lines = []
    longest = system.decoder().buckets[-1]
    stablehlo.write(folder, system, params, buckets=[longest], batch_size=8, tell=lines.append)
    assert [line.partition(":")[0] for line in lines] == [f"decode_{longest}.jaxexport"]

    config.data.buckets = (longest,)
    extractor = Extractor(dataclasses.replace(system, config=config), params, windows=False)
    expected = extractor.extractions([Document(str(n), text) for n, text in enumerate(TEXTS)])
    model = runner.Model(folder)
    outputs = []
    read = model.triples
    model.triples = lambda *args: outputs.append(args[-1]) or read(*args)
    found = list(model(TEXTS))
    for extraction, written, triples in zip(expected, outputs, found, strict=True):
        _assert_alike(extraction.document.triples, triples)
        for part in extraction.parts:
            length = len(part.output.ids)
            np.testing.assert_array_equal(written["ids"][:length], part.output.ids)
            np.testing.assert_array_equal(written["positions"][:length], part.output.positions)
            np.testing.assert_array_equal(written["labels"][:length], part.output.labels)
            np.testing.assert_allclose(
                written["log_probs"][:length], part.output.log_probs, atol=1e-4
            )
    assert sum(len(part.output.ids) for one in expected for part in one.parts) > 10
    assert all(f"`{name}`" in PAGE for name in [*model.schema, *outputs[0]])
    least = max((triple[3] for triples in found for triple in triples), default=0.0)
    model.schema["min_score"] = least
    for triples, likely in zip(found, model(TEXTS), strict=True):
        assert likely == [triple for triple in triples if triple[3] >= least]
    assert any(found) == (system.config.decoding.structure == "on")


def _assert_alike(triples, found):
    assert [t[:3] for t in found] == [(t.head, t.relation, t.tail) for t in triples]
    np.testing.assert_allclose([t[3] for t in found], [t.score for t in triples], rtol=1e-3)


@pytest.fixture(scope="module")
def models(runner, tmp_path_factory):
    """What the runner makes of a schema alone, of every form and case, with its tokenizer."""
    made = []
    forms = itertools.product(("htr", "rht"), ("words", "token"), (True, False))
    for number, (form, relation_as, lowercase) in enumerate(forms):
        folder = tmp_path_factory.mktemp("schema")
        wordpiece = _wordpiece(form, relation_as, lowercase)
        head = "pointer" if number % 3 else "vocabulary"
        config = tiny.config(folder, **{"model.head": head, "data.triple_form": form})
        limits = {"max_target": 100, "batch_size": 8, "boundary_ids": None, "min_score": 0.0}
        write_schema(folder, System.build(config, wordpiece), programs={}, **limits)
        safetensors.numpy.save_file({}, folder / "params.safetensors")
        made.append((wordpiece, runner.Model(folder)))
    return made


WORDS = st.sampled_from(
    ["Ann", "ann", "ANN", "anns", "I", "İr", "ír", "[SEP]", "東", "x", "\u200d"]
)
ANY_TEXT = st.lists(st.one_of(WORDS, st.text(max_size=4)), max_size=9).map(" ".join)


@given(text=ANY_TEXT)
def test_any_text_has_the_wordpieces_of_grel(models, text):
    for wordpiece, model in models:
        ids, offsets = model.encode(text)
        assert (ids, offsets) == wordpiece.encode(text)[:2]


@given(text=ANY_TEXT, data=st.data())
def test_any_output_says_the_triples_that_grel_reads(models, text, data):
    wordpiece, model = data.draw(st.sampled_from(models))
    source = wordpiece.encode(text)
    marks = [[wordpiece.part_end_id], [wordpiece.triple_end_id]]
    names = [source.ids[i : i + n] for i in range(len(source.ids)) for n in (1, 2)]
    pieces = st.sampled_from([*marks, *map(list, wordpiece.relation_ids.values()), *names])
    whole = st.tuples(
        *[st.sampled_from(names or [[0]])] * 2, st.sampled_from(_relations(wordpiece))
    )
    triple = whole.map(lambda parts: _write(wordpiece, parts))
    chunks = data.draw(st.lists(st.one_of(triple, pieces), max_size=8))
    ids = [token for chunk in chunks for token in chunk]
    place = st.integers(-1, max(0, len(source.ids) - 1))
    _assert_read_alike(wordpiece, model, text, ids, [data.draw(place) for _ in ids])


def test_names_that_differ_in_what_no_wordpiece_holds(models):
    """Two unknown words that only a joiner tells apart: which was meant would be a guess."""
    text = "Ann [SEP] Ann \u200d [SEP]"
    for wordpiece, model in models:
        ids = wordpiece.encode(text).ids
        parts = ids[:1], ids[:2], _relations(wordpiece)[0]
        written = _write(wordpiece, parts)
        for position in (-1, 0, 1, len(ids) - 1):
            _assert_read_alike(wordpiece, model, text, written, [position] * len(written))


def _assert_read_alike(wordpiece, model, text, ids, positions):
    """An output of these ids and positions says the same to grel and to the runner."""
    written = Written(
        ids=np.array(ids, np.int32),
        labels=np.zeros(len(ids), np.int32),
        log_probs=np.full(len(ids), -0.25, np.float32),
        positions=np.array(positions, np.int32),
        attended=np.full(len(ids), -1, np.int32),
        ended=True,
        num_cut=0,
        pointed=model.schema["head"] == "pointer",
    )
    source = wordpiece.encode(text)
    expected, _ = reading.read_wordpieces(text, source, written, wordpiece)
    given_to_runner = {
        "ids": written.ids,
        "log_probs": written.log_probs,
        "positions": written.positions,
        "length": len(ids),
    }
    _assert_alike(expected, model.triples(text, *model.encode(text), given_to_runner))


def _relations(wordpiece):
    return [list(ids) for ids in wordpiece.relation_ids.values()]


def _write(wordpiece, parts):
    """One triple of (head, tail, relation) in ids, ended as another one would follow."""
    head, tail, relation = parts
    semicolon, bar = [wordpiece.part_end_id], [wordpiece.triple_end_id]
    if wordpiece.form.openers:
        return [*relation, *head, *semicolon, *tail]
    if wordpiece.form.relation_first:
        return [*relation, *semicolon, *head, *semicolon, *tail, *bar]
    return [*head, *semicolon, *tail, *semicolon, *relation, *bar]


def test_the_runner_imports_nothing_of_grel():
    assert "import grel" not in RUNNER.read_text()
    assert "from grel" not in RUNNER.read_text()


@pytest.mark.parametrize(
    ("given_sizes", "message"),
    [
        ({"buckets": [40, 57]}, "a bucket of 57 cannot be: they go from 3 to 56"),
        ({"buckets": [2]}, "a bucket of 2 cannot be"),
        ({"buckets": []}, "there must be a bucket"),
        ({"batch_size": 0}, "a batch of one source or more"),
    ],
)
def test_sizes_that_cannot_be(given_sizes, message, tmp_path):
    system = System.build(tiny.config(tmp_path), _wordpiece())
    with pytest.raises(ExportError, match=message):
        stablehlo.write(tmp_path, system, {}, **given_sizes)
