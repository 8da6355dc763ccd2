"""A system from what a checkpoint says of itself, which may be damaged or a stranger's."""

import contextlib
import json

import jax
import numpy as np
import pytest

from grel.errors import ConfigError
from grel.extraction.opening import from_about
from grel.families.bert import System
from grel.runs.checkpoint import CheckpointError, Checkpoints
from tests import tiny
from tests.fakes import make_wordpiece


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return System.build(tiny.config(tmp_path_factory.mktemp("system")), make_wordpiece())


def _about(system, **fields):
    config = system.config.copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    return {**system.about(), "config": config.to_json()}


def test_round_trip(system):
    again = from_about(system.about())
    assert again.model == system.model
    assert again.wordpiece.fingerprint == system.wordpiece.fingerprint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model.size": "huge"}, "config.model.size is 'huge'; one of"),
        ({"train.batch_size": 0}, "config.train.batch_size is 0"),
        ({"eval.name": "../.."}, "config.eval.name"),
    ],
)
def test_a_config_is_checked_before_anything_is_made_of_it(system, fields, message):
    with pytest.raises(ConfigError, match=message):
        from_about(_about(system, **fields))


@pytest.mark.parametrize(
    "change",
    [
        {"config": "{"},
        {"config": '{"seed": "x"}'},
        {"config": None},
        {"wordpiece": "{"},
        {"wordpiece": "[]"},
        {"wordpiece": '{"vocabulary": ["a"]}'},
        {"wordpiece": '{"vocabulary": 3, "extra": 4}'},
        {"wordpiece": 7},
    ],
)
def test_a_damaged_about_is_one_line(system, change):
    with pytest.raises((CheckpointError, ConfigError)) as error:
        from_about({**system.about(), **change})
    assert "\n" not in str(error.value)
    for name in change:
        about = system.about()
        del about[name]
        with pytest.raises(CheckpointError, match="damaged"):
            from_about(about)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "head", "structure"),
    [
        ("mlm", "pointer", "on"),
        ("causal", "vocabulary", "on"),
        ("causal", "pointer", "off"),
        ("pseudo", "vocabulary", "off"),
    ],
)
def test_drafts_change_nothing_that_a_model_writes(system, objective, head, structure):
    """The sources are wordpieces that repeat, so that names go on in several ways."""
    fields = {
        "model.objective": objective,
        "model.head": head,
        "decoding.structure": structure,
        "decoding.max_target": 24,
        "decoding.batch_size": 8,
    }
    rng = np.random.default_rng(0)
    words = np.flatnonzero([token[0].isalpha() for token in system.wordpiece.vocabulary])
    sources = [rng.choice(words[:5], rng.integers(1, 20)).tolist() for _ in range(60)]
    plain, drafted = (
        from_about(_about(system, **fields, **{"decoding.draft": draft})) for draft in (0, 3)
    )
    shapes = plain.init(jax.random.PRNGKey(0))
    params = jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes)
    decoders = [one.decoder() for one in (plain, drafted)]
    placed = decoders[0].place(params)
    pairs = zip(*(decoder(placed, sources) for decoder in decoders), strict=True)
    for one, other in pairs:
        for name in ("ids", "labels", "positions", "ended"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-3)
    # Without structure, what such a model writes can't be guessed.
    fewer = decoders[0].row_steps - decoders[1].row_steps
    assert fewer > 0 or structure == "off"


def test_a_model_that_is_larger_than_any_memory_is_refused(system, tmp_path):
    params = system.init(jax.random.PRNGKey(0))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(1, jax.tree.map(np.asarray, params), None, system.about())
        config = json.loads(system.about()["config"])
        config["model"]["num_layers"] = 10**9
        about = {**system.about(), "config": json.dumps(config)}
        with pytest.raises(CheckpointError):
            checkpoints.params(from_about(about).params_like())
