"""Configurations: refused where they cannot work, by recipe and by field."""

import importlib.util
import json
import types
from pathlib import Path

import jax
import ml_collections
import pytest

from grel import config as config_lib
from grel.config import check, fields_of, get_config
from grel.corpora.builders import BUILDERS
from grel.errors import ConfigError
from grel.families.bert import System
from grel.families.registry import FAMILIES
from grel.fields import leaves
from grel.text.linearize import Form
from grel.text.words import Words

ROOT = Path(__file__).parent.parent
RECIPES = sorted(p for p in (ROOT / "configs").glob("*.py") if p.name != "__init__.py")


def _recipe(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PUBLIC = ("nyt24", "nyt24-reduced", "nyt29", "nyt29-reduced", "webnlg")
# Every recipe and variant, with the parameters of its model over a full vocabulary.
PARAMETERS = {
    ("bert",): 92_197_187,
    **{("bert", corpus): 92_197_187 for corpus in PUBLIC},
    ("bert", "nyt24-reduced-small"): 1_798_819,
    ("bert", "nyt29-reduced-small"): 1_798_819,
    ("bert", "webnlg-small"): 1_798_819,
    ("bert", "jsonl"): 92_197_187,
    ("bert", "jsonl-small"): 1_798_819,
    ("demo",): 552_695,
    ("minilm",): 23_041_341,
    **{("minilm", corpus): 23_041_341 for corpus in (*PUBLIC, "jsonl")},
    ("mpnet",): 110_702_018,
    **{("mpnet", corpus): 110_702_018 for corpus in (*PUBLIC, "jsonl")},
    ("unilm",): 108_346_183,
    **{("unilm", f"base-{name}"): 108_346_183 for name in ("nyt24", "nyt29", "webnlg", "jsonl")},
    **{("unilm", f"large-{name}"): 333_617_479 for name in ("nyt24", "nyt29")},
}
# What a recipe's argument names.
CORPORA = {
    "nyt24": ("nyt24", ""),
    "nyt24-reduced": ("nyt24", "reduced"),
    "nyt29": ("nyt29", ""),
    "nyt29-reduced": ("nyt29", "reduced"),
    "webnlg": ("webnlg", ""),
    "synthetic": ("synthetic", ""),
    "jsonl": ("jsonl", ""),
}


# Of the paper's other systems over 1,000 words, 50 characters and 24 relations: at their authors'
# sizes, and small.
OF_THE_PAPER = {
    "copyre": (32_135_825, 831_125),
    "copyre_one": (13_555_725, 377_025),
    "copymtl": (31_271_045, 708_845),
    "copymtl_one": (13_655_045, 387_245),
    "mrmep": (838_850, 838_850),
    "ptdec": (12_249_182, 1_423_652),
    "worddec": (2_474_051, 412_221),
    "lstm": (2_474_051, 412_221),
    "lstm_copy": (2_474_954, 412_524),
}


def test_no_recipe_is_missing_here():
    named = {stem for stem, *_ in PARAMETERS} | {"lookup", "paper"}
    assert {path.stem for path in RECIPES} == named


@pytest.mark.parametrize("size", ["", "-small"])
@pytest.mark.parametrize("system", OF_THE_PAPER)
def test_the_systems_of_the_paper_have_so_many_parameters(system, size):
    module = _recipe(ROOT / "configs" / "paper.py")
    assert f"`{system}`" in module.__doc__
    config = module.get_config(f"{system}-nyt29-reduced{size}")
    assert (config.data.name, config.data.variant) == ("nyt29", "reduced")
    check(config, num_devices=1, num_processes=1)
    relations = [f"r{n}" for n in range(24)]
    unknown = config.tokenizer.get("num_unknown", 0)
    words = [f"w{n}" for n in range(1000 - 6 - unknown - 24)]
    words = Words(words, "".join(map(chr, range(65, 113))), relations, num_unknown=unknown)
    family = FAMILIES[config.model.family]
    shapes = family.build(config, words).params_like()
    found = sum(x.size for x in jax.tree.leaves(shapes))
    assert found == OF_THE_PAPER[system][bool(size)]


def test_the_paper_has_no_other_systems():
    module = _recipe(ROOT / "configs" / "paper.py")
    assert module.SYSTEMS.keys() == OF_THE_PAPER.keys()
    for wrong in ("wordec-nyt24", "worddec", "worddec-"):
        with pytest.raises(ConfigError, match="it must be SYSTEM-CORPUS, with one of copyre"):
            module.get_config(wrong)


# Recipes of every corpus: what stands before it in the argument, and without an argument.
TAKE_A_CORPUS = {
    "bert": ("", "nyt24"),
    "lookup": ("", "jsonl"),
    "minilm": ("", "jsonl"),
    "mpnet": ("", "jsonl"),
    "paper": ("worddec-", "worddec-jsonl"),
    "unilm": ("large-", "base-jsonl"),
}


@pytest.mark.parametrize("recipe", TAKE_A_CORPUS)
def test_recipes_take_every_corpus_and_name_those_that_there_are(recipe):
    before, default = TAKE_A_CORPUS[recipe]
    module = _recipe(ROOT / "configs" / f"{recipe}.py")
    for corpus, (name, variant) in CORPORA.items():
        data = module.get_config(f"{before}{corpus}").data
        assert (data.name, data.variant) == (name, variant)
    assert module.get_config() == module.get_config(default)
    for wrong in ("nyt25", "nyt24-smal", "nyt24-reduced-reduced"):
        with pytest.raises(ConfigError, match=f"no corpus '{wrong}'; one of nyt24, nyt24-reduced,"):
            module.get_config(f"{before}{wrong}")


def test_every_corpus_can_be_named():
    assert set(config_lib.CORPORA) == CORPORA.keys()
    offered = [
        f"{name}-{variant}" if number else name
        for name, builder in BUILDERS.items()
        for number, variant in enumerate(builder.builder_configs)
    ]
    assert sorted(config_lib.CORPORA) == sorted(offered)


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_look_up_has_a_recipe_for_every_corpus(corpus):
    module = _recipe(ROOT / "configs" / "lookup.py")
    assert f"`:{corpus}`" in module.__doc__
    check(module.get_config(corpus), num_devices=7, num_processes=3)


def test_a_family_has_no_fields_that_mean_nothing_to_it():
    config = get_config("lookup")
    check(config, num_devices=1, num_processes=1)
    assert leaves(config).keys() == {
        *("model.family", "decoding.relations", "data.name", "data.variant", "data.manual_dir"),
        *("data.data_dir", "data.num_train", "data.num_validation"),
        *("eval.split", "eval.name", "eval.checkpoint", "eval.protocol"),
    }
    config = get_config()
    config.model.family = "lookup"
    with pytest.raises(ConfigError, match=r"unknown .*: start the recipe from .*\('lookup'\)"):
        check(config, num_devices=1, num_processes=1)
    config.model.family = "gpt"
    with pytest.raises(ConfigError, match=r"config.model.family is 'gpt'; one of bert, .*lookup"):
        check(config, num_devices=1, num_processes=1)


@pytest.mark.parametrize("recipe", PARAMETERS, ids=":".join)
def test_every_recipe_passes_the_checks_and_has_so_many_parameters(recipe):
    stem, *variant = recipe
    module = _recipe(ROOT / "configs" / f"{stem}.py")
    assert "grel.main" in module.__doc__ or "launch/" in module.__doc__, "say how to run it"
    assert all(f":{name}" in module.__doc__ for name in variant)
    config = module.get_config(*variant)
    check(config, num_devices=1, num_processes=1)
    vocabulary = range(config.tokenizer.vocab_size)
    wordpiece = types.SimpleNamespace(
        vocabulary=vocabulary, mask_id=4, sep_id=3, relation_ids={}, form=Form(5, 6)
    )
    shapes = System.build(config, wordpiece).params_like()
    assert sum(x.size for x in jax.tree.leaves(shapes)) == PARAMETERS[recipe]


def test_fields_of_an_older_checkpoint_have_their_new_names():
    config = get_config().to_dict()
    del config["train"]["adam_b1"], config["model"]["source_mask_rate"]
    del config["model"]["target_mask_rate"]
    config["model"] |= {"mask_rate": 0.3, "alpha": 0.2}
    found = config_lib.from_json(json.dumps(config)).model
    assert (found.source_mask_rate, found.target_mask_rate, found.alpha) == (0.3, 0.3, 0.2)
    config["model"]["family"] = "lookup"
    assert config_lib.from_json(json.dumps(config)) == get_config("lookup")
    config["model"] |= {"family": "bert", "depth": 3}
    with pytest.raises(ConfigError, match=r"newer version of grel: unknown \['model.depth'\]"):
        config_lib.from_json(json.dumps(config))


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match="it must be SIZE-CORPUS, with one of base, large"):
        _recipe(ROOT / "configs" / "unilm.py").get_config("huge-nyt24")


def test_the_defaults_pass():
    check(get_config(), num_devices=8, num_processes=2)


def test_what_is_trained_already_is_used_on_any_number_of_devices():
    check(get_config(), num_devices=7, num_processes=3, trains=False)
    with pytest.raises(ConfigError, match=r"train.batch_size is 64; it must divide by 21 \("):
        check(get_config(), num_devices=7, num_processes=3)


def test_drafts_and_beams_do_not_go_together():
    config = get_config()
    config.decoding.draft, config.decoding.num_beams = 2, 2
    with pytest.raises(ConfigError, match="draft is 2, but beams write one token a step"):
        check(config, num_devices=1, num_processes=1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.name", "nyt", "config.data.name is 'nyt'; one of nyt24"),
        ("model.size", "huge", "one of tiny"),
        ("model.objective", "nsp", "one of mlm, causal, pseudo"),
        ("model.head", "softmax", "config.model.head is 'softmax'; one of vocabulary, pointer"),
        ("model.target_mask_rate", 0.0, "no token of a target would be learned"),
        ("data.triple_form", "hrt", "config.data.triple_form is 'hrt'; one of htr, rht"),
        ("train.schedule", "step", "config.train.schedule is 'step'; one of linear, cosine"),
        ("eval.end_biases", (), "config.eval.end_biases is empty"),
        ("eval.end_biases", (0, "a"), "end_biases has 'a' in it; its values must be of type float"),
        ("data.buckets", ("a", "b"), "buckets has 'a' in it; its values must be of type int"),
        ("data.buckets", (40.5, 96), "buckets has 40.5 in it; its values must be of type int"),
        ("decoding.relations", (1,), "relations has 1 in it; its values must be of type str"),
        ("decoding.copy", "yes", "config.decoding.copy is 'yes'; one of on, off, su"),
        ("decoding.structure", "yes", "config.decoding.structure is 'yes'; one of off, on"),
        ("decoding.label", "best", "config.decoding.label is 'best'; one of argmax, joint"),
        ("decoding.scores", "log", "config.decoding.scores is 'log'; one of raw, renormalized"),
        (
            "decoding.num_best",
            3,
            "config.decoding: num_best is 3; it must be from 1 to num_beams, 1",
        ),
        (
            "decoding.length_penalty",
            2.0,
            "config.decoding: length_penalty is 2.0, but greedy search compares no outputs",
        ),
        ("decoding.relations", ("a",), "relations can be restricted with structure='on' only"),
        ("model.alpha", 2.0, r"config.model.alpha is 2.0; it must be in \[0.0, 1.0\]"),
        ("model.hidden_size", 130, "is 130; it must divide by config.model.num_heads, 12"),
        ("model.relative_buckets", 30, "it must divide by 4: MPNet has 32, and 0 is none"),
        ("model.num_heads", 5, "is 768; it must divide by config.model.num_heads, 5"),
        ("train.batch_size", 0, "it must be in"),
        ("train.batch_size", 12, "must divide by 8"),
        ("decoding.batch_size", 0, "it must be in"),
        ("data.buckets", (64, 32), "must ascend"),
        ("data.buckets", (), "must ascend"),
        ("data.buckets", (64, 1024), "beyond config.model.max_positions 512"),
        ("decoding.max_target", 510, "leaves no room for a sentence"),
    ],
)
def test_what_cannot_work_is_refused(field, value, message):
    config = get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=message):
        check(config, num_devices=8, num_processes=1)


@pytest.mark.parametrize(
    ("family", "field", "value", "message"),
    [
        ("mrmep", "num_heads", 3, "config.model: features 100 do not divide over 3 heads"),
        ("ptdec", "features", 301, "config.model: features 301 do not divide over two directions"),
        ("worddec", "features", 301, "config.model: features is 301; it must be even, for two"),
    ],
)
def test_widths_that_no_network_has_are_refused(family, field, value, message):
    config = get_config(family)
    check(config, num_devices=1, num_processes=1)
    config.model[field] = value
    with pytest.raises(ConfigError, match=message):
        check(config, num_devices=1, num_processes=1)


@pytest.mark.parametrize("copy", ["off", "su"])
def test_structure_needs_copying(copy):
    config = get_config()
    config.decoding.structure = "on"
    check(config, num_devices=1, num_processes=1)
    config.decoding.copy = copy
    with pytest.raises(ConfigError, match=f"config.decoding: structure is 'on' and copy '{copy}'"):
        check(config, num_devices=1, num_processes=1)


def test_a_wrong_type_is_refused():
    config = get_config().to_dict()
    config["train"]["batch_size"] = "many"
    with pytest.raises(ConfigError, match=r"config.train.batch_size is 'many'; it must be of type"):
        check(ml_collections.ConfigDict(config), num_devices=1, num_processes=1)


def test_missing_and_unknown_fields_are_refused():
    config = get_config().to_dict()
    del config["seed"]
    config["sead"] = 1
    with pytest.raises(ConfigError, match=r"lacks \['seed'\] and has unknown \['sead'\]"):
        check(ml_collections.ConfigDict(config), num_devices=1, num_processes=1)


def test_a_misspelled_field_is_refused_where_it_is_written():
    with pytest.raises(AttributeError, match="bacth_size"):
        get_config().train.bacth_size = 3


@pytest.mark.parametrize("family", FAMILIES)
def test_every_choice_and_range_belongs_to_a_field(family):
    fields = fields_of(family)
    assert set(fields.choices) | set(fields.ranges) <= set(fields.defaults)
    assert leaves(get_config(family)) == fields.defaults
