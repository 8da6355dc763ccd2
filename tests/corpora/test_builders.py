import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from grel import records
from grel.corpora import builders, formats, synthetic
from grel.corpora.builders import CorpusError, load, prepare
from grel.corpora.corpus_builder import Part
from grel.corpora.drafts import NoteKind
from grel.files.faults import RecordError
from grel.records import Document, Triple

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def write_ptrnet(stem: Path, num_sentences: int) -> None:
    """Sentence n says that the city `<stem> n` lies in Karvale."""
    numbers = range(num_sentences)
    lines = {
        ".sent": [f"{stem.name} {n} lies in Karvale ." for n in numbers],
        ".tup": [f"Karvale ; {stem.name} {n} ; /l/contains" for n in numbers],
        ".pointer": ["4 4 0 1 /l/contains"] * num_sentences,
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in lines.items():
        Path(f"{stem}{suffix}").write_text("".join(f"{line}\n" for line in content))


def ptrnet_documents(stem: str, numbers: range) -> list[Document]:
    documents = []
    for n in numbers:
        city, text = f"{stem} {n}", f"{stem} {n} lies in Karvale ."
        span = (text.index("Karvale"), text.index(" ."))
        triple = Triple("Karvale", "/l/contains", city, span, (0, len(city)))
        documents.append(Document(f"{stem}-{n + 1}", text, (triple,)))
    return documents


def write_jsonl(folder: Path, **documents_of: list[Document]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, documents in documents_of.items():
        records.write_jsonl(folder / f"{split}.jsonl", documents)
    return folder


def documents(*texts: str) -> list[Document]:
    return [Document(f"id{n}", text) for n, text in enumerate(texts)]


STRANGE = [
    Document("none", "Nothing is stated ."),
    Document(
        "spans",
        "Ann and Ann of Time Inc.",
        (
            Triple("Ann", "works", "Time Inc.", (8, 11), (15, 24)),
            Triple("Ann", "works", "Time Inc.", (0, 3), (15, 24)),
            Triple("Ann", "works", "Time Inc.", (0, 3), (15, 24)),
        ),
    ),
    Document(
        "unicode ␀ \u2028 🙂",
        "Zoe\u0308 , 東京 ; Łódź | \U0001f642\u200d e\u0301 \t x",
        (
            Triple("東京", "in ; |", "Łódź", (7, 9), (12, 16)),
            Triple("not in the text", 'quo"ted\\', "Zoe\u0308", None, (0, 4)),
            Triple("Łódź", "r", "nowhere", (12, 16)),
        ),
    ),
    Document("again", "Nothing is stated ."),
]


@pytest.mark.parametrize("name", ["nyt24", "nyt29"])
def test_reduced_divides_the_dev_file(tmp_path, name):
    write_ptrnet(tmp_path / "raw" / "dev", 503)
    kwargs = {"manual_dir": tmp_path / "raw", "data_dir": tmp_path / "data"}
    assert load(name, "reduced", "train", **kwargs) == ptrnet_documents("dev", range(3))
    assert load(name, "reduced", "validation", **kwargs) == ptrnet_documents("dev", range(3, 503))
    with pytest.raises(CorpusError, match="no test split, only train, validation"):
        load(name, "reduced", "test", **kwargs)
    write_ptrnet(tmp_path / "raw" / "test", 2)
    assert load(name, "reduced", "test", **kwargs) == ptrnet_documents("test", range(2))


def test_official_takes_the_files_as_they_are(tmp_path):
    for n, stem in enumerate(("train", "dev", "test"), start=1):
        write_ptrnet(tmp_path / "raw" / stem, n)
    kwargs = {"manual_dir": tmp_path / "raw", "data_dir": tmp_path / "data"}
    for config in ("official", ""):
        assert load("nyt24", config, "train", **kwargs) == ptrnet_documents("train", range(1))
        assert load("nyt24", config, "validation", **kwargs) == ptrnet_documents("dev", range(2))
        assert load("nyt24", config, "test", **kwargs) == ptrnet_documents("test", range(3))


@pytest.mark.parametrize("validation", ["val", "dev"])
@pytest.mark.parametrize("has_test", [False, True])
def test_webnlg(tmp_path, validation, has_test):
    stems = ["train", validation, *(["test"] if has_test else [])]
    for stem in stems:
        sentence = {"text": f"{stem} Ann", "triple_list": [["Ann", "r", stem]]}
        (tmp_path / f"{stem}_triples.json").write_text(json.dumps([sentence]))
    kwargs = {"manual_dir": tmp_path, "data_dir": tmp_path / "data"}
    for split, stem in zip(("train", "validation", "test"), stems, strict=False):
        (document,) = load("webnlg", "", split, **kwargs)
        assert document.text == f"{stem} Ann"
        assert [t.key for t in document.triples] == [("Ann", "r", stem)]
    assert set(prepare("webnlg", **kwargs).info.splits) == {
        "train",
        "validation",
        *(["test"] if has_test else []),
    }


def test_documents_come_back_exactly_and_in_order(tmp_path):
    many = [Document(f"n{n}", f"Sentence {n} .") for n in range(100)]
    folder = write_jsonl(tmp_path / "raw", train=STRANGE + many, test=STRANGE[::-1])
    kwargs = {"manual_dir": folder, "data_dir": tmp_path / "data"}
    for _ in range(2):
        assert load("jsonl", "", "train", **kwargs) == STRANGE + many
        assert load("jsonl", "", "test", **kwargs) == STRANGE[::-1]


def test_prepared_data_is_read_without_the_reader(tmp_path, monkeypatch):
    folder = write_jsonl(tmp_path / "raw", train=STRANGE)
    kwargs = {"manual_dir": folder, "data_dir": tmp_path / "data"}
    first = load("jsonl", "", "train", **kwargs)
    monkeypatch.setitem(formats.READERS, "jsonl", None)
    assert load("jsonl", "", "train", **kwargs) == first


def test_changed_files_and_other_folders_are_never_mixed_up(tmp_path):
    data_dir = tmp_path / "data"
    a = write_jsonl(tmp_path / "a", train=documents("one"))
    b = write_jsonl(tmp_path / "b", train=documents("two"))
    assert load("jsonl", "", "train", manual_dir=a, data_dir=data_dir) == documents("one")
    assert load("jsonl", "", "train", manual_dir=b, data_dir=data_dir) == documents("two")
    write_jsonl(a, train=documents("changed"))
    assert load("jsonl", "", "train", manual_dir=a, data_dir=data_dir) == documents("changed")
    write_jsonl(a, train=documents("one"))
    assert load("jsonl", "", "train", manual_dir=a, data_dir=data_dir) == documents("one")


def test_a_generated_corpus_needs_no_files(tmp_path, monkeypatch):
    parts = builders.Synthetic.builder_configs["default"].parts
    for split, size in (("train", 30), ("validation", 20), ("test", 10)):
        monkeypatch.setitem(parts, split, Part(stop=size))
        expected = synthetic.generate(split, size)
        assert load("synthetic", "", split, data_dir=tmp_path) == expected
        monkeypatch.setitem(parts, split, Part(stop=size // 2))
        assert load("synthetic", "", split, data_dir=tmp_path) == expected[: size // 2]


def test_a_generated_corpus_has_an_end():
    with pytest.raises(ValueError, match="test: a generated split has no end but the `stop`"):
        builders.Synthetic.read("test", Part(), (), None, None)


def test_default_data_dir_is_that_of_tensorflow_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    folder = write_jsonl(tmp_path / "raw", train=STRANGE)
    assert prepare("jsonl", manual_dir=folder).data_path.is_relative_to(tmp_path / "data")


def test_an_address_is_no_place_for_prepared_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://b/tfds")
    with pytest.raises(CorpusError, match=r"gs://b/tfds: .* mount the bucket, .*/mnt/b/tfds"):
        prepare("synthetic")
    assert not list(tmp_path.iterdir())


def test_builders_work_through_tensorflow_datasets(tmp_path):
    write_ptrnet(tmp_path / "raw" / "dev", 501)
    builder = tfds.builder("nyt24/reduced", data_dir=tmp_path / "data")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "raw")
    )
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 1,
        "validation": 500,
    }
    found = tfds.builder_from_directory(builder.data_path).as_data_source("train")[0]
    assert found["text"] == b"dev 0 lies in Karvale ."
    assert found["triples"]["tail"] == [b"dev 0"]
    assert [span.tolist() for span in found["triples"]["tail_span"]] == [[0, 5]]


def test_nothing_on_standard_output_and_no_tensorflow(tmp_path, capsys):
    folder = write_jsonl(tmp_path / "raw", train=STRANGE)
    load("jsonl", "", "train", manual_dir=folder, data_dir=tmp_path / "data")
    assert capsys.readouterr().out == ""
    assert "tensorflow" not in sys.modules


def test_what_was_decided_on_reading_is_told_at_every_load(tmp_path, caplog):
    triple = Triple("Ann", "r", "Medellín", (1, 4))
    folder = write_jsonl(tmp_path / "raw", train=[Document("a", "in Medellin", (triple,))])
    for _ in range(2):
        caplog.clear()
        load("jsonl", "", "train", manual_dir=folder, data_dir=tmp_path / "data")
        assert [record.getMessage() for record in caplog.records] == [
            f"jsonl, train: {kind}: 1"
            for kind in (NoteKind.MISPLACED, NoteKind.MISSING, NoteKind.UNLIKE)
        ]


def test_faults_and_notes_are_those_of_the_part_of_a_file(tmp_path, caplog):
    tuples = tmp_path / "raw" / "dev.tup"
    write_ptrnet(tuples.with_suffix(""), 510)
    lines = tuples.read_text().splitlines()
    for n in (2, 3, 508):
        lines[n] = lines[n].replace("Karvale", "Kàrvale")
    for n in (1, 9, 509):
        lines[n] = "no triple"
    tuples.write_text("".join(f"{line}\n" for line in lines))
    kwargs = {"manual_dir": tmp_path / "raw", "data_dir": tmp_path / "data"}
    # Of 507 sentences that are left the first 7 are for training.
    for split, faulty_lines, num_unlike in (("train", [2], 2), ("validation", [10, 510], 1)):
        caplog.clear()
        faults: list[RecordError] = []
        load("nyt24", "reduced", split, on_error=faults.append, **kwargs)
        assert [fault.line for fault in faults] == faulty_lines
        told = f"nyt24, {split}: {NoteKind.UNLIKE}: {num_unlike}"
        assert [record.getMessage() for record in caplog.records] == [told]
    card = (prepare("nyt24", "reduced", **kwargs).data_path / "README.md").read_text()
    rows = [line.split(" | ") for line in card.splitlines()]
    left_out = {row[0]: row[-1] for row in rows if len(row) > 3}
    assert (left_out["| train"], left_out["| validation"]) == ("1 |", "2 |")


def test_card_lies_beside_the_data(tmp_path):
    folder = write_jsonl(tmp_path / "raw", train=STRANGE)
    builder = prepare("jsonl", manual_dir=folder, data_dir=tmp_path / "data")
    text = (builder.data_path / "README.md").read_text()
    assert text.startswith("# jsonl/default/1.1.0\n")
    assert "| train | 4 | 4 | 4 | 2 | 0 | 1 | 0 |" in text
    assert "| train | train.jsonl | " in text


class TestErrors:
    def test_missing_files_are_named(self, tmp_path):
        write_ptrnet(tmp_path / "raw" / "dev", 2)
        (tmp_path / "raw" / "dev.pointer").unlink()
        kwargs = {"manual_dir": tmp_path / "raw", "data_dir": tmp_path / "data"}
        for config, lacks in (
            ("official", "lacks train.sent, train.tup, train.pointer; put there"),
            ("reduced", "lacks dev.pointer; put there"),
        ):
            with pytest.raises(CorpusError, match=lacks) as error:
                load("nyt24", config, "train", **kwargs)
            assert "\n" not in str(error.value)
            assert str(tmp_path / "raw") in str(error.value)
        assert not (tmp_path / "data").exists()

    def test_half_of_an_optional_split_is_no_split(self, tmp_path):
        write_ptrnet(tmp_path / "dev", 501)
        (tmp_path / "test.sent").write_text("a\n")
        with pytest.raises(CorpusError, match=r"lacks test\.tup, test\.pointer"):
            load("nyt24", "reduced", "train", manual_dir=tmp_path, data_dir=tmp_path / "data")

    def test_empty_folder_and_no_folder(self, tmp_path):
        with pytest.raises(CorpusError, match=r"has none of its files; put there train\.jsonl"):
            load("jsonl", "", "train", manual_dir=tmp_path, data_dir=tmp_path / "data")
        with pytest.raises(CorpusError, match="no manual_dir is given"):
            load("jsonl", "", "train", data_dir=tmp_path / "data")

    def test_a_file_that_leaves_nothing(self, tmp_path):
        write_ptrnet(tmp_path / "raw" / "dev", 500)
        kwargs = {"manual_dir": tmp_path / "raw", "data_dir": tmp_path / "data"}
        with pytest.raises(CorpusError, match=r"dev\.sent: it leaves nothing for train"):
            load("nyt24", "reduced", "validation", **kwargs)

    @pytest.mark.parametrize(
        ("name", "config", "split", "reason"),
        [
            ("nyt", "", "train", "no corpus 'nyt'; one of nyt24, nyt29, webnlg, jsonl, synthetic"),
            ("nyt24", "half", "train", "no config 'half'; one of official, reduced"),
            ("nyt24", "reduced", "dev", "split is 'dev'; one of train, validation, test"),
        ],
    )
    def test_unknown_names(self, tmp_path, name, config, split, reason):
        with pytest.raises(CorpusError, match=reason):
            load(name, config, split, manual_dir=tmp_path, data_dir=tmp_path)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        folder = write_jsonl(tmp_path / "raw", train=STRANGE)
        (tmp_path / "data").write_text("a file")
        with pytest.raises(CorpusError, match="can't be prepared"):
            load("jsonl", "", "train", manual_dir=folder, data_dir=tmp_path / "data")


class TestFaultyRecords:
    @pytest.fixture
    def kwargs(self, tmp_path):
        folder = write_jsonl(
            tmp_path / "raw", train=documents("one", "two"), test=documents("three")
        )
        with (folder / "train.jsonl").open("a") as file:
            file.write('{"id": "bad"}\n')
        return {"manual_dir": folder, "data_dir": tmp_path / "data"}

    def test_fail_by_default_and_leave_nothing_behind(self, kwargs):
        for split in ("train", "test"):
            with pytest.raises(RecordError, match=r"train\.jsonl:3: "):
                load("jsonl", "", split, **kwargs)
        assert not list(kwargs["data_dir"].rglob("*.array_record*"))

    def test_skipped_ones_are_reported_at_every_load(self, kwargs):
        for _ in range(2):
            faults: list[RecordError] = []
            loaded = load("jsonl", "", "train", on_error=faults.append, **kwargs)
            assert loaded == documents("one", "two")
            assert [(Path(f.path).name, f.line) for f in faults] == [("train.jsonl", 3)]
        faults.clear()
        assert load("jsonl", "", "test", on_error=faults.append, **kwargs) == documents("three")
        assert not faults
        with pytest.raises(RecordError, match=r"train\.jsonl:3: "):
            load("jsonl", "", "train", **kwargs)
        readme = prepare("jsonl", **kwargs).data_path / "README.md"
        assert "| train | 2 | 0 | 0 | 0 | 0 | 0 | 1 |" in readme.read_text()


@pytest.mark.parametrize("method", ["download_and_prepare", "_split_generators"])
def test_another_process_is_faster(tmp_path, monkeypatch, method):
    """It has finished before this one begins, or while this one is at work; without locks."""
    monkeypatch.setattr(builders, "locked_folder", lambda *_, **__: contextlib.nullcontext(False))
    folder = write_jsonl(tmp_path / "raw", train=STRANGE)
    kwargs = {"manual_dir": folder, "data_dir": tmp_path / "data"}
    original = getattr(builders.JsonlFolder, method)
    num_others = []

    def slow(self, *args, **kw):
        if not num_others:
            num_others.append(1)
            prepare("jsonl", **kwargs)
        return original(self, *args, **kw)

    monkeypatch.setattr(builders.JsonlFolder, method, slow)
    builder = prepare("jsonl", **kwargs)
    assert num_others
    assert builder.documents("train") == STRANGE
    assert "| train | 4 | 4 |" in (builder.data_path / "README.md").read_text()
    assert [path.name for path in builder.data_path.parent.iterdir()] == ["1.1.0"]


def test_what_a_killed_preparation_left_is_removed(tmp_path):
    kwargs = {
        "manual_dir": write_jsonl(tmp_path / "raw", train=STRANGE),
        "data_dir": tmp_path / "data",
    }
    path = prepare("jsonl", **kwargs).data_path
    path.rename(path.with_name(f"incomplete.6C92FJ_{path.name}"))
    assert prepare("jsonl", **kwargs).documents("train") == STRANGE
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["*array_record*", "dataset_info.json", "features.json"])
@pytest.mark.parametrize("harm", [_flip, lambda path: os.truncate(path, 30), Path.unlink])
def test_a_damaged_corpus_is_made_anew(tmp_path, name, harm):
    kwargs = {
        "manual_dir": write_jsonl(tmp_path / "raw", train=STRANGE),
        "data_dir": tmp_path / "data",
    }
    for file in prepare("jsonl", **kwargs).data_path.glob(name):
        harm(file)
    assert load("jsonl", "", "train", **kwargs) == STRANGE


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real corpora in {SHARED}")
@pytest.mark.parametrize(
    ("name", "config", "sizes"),
    [
        ("nyt24", "reduced", (4500, 500)),
        ("nyt29", "reduced", (6533, 500)),
        ("webnlg", "", (5019, 500)),
    ],
)
def test_real_corpora(tmp_path, name, config, sizes):
    builder = prepare(name, config, manual_dir=SHARED / name, data_dir=tmp_path)
    for split, size in zip(("train", "validation"), sizes, strict=True):
        assert builder.info.splits[split].num_examples == size
        statistics = builder.info.metadata[split]["statistics"]
        assert statistics["examples"] == size
        assert not builder.info.metadata[split]["faults"]
    config_parts = builder.builder_config.parts
    files = builder.files(builder.builder_config, SHARED / name)
    for split in ("train", "validation"):
        raw = builder.read(split, config_parts[split], files[split], None, None)
        assert builder.documents(split) == raw
