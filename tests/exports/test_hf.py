"""Transformers folders: PyTorch gives the same logits, and grel reads back the same parameters."""

import dataclasses
import importlib.util
import itertools
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from grel.exports import hf
from grel.exports.schema import ExportError, exportable
from grel.families.bert import System
from grel.models import bert
from grel.pretrained import port
from grel.text.known import Memory
from grel.text.wordpiece import read_vocabulary
from tests import tiny
from tests.fakes import make_wordpiece

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "EXPORT.md").read_text()
KEY = jax.random.PRNGKey(0)
TORCH = "PyTorch is not installed, which launch/setup.sh --torch does"
# UniLM's table of segments with BERT's epsilon: what UniLM has otherwise.
FIELDS = {
    "vocabulary": {"model.segments": "unilm", "model.objective": "mlm"},
    "pointer": {"model.num_layers": 2, "model.layer_norm_eps": 1e-6},
}


class Exported:
    """A run of a model whose numbers all say something, and its folder."""

    def __init__(self, folder, head):
        config = tiny.config(folder / "data", **{"model.head": head, **FIELDS[head]})
        self.system = System.build(config, make_wordpiece())
        leaves, tree = jax.tree.flatten(self.system.params_like())
        rng = np.random.default_rng(0)
        draws = [rng.normal(0, 0.5, leaf.shape).astype(np.float32) for leaf in leaves]
        self.params = jax.tree.unflatten(tree, draws)
        self.folder = folder / "exported"
        self.folder.mkdir()
        hf.write(self.folder, self.system, self.params)


@pytest.fixture(scope="module", params=FIELDS)
def exported(request, tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("hf"), request.param)


def test_a_run_that_attends_by_distances_is_refused(exported, tmp_path):
    model = dataclasses.replace(exported.system.model, relative_buckets=32)
    system = dataclasses.replace(exported.system, model=model)
    with pytest.raises(ExportError, match=r"attends by distances .*; use --to=stablehlo"):
        hf.write(tmp_path, system, exported.params)
    assert not list(tmp_path.iterdir())


def test_a_run_with_a_memory_is_refused(exported):
    memory = Memory({}, exported.system.wordpiece.relations)
    told = System.build(exported.system.config, exported.system.wordpiece, memory)
    with pytest.raises(ExportError, match=r"has a memory, .* trained with config\.model"):
        exportable(told)
    assert exportable(exported.system) is exported.system


def _example_code():
    spec = importlib.util.spec_from_file_location("heads", ROOT / "docs" / "pytorch_heads.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _packed():
    """Pairs of several lengths, padded: tokens_BL, source_length_B, length_B."""
    source_length, length = np.array([7, 4, 9]), np.array([12, 7, 9])
    tokens = np.random.default_rng(1).integers(7, 23, (3, 12))
    tokens[np.arange(12)[None] >= length[:, None]] = 0
    tokens[:, 0] = 2
    tokens[np.arange(3), source_length - 1] = tokens[np.arange(3), length - 1] = 3
    return tokens, source_length, length


def test_logits_in_pytorch_are_those_of_grel(exported):
    torch = pytest.importorskip("torch", reason=TORCH)
    transformers = pytest.importorskip("transformers")
    heads = _example_code()
    tokens, source_length, length = _packed()
    mask = bert.seq2seq_mask(source_length, length, 12)
    given = [torch.tensor(x) for x in (tokens, source_length, length)]
    np.testing.assert_array_equal(heads.seq2seq_mask(*given[1:], 12), mask)

    model = bert.Model(exported.system.model)
    expected = jax.jit(model.apply)({"params": exported.params}, tokens, source_length, length)
    loaded = heads.load(exported.folder)
    found = heads.logits(loaded, *given)
    for theirs, ours in zip(found, expected, strict=True):
        ours = np.asarray(ours)
        for row, end in enumerate(length):  # what padding gives is never looked at
            np.testing.assert_allclose(theirs[row, :end], ours[row, :end], atol=1e-4, rtol=1e-4)
    assert np.abs(expected[1]).max() > 1, "logits that say something"
    if exported.system.model.head == "vocabulary":
        whole = transformers.BertForMaskedLM.from_pretrained(exported.folder).eval()
        segments = torch.where(torch.arange(12)[None] < given[1][:, None], 4, 5)
        added = torch.tensor(np.where(np.asarray(mask), 0, -1e9)[:, None], dtype=torch.float32)
        with torch.no_grad():
            logits = whole(given[0], attention_mask=added, token_type_ids=segments).logits
        for row, end in enumerate(length):
            np.testing.assert_allclose(
                logits[row, :end], expected[0][row, :end], atol=1e-4, rtol=1e-4
            )


def test_the_example_of_the_page_runs(exported, monkeypatch):
    pytest.importorskip("torch", reason=TORCH)
    monkeypatch.syspath_prepend(ROOT / "docs")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "exported/demo" in code
    scope = {}
    exec(code.replace("exported/demo", str(exported.folder)), scope)
    size = scope["tokens"].shape[1]
    model = exported.system.model
    points = size + len(model.writable_ids)
    num_tokens = {"vocabulary": model.vocab_size, "pointer": points}[model.head]
    assert scope["token_logits"].shape == (1, size, num_tokens)
    assert scope["bio_logits"].shape == (1, size, 3)


def test_a_run_that_starts_from_it_has_the_same_parameters(exported):
    system = exported.system
    with system.config.unlocked():
        system.config.model.init_from = str(exported.folder)
    params, report = system.pretrained(jax.random.PRNGKey(7))
    jax.tree.map(np.testing.assert_array_equal, params, exported.params)
    assert {entry.status for entry in report.entries} == {"loaded"}
    tensors = safetensors.numpy.load_file(exported.folder / "model.safetensors")
    assert sorted(entry.tensor for entry in report.entries) == sorted(tensors)


def test_a_model_with_another_head_takes_what_it_has(exported, tmp_path):
    (other,) = FIELDS.keys() - {exported.system.model.head}
    config = exported.system.config.copy_and_resolve_references()
    config.model.head = other
    model = System.build(config, exported.system.wordpiece).model
    params, report = port.load(exported.folder, model, exported.system.wordpiece.vocabulary, KEY)
    jax.tree.map(np.testing.assert_array_equal, params["bio"], exported.params["bio"])
    odd = [entry for entry in report.entries if entry.status != "loaded"]
    assert {entry.status for entry in odd} == {"fresh" if other == "pointer" else "unused"}
    assert {(entry.tensor or entry.parameter).split("_")[0] for entry in odd} <= {
        "grel.pointer",
        "pointer",
    }
    assert len(odd) == 4


def test_the_tokenizer_is_that_of_the_run(exported):
    transformers = pytest.importorskip("transformers")
    wordpiece = exported.system.wordpiece
    assert read_vocabulary(exported.folder / "vocab.txt") == list(wordpiece.vocabulary)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported.folder)
    text = "Ann Moores lives in New  York , the town"
    framed = [wordpiece.cls_id, *wordpiece.encode(text).ids, wordpiece.sep_id]
    assert tokenizer(text).input_ids == framed


def test_the_schema_says_how_ids_are_read(exported):
    schema = json.loads((exported.folder / "grel.json").read_text())
    wordpiece, model = exported.system.wordpiece, exported.system.model
    assert schema["relations"] == {r: list(ids) for r, ids in wordpiece.relation_ids.items()}
    assert schema["labels"] == ["O", "B", "I"]
    assert schema["writable_ids"] == list(model.writable_ids)
    reserved = (schema["part_end_id"], schema["triple_end_id"])
    assert reserved == wordpiece.reserved_ids[:2]
    ids = itertools.chain(schema["special_ids"].values(), schema["unknown_ids"], reserved)
    assert all(f"| `{name}`" in PAGE or f", `{name}`" in PAGE for name in schema)
    assert len(list(ids)) == len(set(wordpiece.excluded_ids)) + len(wordpiece.unknown_ids)


def test_an_export_of_another_shape_is_refused_with_the_field(exported):
    model = exported.system.model
    changed = bert.dataclasses.replace(model, layer_norm_eps=1e-5)
    with pytest.raises(port.PretrainedError, match=r"set config\.model\.layer_norm_eps"):
        port.load(exported.folder, changed, exported.system.wordpiece.vocabulary, KEY)
