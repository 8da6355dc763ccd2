"""The command that writes a split of a corpus as records."""

import subprocess
import sys
from pathlib import Path

from grel.records import Document, Triple, read_jsonl, write_jsonl

ROOT = Path(__file__).parents[2]
SAID = Document("1", "Ann lives in Oslo .", (Triple("Ann", "lives_in", "Oslo"),))


def _run(*argv):
    command = [sys.executable, "-m", "grel.corpora", *argv]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_split_is_written_without_duplicates_as_far_as_a_run_reads_it(tmp_path):
    twice = Document("1", SAID.text, SAID.triples * 2)
    write_jsonl(tmp_path / "train.jsonl", [twice, Document("2", "Bob .", ())])
    fields = {"manual_dir": tmp_path, "data_dir": tmp_path / "tfds", "num_train": 1}
    argv = ["--config=configs/lookup.py:jsonl", "--split=train", f"--output={tmp_path}/out.jsonl"]
    argv += [f"--config.data.{name}={value}" for name, value in fields.items()]
    assert _run(*argv).returncode == 0
    (found,) = read_jsonl(tmp_path / "out.jsonl")
    assert (found.id, found.text) == ("1", SAID.text)
    assert [triple.key for triple in found.triples] == [triple.key for triple in SAID.triples]


def test_raw_files_of_the_corpus_are_not_written_over(tmp_path):
    raw = {split: tmp_path / f"{split}.jsonl" for split in ("train", "validation")}
    for file in raw.values():
        write_jsonl(file, [SAID, Document("2", "Bob .", ())])
    before = raw["train"].read_bytes()
    fields = [f"--config.data.manual_dir={tmp_path}", f"--config.data.data_dir={tmp_path}/tfds"]
    for file in raw.values():
        done = _run("--config=configs/lookup.py:jsonl", *fields, f"--output={file}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(
            f"error: {file}: is the input {file} as well; name another file\n"
        )
        assert file.read_bytes() == before


def test_it_needs_a_recipe():
    done = _run("--split=train")
    assert done.returncode == 2
    assert "--config is missing: a recipe" in done.stderr
    assert "Traceback" not in done.stderr
