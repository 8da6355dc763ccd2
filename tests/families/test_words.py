"""Word-level families: what they are taught of a document, and how what they write is read."""

import dataclasses

import jax
import numpy as np
import pytest

from grel.config import get_config
from grel.decoding.driver import Written
from grel.families.registry import FAMILIES
from grel.families.words import Output, PointerWriter
from grel.models import mrmep, ptdec
from grel.models.choices import STOP
from grel.records import Document, Triple
from grel.text.bio import B, I, O
from tests.families.test_base import TINY

TEXT = "Ann Moore of Moore lives in New Delhi ."
TRIPLES = (Triple("Ann Moore", "lives", "New Delhi"), Triple("Moore", "knows", "Ann Moore"))
DOCUMENT = Document("a", TEXT, TRIPLES)
KNOWS, LIVES = 0, 1


def _system(family, **fields):
    config = get_config(family)
    config.update_from_flattened_dict({**TINY[family], "data.order": "file", **fields})
    return FAMILIES[family].learn(config, {"train": [DOCUMENT], "validation": [DOCUMENT]})


def _examples(system, document=DOCUMENT):
    """The columns that are the family's own."""
    return [
        {name: c.tolist() for name, c in example.items() if name not in ("chars", "words")}
        for example in system._examples_of(0, document)
    ]


def test_ptdec_is_taught_all_triples_and_none_behind_them():
    (example,) = _examples(_system("ptdec"))
    assert example == {
        "relations": [LIVES + ptdec.FIRST, KNOWS + ptdec.FIRST, ptdec.NONE],
        "pointers": [[0, 1, 6, 7], [1, 1, 0, 1]],
    }
    assert _examples(_system("ptdec", **{"model.num_steps": 1})) == []


def test_the_weight_of_pointers_is_that_of_the_global_batch():
    system = _system("ptdec")
    batch = system.prepare({"train": [DOCUMENT], "validation": [DOCUMENT]})["train"].batches[0]
    assert set(batch.steps_per_triple_B) == {1.5}
    assert batch.relation_BT[1:].max() == ptdec.PAD


def test_mrmep_is_taught_each_relation_by_itself():
    nothing = [[-1] * 4] * 3
    holds = [KNOWS + mrmep.FIRST, LIVES + mrmep.FIRST]
    system = _system("mrmep")
    assert _examples(system) == [
        {"relation": holds[:1], "holds": holds, "pointers": [[1, 1, 0, 1], *nothing]},
        {"relation": holds[1:], "holds": holds, "pointers": [[0, 1, 6, 7], *nothing]},
    ]
    (bare,) = _examples(system, dataclasses.replace(DOCUMENT, triples=()))
    assert bare == {"relation": [mrmep.NONE], "holds": [], "pointers": [[-1] * 4, *nothing]}


@pytest.mark.parametrize("family", ["copyre", "copymtl"])
def test_copyre_is_taught_last_words_where_the_text_has_them_first(family):
    (example,) = _examples(_system(family))
    assert example["gold"] == [[LIVES, 1, 7], [KNOWS, 1, 1], *[[STOP] * 3] * 3]
    # A later name has the last word: Moore, which is in Ann Moore, and then that again.
    tags = {"tags": [B, I, O, O, O, O, B, I, O]} if family == "copymtl" else {}
    assert {name: column for name, column in example.items() if name != "gold"} == tags


def test_worddec_is_taught_the_target_and_its_labels():
    system = _system("worddec")
    (example,) = _examples(system)
    written = system.words.decode(example["targets"])
    assert written == "Ann Moore ; New Delhi ; lives | Moore ; Ann Moore ; knows [EOS]"
    assert example["labels"] == [B, I, O, B, I, O, O, O, B, O, B, I, O, O, O]
    assert _examples(_system("worddec", **{"decoding.max_target": 14})) == []
    no_word = dataclasses.replace(DOCUMENT, triples=(Triple("\u200b", "lives", "New Delhi"),))
    assert _examples(system, no_word) == []


def test_what_cannot_be_taught_is_left_out_and_told(caplog):
    odd = Document("b", TEXT, (Triple("Ann Moo", "lives", "New Delhi"),))
    long = Document("c", "x " * 41, ())
    system = _system("ptdec")
    prepared = system.prepare({"train": [DOCUMENT, odd, long], "validation": [DOCUMENT]})
    assert [d.id for d in prepared["train"].documents()] == ["a"]
    assert "train: 2 of 3 documents are left out: longer than 40 words" in caplog.text


@pytest.mark.parametrize(
    ("family", "field", "num_taught"),
    [("copyre", "num_triples", 2), ("copymtl", "num_triples", 2), ("mrmep", "num_pairs", 3)],
)
def test_triples_that_a_family_has_no_room_for_are_told(family, field, num_taught, caplog):
    again = Triple("New Delhi", "lives", "Moore"), Triple("Moore", "lives", "Moore")
    more = dataclasses.replace(DOCUMENT, id="b", triples=(*TRIPLES, *again))
    # Repeated ones are no others, and a document that is left out is told by itself.
    twice = dataclasses.replace(DOCUMENT, id="c", triples=(*TRIPLES, *TRIPLES))
    odd = Triple("Ann Moo", "lives", "New Delhi")
    odd = dataclasses.replace(more, id="d", triples=(*more.triples, odd))
    system = _system(family, **{f"model.{field}": 2})
    column, free = ("gold", STOP) if family != "mrmep" else ("pointers", -1)
    rows = [row for example in _examples(system, more) for row in example[column]]
    assert sum(row[0] != free for row in rows) == num_taught
    system.prepare({"train": [more, twice, odd], "validation": [DOCUMENT]})
    num_left_out = len(more.triples) - num_taught
    assert f"train: {num_left_out} triples are left out" in caplog.text
    assert "validation: " not in caplog.text


def test_an_order_is_drawn_once_for_a_document():
    system = _system("ptdec", **{"data.order": "shuffled"})
    orders = {
        tuple(next(system._examples_of(n, DOCUMENT))["relations"].tolist()) for n in range(20)
    }
    assert len(orders) == 2
    first = [next(system._examples_of(3, DOCUMENT))["relations"].tolist() for _ in range(3)]
    assert first[0] == first[1] == first[2]


def test_pointers_are_read_as_names_of_the_text():
    system = _system("ptdec")
    writer = system.writer()
    assert isinstance(writer, PointerWriter)
    steps = 10
    relation_T = np.full(steps, ptdec.NONE)
    relation_T[0] = LIVES + ptdec.FIRST
    pointers_T4 = np.full((steps, 4), -1)
    pointers_T4[0] = 0, 1, 6, 7
    certain_T4 = np.zeros((steps, 4))
    row = ptdec.Extracted(relation_T, pointers_T4, np.full(steps, np.log(0.5)), certain_T4)
    (encoding,) = writer.encode([TEXT])
    (triple,), tally = writer.read(TEXT, encoding, Output(row, 3))
    expected = Triple("Ann Moore", "lives", "New Delhi", (0, 9), (28, 37), score=0.5)
    assert triple == expected
    assert (tally.cut, tally.malformed) == (1, 0)


def test_a_triple_that_was_stopped_in_part_is_malformed():
    system = _system("copyre")
    writer = system.writer()
    choice_N3 = np.array([[LIVES, 1, STOP], [LIVES, 1, 7], *[[STOP] * 3] * 3])
    (encoding,) = writer.encode([TEXT])
    row = type("Row", (), {"choice_BN3": choice_N3, "log_prob_BN3": np.zeros((5, 3))})()
    triples, tally = writer.read(TEXT, encoding, Output(row, 0))
    assert [t.key for t in triples] == [("Moore", "lives", "Delhi")]
    assert (tally.cut, tally.malformed) == (0, 1)


@pytest.mark.parametrize("before", ["", "Ida met Eve . "])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model.label_head": True},
        {"model.label_head": True, "decoding.copy": "off"},
        {"model.label_head": True, "decoding.copy": "on"},
        {"tokenizer.num_unknown": 2},
        {"tokenizer.num_unknown": 2, "model.label_head": True},
        {"tokenizer.num_unknown": 2, "model.label_head": True, "decoding.copy": "on"},
    ],
)
def test_unknown_words_are_read_where_the_model_looked(fields, before):
    system = _system("worddec", **fields)
    writer, words = system.writer(), system.words
    text = f"{before}Zoe and Max of Ulm lives in Bonn ."
    (encoding,) = writer.encode([text])
    # With some before it, it is read in windows, whose unknown words are numbered by themselves.
    encoding = encoding.part(slice(len(before.split()), None))
    assert encoding.ids[:2] == [*words.unknown_ids[:2], words.unk_id][:2]
    assert writer.num_unknown(encoding) == 5
    part, end = words.part_end_id, words.relation_ids["lives"][0]
    ids = np.array([words.unk_id, part, words.unk_id, part, end])
    # What is labelled B ends at its first place, and an unknown word has those of all of them.
    places = np.full(5, -1)
    if "model.label_head" in fields:
        places[[0, 2]] = encoding.ids.index(words.unk_id)
    written = Written(
        ids=ids,
        labels=np.zeros(5, int),
        log_probs=np.log([0.5, 1, 0.5, 1, 1]),
        positions=places,
        ended=True,
        num_cut=0,
        attended=np.array([4, 0, 7, 0, 0]),
    )
    (triple,), tally = writer.read(text, encoding, written)
    ulm = len(before) + 15
    assert (triple.key, triple.head_span) == (("Ulm", "lives", "Bonn"), (ulm, ulm + 3))
    assert triple.score == pytest.approx(0.25)
    assert tally.unknown_names == 2


def test_numbered_words_are_read_where_they_were_copied():
    fields = {"model.label_head": True, "decoding.copy": "on", "tokenizer.num_unknown": 4}
    system = _system("worddec", **fields)
    writer, words = system.writer(), system.words
    text = "Zoe of Ulm saw Zoe in Bonn ."
    (encoding,) = writer.encode([text])
    part, end = words.part_end_id, words.relation_ids["lives"][0]
    ids = np.array([encoding.ids[0], part, encoding.ids[6], part, end])
    places, nowhere = np.array([4, -1, 6, -1, -1]), np.full(5, -1)
    written = Written(ids, np.zeros(5, int), np.zeros(5), places, nowhere, True, 0)
    (triple,), _ = writer.read(text, encoding, written)
    assert (triple.key, triple.head_span) == (("Zoe", "lives", "Bonn"), (15, 18))


@pytest.mark.parametrize(
    "family",
    [
        "ptdec",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("copymtl", "copyre", "mrmep", "worddec")
        ),
    ],
)
def test_word_vectors_come_from_a_file(family, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("Moore 1 2 3 4 5 6 7 8\n[UNK] 9 9 9 9 9 9 9 9\nelse 1 1 1 1 1 1 1 1\n")
    assert _system(family).pretrained(jax.random.PRNGKey(0)) is None
    system = _system(family, **{"tokenizer.vectors": str(path)})
    params, report = system.pretrained(jax.random.PRNGKey(0))
    fresh = system.init(jax.random.PRNGKey(0))
    changed = [
        (mine, np.asarray(theirs))
        for mine, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(fresh), strict=True)
        if not np.array_equal(mine, theirs)
    ]
    ((table, before),) = changed
    row = system.words.vocabulary.index("Moore")
    assert table[row].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero((table != before).any(-1)).tolist() == [row]
    assert report.summary().endswith("vectors of 1 of 8 words; others random")
    report.write(tmp_path / "run")
    assert (tmp_path / "run" / "pretrained.txt").read_text().startswith(str(path))
