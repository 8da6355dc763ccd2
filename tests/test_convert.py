"""The conversion command: what it writes, what it tells, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from grel import convert
from grel.corpora.drafts import NoteKind
from grel.corpora.formats import FORMATS
from grel.corpora.outputs import OUTPUTS
from grel.records import read_jsonl

REPO = Path(__file__).parents[1]
RELATION = {"em1Text": "Ann Moore", "em2Text": "Time", "label": "company"}
RECORD = {"sentText": "Ann Moore runs Time", "relationMentions": [RELATION]}


@pytest.fixture
def written(tmp_path):
    def write(*records):
        path = tmp_path / "raw.json"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return write


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; gives its status, what it wrote (None for no file) and its messages."""

    def run_convert(path, *options, format="copyre"):
        output = tmp_path / "out.jsonl"
        status = convert.main(
            [f"--format={format}", f"--input={path}", f"--output={output}", *options]
        )
        out, err = capsys.readouterr()
        assert out == ""
        documents = list(read_jsonl(output)) if output.exists() else None
        assert {file.name for file in tmp_path.iterdir()} <= {"raw.json", "out.jsonl", "relations"}
        return status, documents, err.splitlines()

    return run_convert


def _with(**fields):
    return {**RECORD, "relationMentions": [{**RELATION, **fields}]}


def test_what_went_through_is_written_and_counted(written, run):
    again = {**RECORD, "relationMentions": [RELATION, RELATION]}
    status, documents, lines = run(written(RECORD, again, _with(label="None")))
    assert status == 0
    assert [(d.id, len(d.triples)) for d in documents] == [("raw-1", 1), ("raw-2", 2), ("raw-3", 0)]
    assert documents[0].triples[0].tail_span == (15, 19)
    assert lines == [
        "documents: 3",
        "triples: 3 (2 without duplicates)",
        "entity that is not in its text: kept, without a span: 0",
        f"{NoteKind.NO_RELATION}: 1",
        "  line 3: ('Ann Moore', 'Time')",
        "skipped records: 0",
    ]


def test_entities_that_are_not_in_the_text_are_counted_and_the_first_shown(written, run):
    records = [_with(em1Text=f"Bob {number}") for number in range(8)]
    status, documents, lines = run(written(RECORD, *records))
    assert status == 0
    assert [d.triples[0].head_span is None for d in documents] == [False] + [True] * 8
    start = lines.index("entity that is not in its text: kept, without a span: 8")
    shown = [f"  line {number + 2}: 'Bob {number}'" for number in range(5)]
    assert lines[start + 1 : start + 7] == [*shown, "  and 3 more"]


def test_the_first_faulty_record_stops_it(written, run):
    path = written(RECORD, {**RECORD, "sentText": ""}, {**RECORD, "sentText": 1})
    for options in ([], ["--on_error=fail"]):
        assert run(path, *options) == (1, None, [f"error: {path}:2: text is empty"])


def test_faulty_records_can_be_skipped_and_all_are_listed(written, run):
    faulty = [{**RECORD, "sentText": number} for number in range(9)]
    path = written(*faulty, RECORD)
    status, documents, lines = run(path, "--on_error=skip")
    assert status == 0
    assert [document.id for document in documents] == ["raw-10"]
    reason = "field 'sentText' must be a string, not"
    assert lines[:9] == [f"skipped: {path}:{n + 1}: {reason} {n}" for n in range(9)]
    assert lines[9] == "documents: 1"
    assert lines[-1] == "skipped records: 9"


def test_a_file_of_another_format_is_an_error_even_when_skipping(written, run):
    path = written(RECORD, RECORD)
    status, documents, lines = run(path, "--on_error=skip", format="casrel")
    assert (status, documents) == (1, None)
    assert lines[-1] == f"error: {path}: no record of it is in the format 'casrel'"


def test_an_empty_file_gives_an_empty_file(written, run):
    status, documents, lines = run(written())
    assert (status, documents, lines[0]) == (0, [], "documents: 0")


def test_relations_can_be_closed(written, run, tmp_path):
    path = written(RECORD, _with(label="likes"))
    relations = tmp_path / "relations"
    option = f"--relations={relations}"
    relations.write_text("company\r\n\nlikes\n")
    assert run(path, option)[0] == 0
    relations.write_text("company\n")
    (tmp_path / "out.jsonl").unlink()
    assert run(path, option) == (1, None, [f"error: {path}:2: unknown relation 'likes'"])
    relations.write_bytes(b"company\n\xff")
    assert run(path, option) == (
        1,
        None,
        [f"error: {relations}:2: not UTF-8: byte 0xff at byte 1"],
    )


def test_an_error_leaves_an_older_output_as_it_was(written, run, tmp_path):
    output = tmp_path / "out.jsonl"
    run(written(RECORD))
    before = output.read_bytes()
    assert run(written(RECORD, {}))[0] == 1
    assert output.read_bytes() == before


@pytest.mark.parametrize("name", ["data.tup", "./sub/../data.tup", "link"])
def test_the_input_is_not_overwritten_by_whatever_name(tmp_path, capsys, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "data.sent").write_text("x y")
    (tmp_path / "data.tup").write_text("x ; y ; r")
    (tmp_path / "link").symlink_to(tmp_path / "data.tup")
    output = f"{tmp_path}/{name}"
    assert convert.main(["--format=ptrnet", f"--input={tmp_path}/data", f"--output={output}"]) == 1
    assert capsys.readouterr().err == (
        f"error: {output}: is the input {tmp_path}/data.tup as well; name another file\n"
    )
    assert (tmp_path / "data.tup").read_text() == "x ; y ; r"


def test_relations_that_are_probably_one_are_told(written, run):
    records = [_with(label=label) for label in ("lives in", "Lives  in", "lives in", "owns")]
    status, _, lines = run(written(*records))
    assert status == 0
    assert lines[-2] == (
        "relations that differ only in blanks or case: 'Lives  in' (1) and 'lives in' (2); "
        "write them one way"
    )


def test_other_fields_of_records_stay(run, tmp_path):
    record = {"id": "a", "text": "x y", "triples": [], "source": {"page": 7}}
    (tmp_path / "raw.json").write_text(json.dumps(record))
    assert run(tmp_path / "raw.json", format="jsonl")[1][0].other == {"source": {"page": 7}}


def test_help_names_every_format(capsys):
    with pytest.raises(SystemExit) as exit_info:
        convert.main(["--help"])
    assert exit_info.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    named = {line.split()[0] for line in lines if line.startswith("  ") and line.split()}
    assert named >= {*FORMATS, *OUTPUTS}


def test_the_format_is_recognised_and_told(written, run):
    status, documents, lines = run(written(RECORD), format="auto")
    assert (status, [document.id for document in documents]) == (0, ["raw-1"])
    assert lines[0] == "format: copyre (its records have sentText and relationMentions)"
    assert lines[1] == "documents: 1"


def test_what_is_of_no_format_is_one_line(written, run):
    status, documents, lines = run(written({"sentence": "x"}), format="auto")
    assert (status, documents, len(lines)) == (1, None, 1)
    assert "no format fits it: it is JSON objects with the fields 'sentence'" in lines[0]


def test_a_folder_is_told(tmp_path, capsys):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a.json", "b.json"):
        (folder / name).write_text(json.dumps(_with(em1Text="Bob")) + "\n")
    for number in range(7):
        (folder / f"{number}.md").write_text("x")
    output = tmp_path / "out.jsonl"
    assert convert.main([f"--input={folder}", f"--output={output}"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == [
        "files: 2",
        "files of another kind: 0.md, 1.md, 2.md, 3.md, 4.md and 2 more",
    ]
    assert lines[6:8] == ["  a.json:1: 'Bob'", "  b.json:1: 'Bob'"]
    assert [document.id for document in read_jsonl(output)] == ["a-1", "b-1"]


def test_records_go_back_into_a_tool_and_come_again(written, run, tmp_path, capsys):
    run(written(RECORD, _with(em1Text="Bob")))
    folder = tmp_path / "brat"
    records = tmp_path / "out.jsonl"
    assert convert.main([f"--input={records}", "--to=brat", f"--output={folder}"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "format: jsonl (its records have text and triples)"
    assert (
        lines[-2]
        == "not written as it was: triple with a name that is not in its text: left out: 1"
    )
    assert (folder / "raw-1.txt").read_text() == RECORD["sentText"]
    assert convert.main([f"--input={folder}", "--output=-"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["id"], first["triples"][0]["head_span"]) == ("raw-1", [0, 9])
    assert (second["id"], second["triples"]) == ("raw-2", [])


def test_standard_input_needs_a_format(capsys):
    assert convert.main(["--input=-", "--output=-"]) == 2
    assert "say its --format" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--input=x"],
        ["--format=word", "--input=x", "--output=y"],
        ["--format=copyre", "--input=x", "--output=y", "--on_error=ask"],
        ["--to=word", "--input=x", "--output=y"],
        ["--input=", "--output=y"],
        ["--input=x", "--output="],
    ],
)
def test_wrong_usage_exits_with_two(argv, capsys):
    with pytest.raises(SystemExit) as exit_info:
        convert.main(argv)
    assert exit_info.value.code == 2


def test_runs_as_a_module_between_pipes():
    command = [sys.executable, "-m", "grel.convert", "--format=copyre", "--input=-", "--output=-"]
    done = subprocess.run(
        command, cwd=REPO, input=json.dumps(RECORD).encode(), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["id"] == "stdin-1"
    assert done.stderr.startswith(b"documents: 1\n")


def test_a_missing_file_is_one_line_without_a_traceback():
    command = [sys.executable, "-m", "grel.convert", "--format=ptrnet", "--input=none/dev"]
    done = subprocess.run([*command, "--output=-"], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: none/dev.sent: cannot read: No such file or directory\n"
