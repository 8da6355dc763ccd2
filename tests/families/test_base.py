"""Every family through the contract: what trainer, evaluator and extractor ask of it."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from grel.config import check, get_config
from grel.errors import ConfigError
from grel.extraction.extractor import Extractor
from grel.extraction.opening import from_about
from grel.families.base import Fitted, Trained
from grel.families.registry import FAMILIES
from grel.records import check as check_document
from grel.records import read_jsonl
from tests import tiny

# By family, the fields of a configuration that trains in seconds.
WORDS = {
    "data.buckets": (16, 40),
    "tokenizer.min_count": 1,
    "train.batch_size": 16,
    "decoding.batch_size": 8,
    "model.word_features": 8,
    "model.features": 8,
}
CHARS = {"model.char_features": 4, "model.num_filters": 4}
TINY = {
    "bert": tiny.FIELDS,
    "copymtl": {**WORDS, "model.copy_features": 4},
    "copyre": WORDS,
    "lookup": {},
    "mrmep": {**WORDS, "model.num_heads": 2},
    "ptdec": {**WORDS, **CHARS, "model.relation_features": 4},
    "worddec": {**WORDS, **CHARS, "decoding.max_target": 20},
}
# With these, and fresh parameters, whole triples are written, and not the end alone.
WHOLE = {"decoding.structure": "on", "decoding.end_bias": -9.0, "decoding.max_target": 24}
WRITES = {
    "bert": {**WHOLE, "tokenizer.relation_as": "token"},
    "worddec": {**WHOLE, "decoding.copy": "on", "model.label_head": True},
}
TRAINED = [name for name, family in FAMILIES.items() if issubclass(family, Trained)]
TEXTS = ["Ann Moore , born in Lima , lives in Port Moresby .", "Bo Li", "Oslo ! " * 30]


def test_every_family_is_here():
    assert TINY.keys() == FAMILIES.keys()


@dataclasses.dataclass
class Case:
    system: object
    params: object
    splits: dict

    @functools.cached_property
    def extractor(self):
        return Extractor(self.system, self.params)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    folder = tiny.write_corpus(tmp_path_factory.mktemp("corpus"))
    splits = {s: list(read_jsonl(folder / f"{s}.jsonl")) for s in ("train", "validation")}
    config = get_config(request.param)
    config.update_from_flattened_dict({**TINY[request.param], **WRITES.get(request.param, {})})
    check(config, num_devices=1, num_processes=1)
    family = FAMILIES[request.param]
    if issubclass(family, Fitted):
        system, params = family.fit(config, splits["train"])
    else:
        system = family.learn(config, splits)
        params = jax.device_get(system.init(jax.random.PRNGKey(0)))
    return Case(system, params, splits)


def _shapes(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def test_a_checkpoint_tells_all_of_it(case):
    about = json.loads(json.dumps(case.system.about()))
    again = from_about(about)
    assert type(again) is type(case.system)
    assert again.config == case.system.config
    assert again.identity() == case.system.identity()
    assert _shapes(again.params_like()) == _shapes(case.params)


@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_a_run_that_goes_on_keeps_what_it_learned(case):
    fewer = {split: documents[:1] for split, documents in case.splits.items()}
    again = type(case.system).learn(case.system.config, fewer, case.system.about())
    assert again.tokenizer.fingerprint == case.system.tokenizer.fingerprint


@pytest.mark.parametrize("case", TRAINED, indirect=True)
def test_examples_come_in_batches(case):
    prepared = case.system.prepare(case.splits)
    assert prepared.keys() == case.splits.keys()
    assert len({p.fingerprint for p in prepared.values()}) == 2
    train = prepared["train"]
    documents = list(train.documents())
    numbers = [n for step in range(train.batches.num_batches) for n in train.batches.examples(step)]
    assert sorted(numbers) == list(range(len(documents)))
    for batches in (train.batches, prepared["validation"].batches):
        for batch in (batches[0], batches[batches.num_batches - 1]):
            assert batch.num_tokens > 0
            num_rows = {len(leaf) for leaf in jax.tree.leaves(batch)}
            assert num_rows == {case.system.config.train.batch_size}


# Of these `tests/models/` has the same.
COVERED = ("copymtl", "copyre", "mrmep")


@pytest.mark.parametrize(
    "case",
    [pytest.param(n, marks=pytest.mark.slow) if n in COVERED else n for n in TRAINED],
    indirect=True,
)
def test_the_loss_has_gradients_and_leaves_empty_rows_out(case):
    batch = case.system.prepare(case.splits)["validation"].batches[0]

    @jax.jit
    def gradient(params, batch):
        def total(params):
            sums = case.system.loss(params, batch, jax.random.PRNGKey(1), jax.random.PRNGKey(2))
            return sums["loss"][0], sums

        return jax.grad(total, has_aux=True)(params)

    gradients, sums = gradient(case.params, batch)
    total, count = sums["loss"]
    assert np.isfinite(total)
    assert count > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    moved = [bool(np.any(leaf)) for leaf in jax.tree.leaves(gradients)]
    assert np.mean(moved) > 0.8
    # Nine documents do not fill the batch: a second one, of empty rows alone, has nothing to say.
    empty = jax.tree.map(np.zeros_like, batch).replace(row_B=batch.row_B)
    gradients, sums = gradient(case.params, empty)
    assert sums["loss"][1] == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients))


def test_texts_become_triples(case):
    extractor = case.extractor
    extractions = extractor.extractions(
        [dataclasses.replace(d, triples=()) for d in case.splits["validation"]]
    )
    assert any(extraction.document.triples for extraction in extractions)
    for extraction in extractions:
        check_document(extraction.document)
        for triple in extraction.document.triples:
            assert triple.relation in extractor.relations
            assert triple.score is None or 0 <= triple.score <= 1
    documents = extractor([*TEXTS, "", " "])
    assert [d.text for d in documents] == [*TEXTS, "", " "]
    assert not documents[-1].triples
    assert json.dumps(extractor.identity())


def test_an_extractor_that_is_balanced_anew_reads_the_same(case):
    extractor = case.extractor
    texts = [document.text for document in case.splits["validation"]]
    written = [document.triples for document in extractor(texts)]
    assert any(written)
    end_bias = case.system.config.decoding.get("end_bias", 0.0)
    assert [d.triples for d in extractor.balanced(end_bias, 0.0)(texts)] == written


def test_what_a_family_does_not_have_is_told(case):
    extractor = case.extractor
    (extraction,) = extractor.extractions(case.splits["validation"][:1])
    try:
        (trace,) = extractor.traces(extraction)
    except ConfigError as error:
        assert "leave out --trace" in str(error)  # noqa: PT017
    else:
        assert trace.keys() == {"id", "source_ids", "source_tokens", "excluded_ids", "steps"}
    with pytest.raises(ConfigError, match="unknown option 'copi'"):
        Extractor(case.system, case.params, copi="off")
    with pytest.raises(ConfigError, match=r"unknown relation|relations"):
        extractor.restricted(["no such"])
