"""The UniLM recipes with random checkpoints of the true shape: weights to triples, end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import safetensors.numpy

from grel import recipes
from grel.families.bert import System
from grel.pretrained import port
from grel.text import vocabulary
from grel.text.wordpiece import SPECIAL
from tests import tiny, unilm

ROOT = Path(__file__).parents[2]
VOCAB_SIZE = 28_996


def _fields(folder):
    """A corpus, a vocabulary and a batch for this machine, as fields of the configuration."""
    tiny.write_corpus(folder / "corpus")
    lines = (folder / "corpus" / "train.jsonl").read_text().splitlines()
    words = sorted({word for line in lines for word in json.loads(line)["text"].split()})
    words += ["place", "lived", "of", "birth", "_"]
    tokens = [*SPECIAL, *(f"[unused{n}]" for n in range(99)), *words]
    tokens += [f"word{n}" for n in range(VOCAB_SIZE - len(tokens))]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    return {
        "data.name": "jsonl",
        "data.manual_dir": str(folder / "corpus"),
        "data.data_dir": str(folder / "tfds"),
        "data.cache_dir": "",
        "data.buckets": (40,),
        "tokenizer.vocab": str(folder / "vocab.txt"),
        "model.init_from": str(folder / "model.safetensors"),
        "train.batch_size": 8,
        "train.num_epochs": 0.3,
        "decoding.max_target": 7,
        "decoding.batch_size": 8,
    }


def _config(recipe, fields):
    config = recipes.load(str(ROOT / recipe))
    config.update_from_flattened_dict(fields)
    return config


def _model(config):
    return System.build(config, vocabulary.make_wordpiece(config.tokenizer, [], [])).model


def _main(*args, **more):
    """Runs the command on one device, as its eight fake ones would each hold the model."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
    command = [sys.executable, "-m", "grel.main", *args]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, text=True, capture_output=True, **more
    )


@pytest.mark.slow
def test_a_base_model_trains_and_extracts(tmp_path):
    fields = _fields(tmp_path)
    config = _config("configs/unilm.py:base-nyt24", fields)
    tensors = unilm.random_checkpoint(_model(config), stddev=0.02)
    assert tensors["bert.embeddings.word_embeddings.weight"].shape == (VOCAB_SIZE, 768)
    safetensors.numpy.save_file(tensors, config.model.init_from)
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    run = f"--workdir={tmp_path / 'run'}"
    _main("--mode=train", "--config=configs/unilm.py:base-nyt24", run, *flags)
    table = (tmp_path / "run" / "pretrained.txt").read_text()
    assert {line.split()[0] for line in table.splitlines()[1:]} == {"loaded", "unused", "fresh"}
    done = _main("--mode=predict", run, input="Ann Moore lives in Oslo .\n")
    assert json.loads(done.stdout)["text"] == "Ann Moore lives in Oslo ."


@pytest.mark.slow
def test_a_large_model_takes_every_tensor(tmp_path):
    config = _config("configs/unilm.py:large-nyt24", _fields(tmp_path))
    model = _model(config)
    tensors = unilm.random_checkpoint(model, stddev=0.02)
    safetensors.numpy.save_file(tensors, config.model.init_from)
    vocabulary = (tmp_path / "vocab.txt").read_text().split("\n")
    params, report = port.load(config.model.init_from, model, vocabulary, jax.random.PRNGKey(0))
    assert params["layers"]["query"]["kernel"].shape == (24, 1024, 16, 64)
    assert {e.parameter for e in report.entries if e.status == "fresh"} == {
        "bio/kernel",
        "bio/bias",
    }
