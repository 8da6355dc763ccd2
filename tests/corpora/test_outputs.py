"""What is written is read again for what it was, whatever Unicode it has; losses are told."""

import dataclasses
import importlib.util
import json
import re

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from grel.corpora import inputs
from grel.corpora.outputs import OUTPUTS
from grel.corpora.writers.shapes import Loss
from grel.files.faults import RecordError
from grel.records import Document, Triple
from tests.corpora.writers.samples import CHARACTERS, documents, told

HAS_SPACY = importlib.util.find_spec("spacy") is not None
NAMES = {"jsonl": "out.jsonl", "brat": "out", "csv": "out.csv", "spacy": "out.spacy"}
needs_spacy = pytest.mark.skipif(not HAS_SPACY, reason="spaCy is not installed: pip install spacy")
SPACY = pytest.param("spacy", marks=needs_spacy)
BOTH_WAYS = ["jsonl", "doccano", "labelstudio", "brat", "csv", SPACY]


@pytest.fixture
def write(tmp_path_factory):
    """Writes documents, and gives the path and the losses."""

    def write_documents(format, *documents):
        path = tmp_path_factory.mktemp("output") / NAMES.get(format, "out.json")
        losses = []
        OUTPUTS[format].write(path, documents, lambda loss, id: losses.append((loss, id)))
        return path, losses

    return write_documents


# brat's files are text, which grel takes for binary where it has a zero byte.
ZERO = {"brat": st.characters(exclude_categories=["Cs"], exclude_characters="\0")}


@pytest.mark.parametrize("format", BOTH_WAYS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_what_is_written_is_read_again(write, format, data):
    characters = ZERO.get(format, CHARACTERS)
    given_documents = data.draw(
        st.lists(documents(characters), min_size=1, max_size=3, unique_by=lambda d: d.id)
    )
    path, losses = write(format, *given_documents)
    found = inputs.find(str(path))
    assert found.format == format
    read = {document.id: document for document in found.read()}
    assert set(read) == {document.id for document in given_documents}
    for document in given_documents:
        text, triples, entities = told(document)
        if format == "csv":
            linked = {(t.head, t.head_span) for t in triples}
            linked |= {(t.tail, t.tail_span) for t in triples}
            num_lost = sum((name, span) not in linked for name, _, span in entities)
            assert losses.count((Loss.UNLINKED, document.id)) == num_lost
            entities = {one for one in entities if (one[0], one[2]) in linked}
        assert told(read[document.id]) == (text, triples, entities)
    assert format == "csv" or not losses


@pytest.mark.parametrize("format", ["jsonl", "labelstudio", "brat", "csv", SPACY])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(document=documents(st.sampled_from("ab c"), with_scores=True, ids=st.just("x")))
def test_scores_are_read_again(write, format, document):
    path, _ = write(format, document)
    (read,) = inputs.find(str(path)).read()
    assert read.triples == document.triples


def test_doccano_has_no_scores_and_says_so(write):
    document = Document("1", "a b", (Triple("a", "r", "b", (0, 1), (2, 3), 0.5),))
    path, losses = write("doccano", document)
    assert losses == [(Loss.SCORE, "1")]
    assert "0.5" not in path.read_text()


# Of what a prediction has beside its triples, what each format has a place for.
PREDICTED = {Loss.SCORE, Loss.SCORE_PER_TOKEN, Loss.PLACES, Loss.FIELD}
KEPT = {
    **dict.fromkeys(("labelstudio", "brat", "csv"), frozenset({Loss.SCORE})),
    **dict.fromkeys(("ntriples", "cypher"), frozenset({Loss.SCORE, Loss.PLACES})),
    "jsonl": PREDICTED,
    "doccano": set(),
}


@pytest.mark.parametrize("format", [*(f for f in OUTPUTS if f != "spacy"), SPACY])
def test_what_a_format_has_no_place_for_is_told(write, format):
    spans = {"head_spans": ((0, 1), (4, 5)), "tail_spans": ((2, 3),)}
    sure = Triple("a", "r", "b", (0, 1), (2, 3), 0.5, 0.75, **spans)
    plain = Triple("b", "r", "a", (2, 3), (0, 1))
    document = Document("1", "a b a", (sure, plain), {"entities": [], "num_cut": 3})
    path, losses = write(format, document)
    kept = KEPT.get(format, PREDICTED - {Loss.FIELD})
    assert sorted(losses) == sorted((loss, "1") for loss in PREDICTED - kept)
    if format not in ("jsonl", "ntriples", "cypher"):
        # Nothing else than what was told is missing.
        (read,) = inputs.find(str(path)).read()
        lost = {}
        if Loss.SCORE not in kept:
            lost["score"] = None
        if Loss.SCORE_PER_TOKEN not in kept:
            lost["score_per_token"] = None
        if Loss.PLACES not in kept:
            lost |= {"head_spans": (), "tail_spans": ()}
        assert read.triples == (dataclasses.replace(sure, **lost), plain)


@pytest.mark.parametrize("format", ["doccano", "labelstudio", "brat", SPACY])
def test_what_has_no_place_is_left_out_and_told(write, format):
    triples = (Triple("a", "r", "b", (0, 1), None), Triple("a", "r", "Bob"))
    other = {"entities": [{"text": "a c", "type": "T"}]}
    path, losses = write(format, Document("1", "a b c", triples, other))
    (read,) = inputs.find(str(path)).read()
    located = dataclasses.replace(triples[0], tail_span=(2, 3))
    # doc._.triples has what has no place in the text, too.
    if format == "spacy":
        assert losses == [(Loss.PIECES, "1")]
        assert read.triples == (located, dataclasses.replace(triples[1], head_span=(0, 1)))
    else:
        assert losses == [(Loss.PIECES, "1"), (Loss.UNPLACED, "1")]
        assert read.triples == (located,)
    assert [entity["type"] for entity in read.other["entities"]] == ["ENTITY", "ENTITY"]


@pytest.mark.parametrize("format", ["doccano", "labelstudio", "brat"])
def test_what_the_text_spells_otherwise_is_written_as_it_has_it_and_told(write, format):
    document = Document("1", "Jose in Oslo", (Triple("José", "r", "Oslo"),))
    path, losses = write(format, document)
    assert losses == [(Loss.RESPELLED, "1")]
    (read,) = inputs.find(str(path)).read()
    assert read.triples == (Triple("Jose", "r", "Oslo", (0, 4), (8, 12)),)


@needs_spacy
def test_spacy_has_names_as_they_are_spelled(write):
    document = Document("1", "Jose in Oslo", (Triple("José", "r", "Oslo", (0, 4), (8, 12)),))
    path, losses = write("spacy", document)
    (read,) = inputs.find(str(path)).read()
    assert (read.triples, losses) == (document.triples, [])


@pytest.mark.parametrize("format", ["doccano", "labelstudio", "brat", SPACY])
def test_an_entity_on_blanks_is_left_out_and_told(write, format):
    spans = {"T": [0, 1], "U": [1, 4], "V": [4, 5]}
    text = "a \n b"
    entities = [
        {"text": text[slice(*span)], "type": type, "span": span} for type, span in spans.items()
    ]
    triple = Triple("a", "r", "b", (0, 1), (4, 5))
    path, losses = write(format, Document("1", text, (triple,), {"entities": entities}))
    assert losses == [(Loss.BLANK, "1")]
    notes = []
    (read,) = inputs.find(str(path)).read(on_note=notes.append)
    assert [(entity["type"], entity["span"]) for entity in read.other["entities"]] == [
        ("T", [0, 1]),
        ("V", [4, 5]),
    ]
    assert (read.triples, notes) == ((triple,), [])


@pytest.mark.parametrize("format", ["csv", "cypher", "ntriples", "doccano", "labelstudio", "brat"])
def test_a_second_type_of_an_entity_is_written_or_told(write, format):
    types = ("ENTITY", "T1", "T2", "T1", "")  # of which the first and the last say nothing
    entities = [{"text": "a", "type": type, "span": [0, 1]} for type in types]
    triple = Triple("a", "r", "b", (0, 1), (2, 3))
    path, losses = write(format, Document("1", "a b", (triple,), {"entities": entities}))
    content = (path / "1.ann" if format == "brat" else path).read_text()
    has_one = format in ("csv", "cypher")
    assert losses == [(Loss.TYPE, "1")] * has_one
    assert "T1" in content
    assert ("T2" in content) != has_one


@pytest.mark.parametrize("format", [*(f for f in OUTPUTS if f not in ("jsonl", "spacy")), SPACY])
@pytest.mark.parametrize(
    "entities",
    [
        3,
        None,
        [3],
        [{"text": "a", "type": "T", "span": [0, 1]}, {"start": 0, "end": 1, "label": "T"}],
        [{"text": "a"}],
        [{"text": "a", "type": "T", "span": [0, 9]}],
        [{"text": "a", "type": "T", "span": "x"}],
    ],
)
def test_entities_of_strangers_are_a_further_field(write, format, entities):
    triple = Triple("a", "r", "b", (0, 1), (2, 3))
    document = Document("x1", "a b", (triple,))
    path, losses = write(format, dataclasses.replace(document, other={"entities": entities}))
    assert losses == [(Loss.FIELD, "x1")]
    if format in ("ntriples", "cypher"):
        assert path.read_text() == write(format, document)[0].read_text()
    else:
        (read,) = inputs.find(str(path)).read()
        assert read.triples == (triple,)
        assert "T" not in {entity["type"] for entity in read.other.get("entities", ())}


@pytest.mark.parametrize("format", [*(f for f in OUTPUTS if f not in ("jsonl", "spacy")), SPACY])
def test_further_fields_of_entities_are_told(write, format):
    entity = {"text": "a", "type": "T", "span": [0, 1], "id": "Q1", "score": 0.5}
    triple = Triple("a", "r", "b", (0, 1), (2, 3))
    _, losses = write(format, Document("1", "a b", (triple,), {"entities": [entity]}))
    assert losses == [(Loss.ENTITY_FIELD, "1")] * 2


@pytest.mark.parametrize("format", ["doccano", "labelstudio", "brat", SPACY])
def test_an_entity_that_its_span_spells_otherwise_is_written_as_the_text_has_it(write, format):
    names = ("José", "Jose", "Moore")
    entities = [{"text": name, "type": "T", "span": [0, 4]} for name in names]
    path, losses = write(format, Document("1", "Jose .", (), {"entities": entities}))
    assert losses == [(Loss.RESPELLED, "1")] * 2
    notes = []
    (read,) = inputs.find(str(path)).read(on_note=notes.append)
    assert read.other["entities"] == [{"text": "Jose", "type": "T", "span": [0, 4]}]
    assert notes == []


@pytest.mark.parametrize("format", sorted(OUTPUTS.keys() - {"spacy"}))
def test_an_error_leaves_nothing(tmp_path, format):
    def broken():
        yield Document("1", "a b")
        raise RecordError("x", 1, "bad")

    with pytest.raises(RecordError):
        OUTPUTS[format].write(tmp_path / "out", broken(), lambda *_: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", sorted(OUTPUTS.keys() - {"spacy"}))
def test_no_documents_are_a_file_too(write, format):
    path, losses = write(format)
    assert path.exists()
    assert losses == []


def test_a_task_of_label_studio_has_the_score_of_its_least_sure_triple(write):
    triples = [Triple("a", "r", "b", (0, 1), (2, 3), score) for score in (0.5, 0.25)]
    path, _ = write("labelstudio", Document("1", "a b", tuple(triples)), Document("2", "c"))
    first, second = json.loads(path.read_text())
    assert first["predictions"][0]["score"] == 0.25
    assert "score" not in second["predictions"][0]


@pytest.mark.skipif(
    importlib.util.find_spec("label_studio_sdk") is None,
    reason="Label Studio's SDK is not installed: pip install label-studio-sdk",
)
def test_label_studio_takes_the_tasks(write):
    from label_studio_sdk.label_interface import LabelInterface

    config = """
    <View>
      <Relations><Relation value="r"/></Relations>
      <Labels name="label" toName="text"><Label value="ENTITY"/></Labels>
      <Text name="text" value="$text"/>
    </View>"""
    interface = LabelInterface(config)
    triple = Triple("a😊", "r", "b", (0, 2), (3, 4), 0.5)
    path, _ = write("labelstudio", Document("1", "a😊 b", (triple,)), Document("2", "c"))
    for task in json.loads(path.read_text()):
        assert interface.validate_task({"data": task["data"]})
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []


def test_brat_knows_the_types(write, tmp_path):
    entities = [{"text": "a", "type": "Größe", "span": [0, 1]}]
    document = Document("../x", "a b", (Triple("a", "is a", "b"),), {"entities": entities})
    folder, _ = write("brat", document)
    assert {file.name for file in folder.iterdir()} == {
        *("%2E.%2Fx.txt", "%2E.%2Fx.ann", "annotation.conf", "visual.conf"),
    }
    configuration = (folder / "annotation.conf").read_text()
    assert configuration == (
        "[entities]\nGr%C3%B6%C3%9Fe\nENTITY\n\n"
        "[relations]\nis%20a\tArg1:<ENTITY>, Arg2:<ENTITY>\n\n[events]\n\n[attributes]\n\n"
    )
    assert "is%20a | is a\n" in (folder / "visual.conf").read_text(encoding="utf-8")


def test_brat_has_spans_line_by_line(write):
    span = {"text": "a\n  b", "type": "T", "span": [0, 5]}
    folder, _ = write("brat", Document("x", "a\n  b", (), {"entities": [span]}))
    assert (folder / "x.ann").read_text() == "T1\tT 0 1;4 5\ta b\n"


def test_brat_writes_into_a_new_folder_only(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", "-"):
        with pytest.raises(RecordError, match=r"name a new one|name one"):
            OUTPUTS["brat"].write(path, [], lambda *_: None)


def test_brat_follows_links_and_needs_a_name(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    OUTPUTS["brat"].write(tmp_path / "link" / "out", [Document("1", "Ann .")], lambda *_: None)
    assert (tmp_path / "disk" / "out" / "1.txt").read_text() == "Ann ."
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RecordError, match=r"^\.: does not end in the name of a folder"):
        OUTPUTS["brat"].write(".", [], lambda *_: None)


def test_brat_files_of_one_name_are_an_error(tmp_path):
    long = "x" * 1000
    with pytest.raises(RecordError, match="is taken"):
        OUTPUTS["brat"].write(
            tmp_path / "out", [Document(long, "a"), Document(long, "b")], lambda *_: None
        )
    assert not (tmp_path / "out").exists()


def test_a_zero_byte_is_refused_by_brat(write):
    with pytest.raises(RecordError, match="a text with a zero byte"):
        write("brat", Document("1", "a\0"))


# Graphs, which are not read again by grel.


def _unescaped(text):
    """A literal of N-Triples, slowly."""
    chars, rest = [], text
    named = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "\\": "\\"}
    while rest:
        if rest[0] != "\\":
            chars.append(rest[0])
            rest = rest[1:]
        elif rest[1] in "uU":
            size = 4 if rest[1] == "u" else 8
            chars.append(chr(int(rest[2 : 2 + size], 16)))
            rest = rest[2 + size :]
        else:
            chars.append(named[rest[1]])
            rest = rest[2:]
    return "".join(chars)


# The grammar of W3C's recommendation, as far as it is used.
IRI = r"<([^\x00-\x20<>\"{}|^`\\]*)>"
LITERAL = r'"((?:[^\x22\x5C\x0A\x0D]|\\[tbnrf"\\]|\\u[0-9A-Fa-f]{4})*)"(?:\^\^' + IRI + ")?"
STATEMENT = re.compile(rf"{IRI} {IRI} (?:{IRI}|{LITERAL}) \.")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(documents(with_scores=True), max_size=3))
def test_ntriples_follow_the_grammar_and_name_everything(write, given_documents):
    path, losses = write("ntriples", *given_documents)
    content = path.read_bytes().decode()
    assert losses == []
    assert content.count("\n") == len(content.split("\n")) - 1
    labels, facts = {}, []
    for line in content.split("\n")[:-1]:
        match = STATEMENT.fullmatch(line)
        assert match, line
        if match[2].endswith("#label"):
            labels[match[1]] = _unescaped(match[4])
        elif match[2].startswith("urn:grel:relation:"):
            facts.append(match.groups()[:3])
    expected = [triple.key for document in given_documents for triple in document.triples]
    assert [(labels[s], labels[p], labels[o]) for s, p, o in facts] == expected


@pytest.mark.skipif(
    importlib.util.find_spec("rdflib") is None, reason="rdflib is not installed: pip install rdflib"
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(documents(with_scores=True), max_size=3, unique_by=lambda d: d.id))
def test_rdflib_reads_the_same_graph(write, given_documents):
    import rdflib

    path, _ = write("ntriples", *given_documents)
    graph = rdflib.Graph().parse(path, format="nt")
    names = {str(s): str(o) for s, o in graph.subject_objects(rdflib.RDFS.label)}
    facts = {
        (names[str(s)], names[str(p)], names[str(o)])
        for s, p, o in graph
        if str(p).startswith("urn:grel:relation:")
    }
    assert facts == {triple.key for document in given_documents for triple in document.triples}
    statements = set(graph.subjects(rdflib.RDF.type, rdflib.RDF.Statement))
    assert len(statements) == sum(len(document.triples) for document in given_documents)
    scores = sorted(float(o) for o in graph.objects(None, rdflib.URIRef("urn:grel:score")))
    assert scores == sorted(
        t.score for d in given_documents for t in d.triples if t.score is not None
    )


def _cypher_parts(text):
    """The strings, names in backticks and what is between them, of a script; slowly."""
    strings, names, code, place = [], [], [], 0
    while place < len(text):
        char = text[place]
        place += 1
        if char == "'":
            chars = []
            while text[place] != "'":
                if text[place] == "\\" and text[place + 1] == "u":
                    chars.append(chr(int(text[place + 2 : place + 6], 16)))
                    place += 6
                elif text[place] == "\\":
                    chars.append(text[place + 1])
                    assert text[place + 1] in "\\'"
                    place += 2
                else:
                    chars.append(text[place])
                    place += 1
            strings.append("".join(chars))
            place += 1
        elif char == "`":
            end = text.index("`", place)
            names.append(text[place:end])
            place = end + 1
        else:
            code.append(char)
    return strings, names, "".join(code)


NASTY = [*"\\'`\n;u\"}", "\\u0027", "\\u0060", "\\u", "//", "\u2028", "😊"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@example("\\", "\\\\uu")
@given(
    st.lists(st.sampled_from(NASTY) | CHARACTERS.map(str), min_size=1, max_size=6).map("".join),
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=4).map("".join),
)
def test_nothing_ends_a_string_or_a_name_of_cypher(write, name, label):
    assume(name.strip() and label.strip())
    document = Document("d", f"{name} x", (Triple(name, label, "x", score=0.5),))
    path, _ = write("cypher", document)
    content = path.read_bytes().decode()
    assert len(content.split("\n")) == 3
    key = document.triples[0].key
    strings, (type,), code = _cypher_parts(content)
    assert strings == [key[0], key[2], key[1], "d"]
    assert len(type) == len(key[1])
    assert code.splitlines()[1] == (
        "MERGE (h:Entity {name: }) MERGE (t:Entity {name: }) "
        "MERGE (h)-[r: {name: , document: }]->(t) SET r.score = 0.5;"
    )
    # Some versions expand \\u before they look for strings; then nothing else may come of it.
    expanded = re.sub(r"\\u([0-9A-F]{4})", lambda m: chr(int(m[1], 16)), content)
    assert not re.search(r"(?<!\\)(?:\\\\)*\\u", expanded)
    assert _cypher_parts(expanded)[0] == strings
