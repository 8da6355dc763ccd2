"""A system from what a checkpoint says of itself, which may be damaged or a stranger's."""

import contextlib
import json

import jax
import numpy as np
import pytest

from grel.errors import ConfigError
from grel.extraction.extractor import Extractor, extract_each
from grel.extraction.opening import from_about
from grel.extraction.texts import summarize
from grel.families.bert import System
from grel.records import Document, Triple
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


LIVES, BORN = "/people/person/place_lived", "/people/person/place_of_birth"
TAUGHT = [
    Document("1", "Ann lives in Oslo .", (Triple("Ann", LIVES, "Oslo"),)),
    Document("2", "Ann of Oslo .", (Triple("Ann", LIVES, "Oslo"), Triple("Ann", BORN, "Oslo"))),
]


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    config = tiny.config(
        tmp_path_factory.mktemp("memory"), **{"model.memory": True, "model.head": "pointer"}
    )
    return System.learn(config, {"train": TAUGHT, "validation": []})


def test_a_memory_is_kept_and_tells_systems_apart(remembering, system):
    assert remembering.memory.counts == {("Ann", BORN, "Oslo"): 1, ("Ann", LIVES, "Oslo"): 2}
    again = from_about(remembering.about())
    assert again.memory.fingerprint == remembering.memory.fingerprint
    assert again.model == remembering.model
    assert again.params_like()["marks"]["embedding"].shape == (4, 16)
    forgetful = System.learn(remembering.config, {"train": TAUGHT[:1], "validation": TAUGHT})
    assert forgetful.identity() != remembering.identity()
    assert "memory" not in system.about()
    for damaged in ("{", '[["Ann", "eats", "Oslo", 1]]', 7):
        with pytest.raises(CheckpointError, match="damaged"):
            from_about({**remembering.about(), "memory": damaged})


def test_an_example_is_not_told_what_it_taught(remembering):
    prepared = remembering.prepare({"train": TAUGHT, "validation": TAUGHT})

    def told(split):
        """The marks of the first name, by number of the document."""
        batches = prepared[split].batches
        marks_BLZ = batches[0].marks_BLZ
        bits = [np.flatnonzero(np.unpackbits(marks_LZ[1])).tolist() for marks_LZ in marks_BLZ]
        return dict(zip(batches.examples(0), bits, strict=False))

    # Marks are heads and tails of LIVES, then of BORN.
    assert told("train") == {0: [0, 2], 1: [0]}
    assert told("validation") == {0: [0, 2], 1: [0, 2]}


def test_a_writer_is_told_what_the_memory_knows(remembering):
    """Also of a part of a text, and a writer of other relations or bias as well."""
    shapes = remembering.params_like()
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)
    writer = remembering.writer()
    (encoding,) = writer.encode(["so Ann is of Oslo ."])
    marked = [bool(marks.any()) for marks in encoding.marks]
    assert sum(marked) >= 2
    part = slice(1, len(encoding.ids) - 1)
    np.testing.assert_array_equal(encoding.part(part).marks, encoding.marks[part])
    placed = writer.place(params)
    told = writer(placed, [encoding])[0].log_probs
    untold = writer(placed, [encoding._replace(marks=encoding.marks * 0)])[0].log_probs
    assert told.tolist() != untold.tolist()
    assert writer.biased(0.0)(placed, [encoding])[0].log_probs.tolist() == told.tolist()
    np.testing.assert_array_equal(
        writer.biased(1.0).encode(["so Ann is of Oslo ."])[0].marks, encoding.marks
    )


@pytest.fixture(scope="module")
def recalling(remembering):
    """An extractor of the same, whose parameters are random."""
    rng = np.random.default_rng(0)
    shapes = remembering.params_like()
    params = jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)
    return Extractor(remembering, params, structure="on")


def test_known_triples_are_written_beside(recalling):
    """Ann and Oslo stand in two documents, and one of them has BORN."""
    texts = ["so Ann is of Oslo .", "Ann left .", ""]
    written = recalling(texts)
    for share, relations in ((0.6, {LIVES}), (0.5, {LIVES, BORN})):
        added, tally = recalling.balanced(0.0, 0.0, share).documents(written)
        keys = [{triple.key for triple in document.triples} for document in added]
        own = [{triple.key for triple in document.triples} for document in written]
        known = {("Ann", relation, "Oslo") for relation in relations}
        assert keys == [own[0] | known, *own[1:]]
        assert tally.remembered == len(known - own[0]) > 0
        triple = next(t for t in added[0].triples if t.key == ("Ann", LIVES, "Oslo"))
        assert (triple.score, triple.head_span, triple.tail_span) == (1.0, (3, 6), (13, 17))
    assert recalling.balanced(0.0, 0.0, 0.0)(texts) == written
    only = recalling.balanced(0.0, 0.6, 0.5).restricted([BORN])(texts)
    assert {t.relation for document in only for t in document.triples} <= {BORN}
    assert [len(document.triples) for document in recalling.known(written)] == [2, 0, 0]


def test_known_triples_need_a_memory_that_has_shares(remembering, recalling, system):
    config = remembering.config.copy_and_resolve_references()
    config.decoding.known_share = 0.5
    about = {**remembering.about(), "config": config.to_json()}
    writer = from_about(about).writer()
    # As training validates.
    _, tally = summarize(extract_each(writer, writer.place(recalling._host_params), TAUGHT))
    assert tally.remembered > 0
    rows = [row[:4] for row in json.loads(about["memory"])]
    earlier = from_about({**about, "memory": json.dumps(rows)})
    with pytest.raises(ConfigError, match="of an earlier version, which kept no shares; set it to"):
        earlier.writer()
    plain = from_about({**remembering.about(), "memory": json.dumps(rows)})
    extractor = Extractor(plain, recalling._host_params)
    assert [document.triples for document in extractor.known(TAUGHT)] == [(), ()]
    with pytest.raises(ConfigError, match="which kept no shares"):
        extractor.balanced(0.0, 0.0, 0.5)
    with pytest.raises(ConfigError, match="this model has no memory: set it to 0, or train with"):
        from_about(_about(system, **{"decoding.known_share": 0.5}))


def test_a_model_that_is_larger_than_any_memory_is_refused(system, tmp_path):
    params = system.init(jax.random.PRNGKey(0))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(1, jax.tree.map(np.asarray, params), None, system.about())
        config = json.loads(system.about()["config"])
        config["model"]["num_layers"] = 10**9
        about = {**system.about(), "config": json.dumps(config)}
        with pytest.raises(CheckpointError):
            checkpoints.params(from_about(about).params_like())
