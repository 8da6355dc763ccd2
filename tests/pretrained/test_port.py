"""Pretrained encoders: parity with an independent forward pass, every variant of key, errors."""

import contextlib
import dataclasses
import json
import re

import jax
import numpy as np
import pytest
import safetensors.numpy

from grel.families.bert import System
from grel.models import bert
from grel.pretrained import port
from grel.pretrained.port import PretrainedError
from grel.runs import layout
from grel.runs.checkpoint import Checkpoints
from grel.text.known import Memory
from grel.text.wordpiece import SPECIAL
from tests import tiny, unilm
from tests.fakes import make_wordpiece

UNILM = bert.Config(
    vocab_size=40,
    num_layers=3,
    hidden_size=12,
    num_heads=3,
    ff_size=20,
    max_positions=24,
    mask_id=4,
    sep_id=3,
    num_segments=6,
    source_segment=4,
    target_segment=5,
    layer_norm_eps=1e-5,
)
BERT = dataclasses.replace(
    UNILM, num_segments=2, source_segment=0, target_segment=1, layer_norm_eps=1e-12
)
# That of BERT in a configuration of Transformers.
THEIR_SHAPE = {
    "vocab_size": 40,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "initializer_range": 0.4,
}
KEY = jax.random.PRNGKey(0)
HEAD = unilm.HEAD


def _vocabulary(size):
    return [*SPECIAL, "[unused0]", "[unused1]", *(f"t{n}" for n in range(7, size))]


VOCABULARY = _vocabulary(40)


def _checkpoint(config=UNILM):
    return unilm.random_checkpoint(config)


def _save(folder, tensors):
    path = folder / "model.safetensors"
    safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
    return path


def _load(folder, tensors, config=UNILM):
    return port.load(_save(folder, tensors), config, _vocabulary(config.vocab_size), KEY)


def _by_status(report):
    found = {}
    for entry in report.entries:
        found.setdefault(entry.status, []).append(entry)
    return found


def _assert_equal(params, expected):
    jax.tree.map(np.testing.assert_array_equal, params, expected)


SOURCE = [2, 17, 9, 30, 11, 3]
TARGET = [9, 30, 8, 22, 3]


def _logits(config, params, source=SOURCE, target=TARGET):
    tokens_BL = np.zeros((1, len(source) + len(target) + 2), np.int32)
    tokens_BL[0, : len(source) + len(target)] = source + target
    lengths = np.array([len(source)]), np.array([len(source) + len(target)])
    logits_BLV, _ = jax.jit(bert.Model(config).apply)({"params": params}, tokens_BL, *lengths)
    return np.asarray(logits_BLV)[0, : len(source) + len(target)]


def test_logits_are_those_of_unilm(tmp_path):
    tensors = _checkpoint()
    params, _ = _load(tmp_path, tensors)
    shape = {"num_layers": 3, "num_heads": 3}
    expected = unilm.logits(tensors, SOURCE, TARGET, **shape, segments=(4, 5), eps=1e-5)
    np.testing.assert_allclose(_logits(UNILM, params), expected, atol=1e-4)
    assert np.abs(expected).max() > 1, "logits that say something"
    # What the traps would give is well apart.
    for segments, eps in (((0, 1), 1e-5), ((4, 5), 1e-1)):
        other = unilm.logits(tensors, SOURCE, TARGET, **shape, segments=segments, eps=eps)
        assert np.abs(other - expected).max() > 1e-2


def test_logits_are_those_of_plain_bert(tmp_path):
    tensors = _checkpoint(BERT)
    params, _ = _load(tmp_path, tensors, BERT)
    expected = unilm.logits(
        tensors, SOURCE, TARGET, num_layers=3, num_heads=3, segments=(0, 1), eps=1e-12
    )
    np.testing.assert_allclose(_logits(BERT, params), expected, atol=1e-4)


def test_hidden_states_are_those_of_transformers(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(**THEIR_SHAPE, max_position_embeddings=24)
    torch.manual_seed(0)
    model = transformers.BertModel(config).eval()
    model.save_pretrained(tmp_path)
    params, report = port.load(tmp_path, BERT, VOCABULARY, KEY)
    # A source alone is attended to in both directions, as BERT does.
    with torch.no_grad():
        expected = model(torch.tensor([SOURCE])).last_hidden_state.numpy()
    length = np.array([len(SOURCE)])
    hidden = bert.Model(BERT).apply(
        {"params": params}, np.array([SOURCE]), length, length, method=bert.Model.packed
    )
    np.testing.assert_allclose(hidden, expected, atol=1e-4)
    assert {e.tensor for e in report.entries if e.status == "unused"} == {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    again, _ = port.load(tmp_path / "pytorch_model.bin", BERT, VOCABULARY, KEY)
    _assert_equal(again, params)


MPNET = dataclasses.replace(BERT, layer_norm_eps=1e-5, relative_buckets=32)


def _mpnet(with_head=False):
    """Tensors of a small MPNet that Transformers made, and what computes with it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.MPNetConfig(
        **THEIR_SHAPE, max_position_embeddings=26, layer_norm_eps=1e-5
    )
    torch.manual_seed(0)
    kind = transformers.MPNetForMaskedLM if with_head else transformers.MPNetModel
    return kind(config).eval(), torch


@pytest.mark.parametrize("with_head", [False, True])
def test_what_mpnet_computes(tmp_path, with_head):
    model, torch = _mpnet(with_head)
    model.save_pretrained(tmp_path)
    # Transformers draws neither of them at random.
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    rng = np.random.default_rng(0)
    for name, array in tensors.items():
        if name.endswith(("bias", "relative_attention_bias.weight")):
            tensors[name] = rng.normal(0, 0.5, array.shape).astype(np.float32)
    model.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=False)
    _save(tmp_path, tensors)
    params, report = port.load(tmp_path, MPNET, VOCABULARY, KEY)
    source = [*SOURCE[:-1], *range(10, 25), SOURCE[-1]]  # over more than the near distances
    with torch.no_grad():
        output = model(torch.tensor([source]))
    length = np.array([len(source)])
    given = {"params": params}, np.array([source]), length, length
    if with_head:
        logits, _ = bert.Model(MPNET).apply(*given)
        np.testing.assert_allclose(logits, output.logits.numpy(), atol=1e-4)
    else:
        hidden = bert.Model(MPNET).apply(*given, method=bert.Model.packed)
        np.testing.assert_allclose(hidden, output.last_hidden_state.numpy(), atol=1e-4)
    notes = {e.parameter: (e.status, e.note) for e in report.entries}
    assert notes["segments/embedding"] == ("fresh", "zero: MPNet has none")
    assert not params["segments"]["embedding"].any()
    assert notes["positions/embedding"] == ("loaded", "without the first 2, which are for padding")
    # Without its folder nothing says what the epsilon is.
    alone = tmp_path / "model.safetensors"
    _assert_equal(port.load(alone, MPNET, VOCABULARY, KEY)[0], params)
    with pytest.raises(PretrainedError, match=r"weights of MPNet.*layer_norm_eps=1e-05"):
        port.load(alone, dataclasses.replace(MPNET, layer_norm_eps=1e-12), VOCABULARY, KEY)


def test_distances_are_those_of_the_weights(tmp_path):
    tensors = _checkpoint(BERT)
    with pytest.raises(PretrainedError, match=r"relative_attention_bias\.weight is missing"):
        _load(tmp_path, tensors, dataclasses.replace(BERT, relative_buckets=32))
    tensors["encoder.relative_attention_bias.weight"] = np.ones((32, 3), np.float32)
    for other in (0, 8):
        with pytest.raises(PretrainedError, match=r"32 rows.*set config\.model\.relative_buck"):
            _load(tmp_path, tensors, dataclasses.replace(MPNET, relative_buckets=other))
    # Weights that have segments beside are not MPNet's, and nothing of theirs is left out.
    params, _ = _load(tmp_path, tensors, MPNET)
    for table in ("segments", "positions"):
        theirs = {"segments": "token_type", "positions": "position"}[table]
        expected = tensors[f"bert.embeddings.{theirs}_embeddings.weight"]
        np.testing.assert_array_equal(params[table]["embedding"], expected)


def test_the_report_tells_of_every_tensor_and_parameter(tmp_path):
    tensors = _checkpoint()
    params, report = _load(tmp_path, tensors)
    found = _by_status(report)
    assert found.keys() == {"loaded", "unused", "fresh"}
    assert {e.tensor for e in found["unused"]} == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
        HEAD + "decoder.weight",
    }
    assert {e.parameter for e in found["fresh"]} == {"bio/kernel", "bio/bias"}
    assert sorted(e.tensor for e in report.entries if e.tensor) == sorted(tensors)
    paths = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    }
    assert {e.parameter for e in report.entries if e.parameter} == paths
    header, *rows = report.table().splitlines()
    assert header.split() == ["status", "tensor", "parameter", "shape", "note"]
    assert len(rows) == len(report.entries)
    assert f"{len(found['loaded'])} loaded" in report.summary()
    fresh = bert.init(UNILM, KEY)
    _assert_equal(params["bio"], fresh["bio"])
    # A link is replaced and not followed.
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "pretrained.txt").symlink_to(tmp_path / "precious")
    report.write(tmp_path)
    assert (tmp_path / "pretrained.txt").read_text() == report.table()
    assert (tmp_path / "precious").read_text() == "mine"


VARIANTS = {
    "without the prefix": lambda name: name.removeprefix("bert."),
    "gamma and beta": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_names_give_the_same(variant, tmp_path):
    tensors = _checkpoint()
    expected, _ = _load(tmp_path, tensors)
    renamed = {VARIANTS[variant](name): array for name, array in tensors.items()}
    assert renamed.keys() != tensors.keys()
    params, report = _load(tmp_path, renamed)
    _assert_equal(params, expected)
    assert {e.tensor for e in report.entries if e.tensor} == set(renamed)


def test_half_precision_is_read_as_float32(tmp_path):
    halves = {name: array.astype(np.float16) for name, array in _checkpoint().items()}
    expected, _ = _load(tmp_path, {k: v.astype(np.float32) for k, v in halves.items()})
    params, _ = _load(tmp_path, halves)
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}
    _assert_equal(params, expected)


def test_a_fused_projection_is_taken_apart(tmp_path):
    tensors = _checkpoint()
    for n in range(UNILM.num_layers):
        tensors[f"bert.encoder.layer.{n}.attention.self.key.bias"][:] = 0
    expected, _ = _load(tmp_path, tensors)
    for n in range(UNILM.num_layers):
        own = f"bert.encoder.layer.{n}.attention.self."
        tensors[own + "qkv_linear.weight"] = np.concatenate(
            [tensors.pop(f"{own}{p}.weight") for p in ("query", "key", "value")]
        )
        tensors[own + "q_bias"] = tensors.pop(own + "query.bias")[None, None]
        tensors[own + "v_bias"] = tensors.pop(own + "value.bias")[None, None]
        del tensors[own + "key.bias"]
    params, report = _load(tmp_path, tensors)
    _assert_equal(params, expected)
    assert "layers/key/bias" in {e.parameter for e in _by_status(report)["fresh"]}
    tensors["bert.encoder.layer.0.attention.self.query.bias"] = np.zeros(12, np.float32)
    with pytest.raises(PretrainedError, match=r"query\.bias and .*q_bias|q_bias and .*query\.bias"):
        _load(tmp_path, tensors)


def test_the_segment_table_grows_as_in_unilm(tmp_path):
    tensors = _checkpoint(BERT)
    grown = dataclasses.replace(UNILM, layer_norm_eps=1e-12)  # it remains BERT's
    params, report = _load(tmp_path, tensors, grown)
    two = tensors["bert.embeddings.token_type_embeddings.weight"]
    expected = np.stack([two[0], two[1], two[0], two[0], two[0], two[1]])
    np.testing.assert_array_equal(params["segments"]["embedding"], expected)
    (grown,) = _by_status(report)["grown"]
    assert (grown.parameter, grown.note) == ("segments/embedding", "2 rows to 6")


@pytest.mark.parametrize(("rows", "status"), [(24 * 2 + 5, "grown"), (20, "loaded")])
def test_the_position_table_is_tiled_or_cut(rows, status, tmp_path):
    tensors = _checkpoint()
    config = dataclasses.replace(UNILM, max_positions=rows)
    params, report = _load(tmp_path, tensors, config)
    table = tensors["bert.embeddings.position_embeddings.weight"]
    expected = np.concatenate([table, table, table])[:rows]
    np.testing.assert_array_equal(params["positions"]["embedding"], expected)
    (entry,) = [e for e in report.entries if e.parameter == "positions/embedding"]
    assert (entry.status, entry.note) == (status, f"24 rows to {rows}")


def test_an_encoder_without_heads_gets_fresh_ones_and_says_so(tmp_path):
    tensors = {k: v for k, v in _checkpoint(BERT).items() if not k.startswith("cls.")}
    tensors["embeddings.position_ids"] = np.arange(24)[None]
    params, report = _load(tmp_path, tensors, BERT)
    heads = ("transform", "transform_norm", "token_bias", "bio")
    fresh = bert.init(BERT, KEY)
    _assert_equal({h: params[h] for h in heads}, {h: fresh[h] for h in heads})
    found = _by_status(report)
    assert {e.parameter.split("/")[0] for e in found["fresh"]} == set(heads)
    assert "embeddings.position_ids" in {e.tensor for e in found["unused"]}


def test_a_decoder_may_be_stored_once_or_twice_but_not_differ(tmp_path):
    tensors = _checkpoint()
    expected, _ = _load(tmp_path, tensors)
    del tensors[HEAD + "decoder.weight"]
    tensors[HEAD + "decoder.bias"] = tensors.pop(HEAD + "bias")
    _assert_equal(_load(tmp_path, tensors)[0], expected)
    tensors[HEAD + "decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1
    with pytest.raises(PretrainedError, match=r"decoder\.weight differs from bert\.embeddings\.wo"):
        _load(tmp_path, tensors)


def _without(name):
    return lambda tensors: tensors.pop(name)


def _with(name, *shape):
    return lambda tensors: tensors.update({name: np.zeros(shape, np.float32)})


QUERY = "bert.encoder.layer.1.attention.self.query"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without(QUERY + ".bias"), r"layer\.1\.attention\.self\.query\.bias is missing"),
        (_without("bert.embeddings.LayerNorm.bias"), r"embeddings\.LayerNorm\.bias is missing$"),
        (_with(QUERY + ".weight", 12, 13), r"query\.weight has the shape \(12, 13\).*\(12, 12\)"),
        (_with(QUERY + ".bias", 3, 4), r"query\.bias has the shape \(3, 4\).*needs \(12,\)"),
        (
            _with("bert.embeddings.word_embeddings.weight", 41, 12),
            "differs|has the shape",
        ),
        (_with("bert.embeddings.token_type_embeddings.weight", 3, 12), r"\(3, 12\).*\(6, 12\)"),
        (_with("bert.embeddings.token_type_embeddings.weight", 7), r"the shape \(7,\)"),
        (_with("bert.embeddings.position_embeddings.weight", 0, 12), r"\(0, 12\).*\(24, 12\)"),
        (_with("bert.adapter.weight", 2, 3), r"bert\.adapter\.weight \(2, 3\) is no tensor of"),
        (_with("bert.encoder.layer.3.output.dense.bias", 12), r"is no tensor of a BERT of 3 lay"),
        (_with("embeddings.LayerNorm.bias", 12), r"both give embeddings\.LayerNorm\.bias"),
        (_with("bert.encoder.layer.0.attention.self.qkv_linear.weight", 35, 12), "three proj"),
        (
            lambda tensors: tensors[QUERY + ".bias"].fill(np.nan),
            r"query\.bias holds values that are not finite",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(change, message, tmp_path):
    tensors = _checkpoint()
    change(tensors)
    with pytest.raises(PretrainedError, match=message) as caught:
        _load(tmp_path, tensors)
    assert str(caught.value).startswith(f"{tmp_path / 'model.safetensors'}: ")


def test_another_vocabulary_is_refused(tmp_path):
    with pytest.raises(PretrainedError, match=r"needs \(50, 12\); set config\.tokenizer\.vocab"):
        _load(tmp_path, _checkpoint(), dataclasses.replace(UNILM, vocab_size=50))


def test_unilm_weights_need_unilm_segments_and_epsilon(tmp_path):
    with pytest.raises(PretrainedError, match=r"set config\.model\.segments=unilm"):
        _load(tmp_path, _checkpoint(), BERT)
    with pytest.raises(PretrainedError, match=r"set config\.model\.layer_norm_eps=1e-05"):
        _load(tmp_path, _checkpoint(), dataclasses.replace(UNILM, layer_norm_eps=1e-12))
    with pytest.raises(PretrainedError, match=r"weights of BERT.*layer_norm_eps=1e-12"):
        _load(tmp_path, _checkpoint(BERT), dataclasses.replace(BERT, layer_norm_eps=1e-5))


HF_CONFIG = {
    "num_hidden_layers": 3,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "type_vocab_size": 2,
}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_attention_heads", 4, r"is 4 and the model has 3; set config\.model\.num_heads"),
        ("layer_norm_eps", 1e-5, r"is 1e-05 and .* 1e-12; set config\.model\.layer_norm_eps"),
        ("hidden_act", "relu", r"hidden_act is 'relu' and the model has 'gelu'$"),
        ("position_embedding_type", "relative_key", "position_embedding_type is 'relative_key'"),
    ],
)
def test_a_folder_must_describe_our_model(field, value, message, tmp_path):
    tensors = _checkpoint(BERT)
    expected, _ = _load(tmp_path, tensors, BERT)
    (tmp_path / "config.json").write_text(json.dumps(HF_CONFIG))
    params, report = port.load(tmp_path, BERT, VOCABULARY, KEY)
    _assert_equal(params, expected)
    assert report.file == tmp_path / "model.safetensors"
    (tmp_path / "config.json").write_text(json.dumps(HF_CONFIG | {field: value}))
    with pytest.raises(PretrainedError, match=message):
        port.load(tmp_path, BERT, VOCABULARY, KEY)


def test_unilm_folders_carry_an_epsilon_that_their_code_ignores(tmp_path):
    _save(tmp_path, _checkpoint())
    (tmp_path / "config.json").write_text(json.dumps(HF_CONFIG | {"type_vocab_size": 6}))
    port.load(tmp_path, UNILM, VOCABULARY, KEY)


def test_folders_that_lack_something(tmp_path):
    with pytest.raises(PretrainedError, match=r"config\.json: not a readable JSON file"):
        port.load(tmp_path, BERT, VOCABULARY, KEY)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(PretrainedError, match="not a JSON object"):
        port.load(tmp_path, BERT, VOCABULARY, KEY)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PretrainedError, match=r"neither model\.safetensors nor pytorch_model"):
        port.load(tmp_path, BERT, VOCABULARY, KEY)


def test_reserved_rows_are_drawn_as_unlike_each_other_as_words_are(tmp_path):
    """Here they start nearly alike, as in published checkpoints; all others stay."""
    tensors = {k: v for k, v in _checkpoint(BERT).items() if not k.startswith("cls.")}
    (words,) = (name for name in tensors if "word_embeddings" in name)
    table = tensors[words].copy()
    reserved = [1, 2, 5, 6]
    table[reserved] = table[0] + 0.01 * table[reserved]
    path = _save(tmp_path, {**tensors, words: table})
    params, report = port.load(path, BERT, _vocabulary(BERT.vocab_size), KEY, reserved)
    new = params["words"]["embedding"]
    others = np.delete(np.arange(len(table)), reserved)
    np.testing.assert_array_equal(new[others], table[others])
    cosines = np.corrcoef(new[reserved])[np.triu_indices(4, 1)]
    assert np.abs(cosines).max() < 0.7 < np.corrcoef(table[reserved]).min()
    np.testing.assert_allclose(new[reserved].std(), table[others].std(), rtol=0.3)
    assert any("rows of separators" in entry.note for entry in report.entries)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a tiny model: its folder, system and parameters."""
    folder = tmp_path_factory.mktemp("run")
    system = System.build(tiny.config(folder / "corpus"), make_wordpiece())
    params = jax.tree.map(np.asarray, system.init(jax.random.PRNGKey(0)))
    with contextlib.closing(Checkpoints(folder / layout.CHECKPOINTS["best"])) as checkpoints:
        checkpoints.save(1, params, None, system.about())
    return folder, system, params


def test_a_run_starts_where_another_ended(run):
    folder, system, params = run
    loaded, report = port.load(
        folder, system.model, system.wordpiece.vocabulary, jax.random.PRNGKey(1)
    )
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    assert {entry.status for entry in report.entries} == {"loaded"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_layers": 2}, "config.model.num_layers=1, and this is 2"),
        ({"max_positions": 80}, "config.model.max_positions=64, and this is 80"),
        ({"head": "pointer", "writable_ids": (3,)}, "config.model.head=vocabulary, and this"),
        ({"num_marks": 4}, "config.model.memory=False, and this is True"),
        ({"relative_buckets": 32}, "config.model.relative_buckets=0, and this is 32"),
    ],
)
def test_a_run_of_another_shape_is_refused_by_its_field(run, change, message):
    folder, system, _ = run
    model = dataclasses.replace(system.model, **change)
    with pytest.raises(PretrainedError, match=re.escape(message)):
        port.load(folder, model, system.wordpiece.vocabulary, jax.random.PRNGKey(1))


def _with_model(about, **fields):
    config = json.loads(about["config"])
    return json.dumps({**config, "model": {**config["model"], **fields}})


@pytest.mark.parametrize(
    "change",
    [
        lambda about: {},
        lambda about: {**about, "config": 5},
        lambda about: {**about, "config": "5"},
        lambda about: {**about, "config": "{}"},
        lambda about: {**about, "config": '{"model": []}'},
        lambda about: {**about, "config": "[" * 100_000},
        lambda about: {**about, "config": _with_model(about, size="x" * 1000)},
        lambda about: {**about, "config": _with_model(about, size=[])},
        lambda about: {"config": '{"model": {}}'},
        lambda about: {**about, "wordpiece": "{"},
        lambda about: {**about, "wordpiece": '{"vocabulary": 5}'},
        lambda about: {
            **about,
            "wordpiece": json.dumps({**json.loads(about["wordpiece"]), "relations": 5}),
        },
    ],
)
def test_a_run_with_a_damaged_about_is_one_line(run, tmp_path, change):
    _, system, params = run
    with contextlib.closing(Checkpoints(tmp_path / layout.CHECKPOINTS["best"])) as checkpoints:
        checkpoints.save(1, params, None, change(system.about()))
    with pytest.raises(PretrainedError) as caught:
        port.load(tmp_path, system.model, system.wordpiece.vocabulary, jax.random.PRNGKey(1))
    folder = re.escape(str(tmp_path / "best"))
    assert re.fullmatch(
        rf"{folder}: about is damaged \(.{{1,200}}\); set config.model.init_from to another run",
        str(caught.value),
    )


def test_a_memory_of_other_relations_is_refused(tmp_path):
    wordpiece = make_wordpiece()
    config = tiny.config(tmp_path / "corpus", **{"model.memory": True})
    system = System.build(config, wordpiece, Memory({}, wordpiece.relations))
    params = jax.tree.map(np.asarray, system.init(jax.random.PRNGKey(0)))
    with contextlib.closing(Checkpoints(tmp_path / layout.CHECKPOINTS["best"])) as checkpoints:
        checkpoints.save(1, params, None, system.about())
    loaded, _ = port.load(tmp_path, system.model, wordpiece.vocabulary, jax.random.PRNGKey(1))
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    other = dataclasses.replace(system.model, num_marks=system.model.num_marks + 2)
    with pytest.raises(PretrainedError, match=r"its memory has \d+ relations, and this one "):
        port.load(tmp_path, other, wordpiece.vocabulary, jax.random.PRNGKey(1))
