"""Programs compiled for devices of this machine: what they take, and that it is checked."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest

from grel import config as config_lib
from grel.data.pipeline import Batch
from grel.devices import hlo, topologies
from grel.errors import ConfigError
from grel.models import bert
from grel.training import ahead


@pytest.fixture(scope="module")
def system():
    return ahead.stand_in(tiny(), num_relations=3)


def tiny(**fields):
    config = config_lib.get_config().unlock()
    config.model.size = "tiny"
    config.model.hidden_size, config.model.ff_size = 16, 32
    config.tokenizer.vocab_size = 100
    config.train.batch_size = 16
    config.train.accumulation = 2
    config.decoding.batch_size = 16
    config.decoding.max_target = 16
    config.update_from_flattened_dict(fields)
    return config.lock()


@pytest.fixture(scope="module")
def step(system):
    return ahead.train_step(system, topologies.target("cpux8"), length=32)


def test_gradients_are_summed_once_a_step(system, step):
    params = system.params_like()
    assert {c.name for c in step.collectives} == {"all-reduce"}
    assert not any(c.in_loop for c in step.collectives)
    num_bytes = sum(c.num_bytes for c in step.collectives)
    gradients = 4 * sum(x.size for x in jax.tree.leaves(params))
    assert gradients < num_bytes < gradients + 100  # and sums and counts


def test_what_a_step_takes(system, step):
    params = 4 * sum(x.size for x in jax.tree.leaves(system.params_like()))
    # Parameters and two moments of Adam, which stay where they are.
    assert 3 * params < step.arguments < 3 * params + 100_000
    assert 3 * params < step.aliased <= step.arguments
    assert step.memory > step.arguments
    assert step.seconds > 0
    # Twice the rows, twice the operations; 15 % of 32 positions are predicted.
    assert step.flops == pytest.approx(
        ahead.flops.train_step(system.model, num_rows=16, length=32, num_predicted=5)
    )


def test_a_memory_is_given_to_what_is_compiled():
    told = ahead.stand_in(tiny(**{"model.memory": True}), num_relations=3)
    target = topologies.target("cpux8")
    batch = ahead.batch_like(16, 32, 16, told.memory)
    assert batch.marks_BLZ.shape == (16, 32, 1)
    for make in (ahead.train_step, ahead.decoder):
        assert make(told, target, length=32).memory > 0


def test_a_decoder_exchanges_nothing(system):
    program = ahead.decoder(system, topologies.target("cpux8"), length=32)
    assert program.collectives == ()
    assert program.flops > 0


def test_exchange_in_a_loop_or_twice_is_refused(step):
    gradients = sum(c.num_bytes for c in step.collectives)
    ahead._check_step(step, gradients)
    [*others, last] = step.collectives
    for collectives in (
        (*others, last._replace(in_loop=True)),
        (*step.collectives, *step.collectives),
        (*step.collectives, hlo.Collective("all-gather", 4, 1, False)),
        (),
    ):
        wrong = dataclasses.replace(step, collectives=collectives)
        with pytest.raises(ahead.AheadError, match="must be summed once a step"):
            ahead._check_step(wrong, gradients)


def test_what_does_not_fit_is_told_in_one_line(system):
    small = topologies.target("cpux8")._replace(memory=2**17)
    with pytest.raises(ahead.AheadError, match=r"does not fit cpux8: .*config\.model\.remat") as e:
        ahead.train_step(system, small, length=32)
    assert "\n" not in str(e.value)


def test_what_the_compiler_refuses_is_told_in_one_line(monkeypatch):
    def refuse():
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM\nSee https://"
        )

    target = topologies.target("cpux8")
    with pytest.raises(ahead.AheadError) as error_info:
        ahead._compiled("decoder", 0.0, target, refuse)
    assert str(error_info.value) == (
        "decoder: does not fit cpux8: Ran out of memory on HBM; lower config.decoding.batch_size"
    )


def test_stand_ins_have_the_sizes_of_the_configuration(tmp_path):
    system = ahead.stand_in(tiny(**{"tokenizer.vocab_size": 120}), num_relations=7)
    assert len(system.wordpiece.vocabulary) == system.model.vocab_size == 120
    assert len(system.wordpiece.relation_ids) == 7
    # A file that is not there stands for its size, one that is there for itself.
    path = tmp_path / "vocab.txt"
    fields = {"tokenizer.vocab": str(path)}
    assert ahead.stand_in(tiny(**fields), 7).model.vocab_size == 100
    path.write_text("\n".join([*system.wordpiece.vocabulary, "more"]))
    assert ahead.stand_in(tiny(**fields), 7).model.vocab_size == 121


def test_what_has_no_stand_in():
    with pytest.raises(ConfigError, match="vocab_size is 100; it must be 421 or more"):
        ahead.stand_in(tiny(), num_relations=200)
    with pytest.raises(ConfigError, match="only 'bert'"):
        ahead.stand_in(config_lib.get_config("worddec"), num_relations=3)


@pytest.mark.parametrize("objective", ["mlm", "causal", "pseudo"])
def test_a_batch_of_shapes_serves_every_objective(objective):
    system = ahead.stand_in(tiny(**{"model.objective": objective}), num_relations=3)
    batch = ahead.batch_like(16, 32, 8)
    assert ahead.step_flops(system.model, batch) > 0
    sums = jax.eval_shape(
        lambda params, batch: bert.loss(system.model, params, batch, jax.random.PRNGKey(0)),
        system.params_like(),
        batch,
    )
    assert "loss" in sums


@pytest.mark.slow
def test_a_tpu_step(system):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip(f"no libtpu: pip install 'jax[tpu]=={jax.__version__}' (500 MB) brings it")
    target = topologies.target("v5e:2x4")
    program = ahead.train_step(system, target, length=128)
    assert program.memory < target.memory


@pytest.mark.parametrize("objective", ["causal", "pseudo"])
def test_operations_of_a_batch_are_those_of_its_shape_where_nothing_is_padding(objective):
    system = ahead.stand_in(tiny(**{"model.objective": objective}), num_relations=3)
    of_rows = np.full(16, 32, np.int32)
    tokens = np.zeros((16, 32), np.int32)
    batch = Batch(tokens, tokens, of_rows - 8, of_rows, np.arange(16), num_targets=8)
    expected = ahead.step_flops(system.model, ahead.batch_like(16, 32, 8))
    assert system.step_flops(batch) == pytest.approx(expected)
    # Half of the rows, empty, need nothing.
    half = np.where(np.arange(16) < 8, of_rows, 0)
    batch = batch.replace(source_length_B=np.maximum(half - 8, 0), length_B=half)
    assert system.step_flops(batch) == pytest.approx(expected / 2)
