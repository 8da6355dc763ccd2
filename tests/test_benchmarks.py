"""Benchmarks run through; what they say is for an idle machine."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from grel.text.vectors import read_vectors
from tests.benchmarks import minilm_vectors

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_all_of_an_accelerator_runs_through_at_tiny_sizes():
    command = ["bash", "tests/benchmarks/accelerator.sh", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    named = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("== ")]
    if importlib.util.find_spec("torch") is None:
        named.insert(3, "decode_transformers")
    assert named == ["train_step", "train_step", "heads", "decode_transformers", "startup"]
    assert done.stdout.count("no attention dropout") == 2
    assert done.stdout.count(" examples/s") >= 4


def test_word_vectors_are_means_of_wordpieces(tmp_path, monkeypatch):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ann", "os", "##lo", "in", "lives"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    table_VD = np.random.default_rng(0).standard_normal((len(pieces), 4)).astype(np.float32)
    save_file({"embeddings.word_embeddings.weight": table_VD}, tmp_path / "model.safetensors")
    record = {"id": "1", "text": "Ann lives in Oslo", "triples": []}
    (tmp_path / "train.jsonl").write_text(json.dumps(record))
    output = tmp_path / "vectors.txt"
    argv = ["", f"--weights={tmp_path}", f"--jsonl={tmp_path / 'train.jsonl'}"]
    monkeypatch.setattr(sys, "argv", [*argv, f"--output={output}", "--num_features=3"])
    minilm_vectors.main()
    words = ["Ann", "Oslo", "in", "lives"]
    vectors_WX, found_W = read_vectors(output, [*words, "Paris"], 3)
    assert found_W.tolist() == [True] * 4 + [False]
    # Four words span three dimensions, in which they keep their distances, but for a factor.
    ids = {"Ann": [5], "Oslo": [6, 7], "in": [8], "lives": [9]}
    means_WD = np.stack([table_VD[ids[word]].mean(0) for word in words])

    def distances(x_WX):
        return np.linalg.norm(x_WX[:, None] - x_WX[None], axis=-1)[np.triu_indices(4, 1)]

    ratios = distances(vectors_WX[:4]) / distances(means_WD)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)
    np.testing.assert_allclose(vectors_WX[:4].std(), 0.25 / np.sqrt(3), rtol=1e-3)
