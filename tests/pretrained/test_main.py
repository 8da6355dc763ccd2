"""The command that fetches and ports: a foreign file to a checkpoint that a run starts from."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from grel import config as config_lib
from grel.errors import ConfigError
from grel.families.bert import System
from grel.pretrained import __main__ as command
from grel.pretrained import port
from grel.pretrained.port import PretrainedError
from grel.runs.checkpoint import CheckpointError
from grel.text.wordpiece import SPECIAL
from tests import unilm

VOCABULARY = [*SPECIAL, "[unused0]", "[unused1]", *"abcdefghijklm."]
KEY = jax.random.PRNGKey(0)


@pytest.fixture
def config(tmp_path):
    c = config_lib.get_config()
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    c.tokenizer.vocab = str(tmp_path / "vocab.txt")
    c.model.init_from = str(tmp_path / "model.safetensors")
    c.model.size = "tiny"
    c.model.hidden_size, c.model.num_heads, c.model.ff_size = 8, 2, 8
    c.model.max_positions, c.data.buckets = 160, (64,)
    c.model.segments, c.model.layer_norm_eps = "unilm", 1e-5
    wordpiece = command.vocabulary.make_wordpiece(c.tokenizer, [], [])
    tensors = unilm.random_checkpoint(System.build(c, wordpiece).model)
    safetensors.numpy.save_file(tensors, c.model.init_from)
    return c


def test_a_foreign_file_becomes_a_checkpoint_to_start_from(config, tmp_path, capsys):
    workdir = tmp_path / "out"
    command._port(config, workdir)
    said = capsys.readouterr().out
    assert "loaded" in said
    assert "like sentences are closer than unlike ones in" in said
    assert "bio/kernel" in (workdir / "pretrained.txt").read_text()
    model = System.build(config, command.vocabulary.make_wordpiece(config.tokenizer, [], [])).model
    expected, _ = port.load(config.model.init_from, model, VOCABULARY, KEY)
    found, report = port.load(workdir, model, VOCABULARY, jax.random.PRNGKey(1))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert {entry.status for entry in report.entries} == {"loaded"}

    with pytest.raises(CheckpointError, match="is there already; name another --workdir"):
        command._port(config, workdir)
    other = [*VOCABULARY[:-2], "z", "."]
    with pytest.raises(PretrainedError, match="token 19 of its vocabulary is 'm', of the model's"):
        port.load(workdir, model, other, KEY)
    with pytest.raises(PretrainedError, match="has 21 tokens, the model's 22: set"):
        port.load(workdir, model, [*VOCABULARY, "n"], KEY)


def test_what_the_recipe_must_name(config):
    config.model.init_from = ""
    with pytest.raises(ConfigError, match="must name the weights and their"):
        command._port(config, None)
