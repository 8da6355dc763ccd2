"""Extraction: options, windows, threads, texts that are no texts, and a trained model for real."""

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest

import grel
from grel import config as config_lib
from grel import parallel
from grel.errors import ConfigError, UsageError
from grel.extraction.extractor import Extractor, extract_each
from grel.extraction.opening import cache_compilations, load
from grel.extraction.predict import predict
from grel.extraction.reading import Part, read_document
from grel.extraction.texts import summarize
from grel.families.bert import System
from grel.families.tokens import WordpieceWriter
from grel.families.writer import Tally
from grel.records import Document, Triple, check, read_jsonl
from grel.report.trace import read_traces
from grel.runs import layout
from grel.runs.checkpoint import CheckpointError, Checkpoints
from tests import tiny
from tests.fakes import BORN, LIVES, make_wordpiece, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wordpiece():
    return make_wordpiece()


class FakeDecoder:
    """Writes for each source that its first wordpiece lives in its last one, with .5 a token."""

    def __init__(self, wordpiece, max_source=10**6):
        self.wordpiece = wordpiece
        self.max_source = max_source
        self.sources = []
        self.running = threading.Semaphore(1)

    def place(self, params):
        return parallel.replicate(params)

    def __call__(self, params, sources, beside):
        assert beside is None
        assert self.running.acquire(blocking=False), "two threads at once"
        self.sources += sources
        np.testing.assert_array_equal(parallel.unreplicate(params)["w"], [1, 2])
        written = [self._write(list(ids)) for ids in sources]
        time.sleep(0.001)  # lets other threads run
        self.running.release()
        return written

    def _write(self, ids):
        tokens = self.wordpiece.vocabulary
        return write(
            self.wordpiece,
            f"{tokens[ids[0]]} ; {tokens[ids[-1]]} ; place _ lived",
            probabilities=[0.5, 1, 0.5, *[1] * 4],
            positions=[0, -1, len(ids) - 1, *[-1] * 4],
            num_cut=max(0, len(ids) - self.max_source),
        )

    def trace(self, source, written):
        return [types.SimpleNamespace(label="O", match_length=0, allowed=None, token_id=7)]


@dataclasses.dataclass(frozen=True)
class FakeSystem(System):
    """A system with a decoder of its own."""

    fake: FakeDecoder | None = None

    def decoder(self):
        return self.fake or FakeDecoder(self.wordpiece)


PARAMS = {"w": np.array([1, 2])}


@pytest.fixture
def make(wordpiece):
    """An extractor around a fake decoder."""

    def make(max_source=10**6, **options):
        decoder = FakeDecoder(wordpiece, max_source)
        system = FakeSystem(config_lib.get_config(), wordpiece, None, fake=decoder)
        return Extractor(system, PARAMS, **options)

    return make


def test_extract_replaces_given_triples_and_adds_up(wordpiece):
    given = Triple("Moore", BORN, "York")
    documents = [
        Document("a", "Ann in Medellín", (given,)),
        Document("b", " "),
        Document("c", "Moore in York", (given,)),
    ]
    params = parallel.replicate(PARAMS)
    writer = WordpieceWriter(wordpiece, FakeDecoder(wordpiece, max_source=2))
    extracted, tally = summarize(extract_each(writer, params, documents))
    assert [(d.id, d.text) for d in extracted] == [(d.id, d.text) for d in documents]
    assert [[t.key for t in d.triples] for d in extracted] == [
        [("Ann", LIVES, "Medellín")],
        [],
        [("Moore", LIVES, "York")],
    ]
    assert tally == Tally(cut=2)
    assert extract_each(writer, params, []) == []


def test_a_triple_without_a_score_passes_the_least_threshold_alone():
    def read(text, encoding, output):
        return output, Tally()

    certain, unscored = Triple("Ann", LIVES, "York", score=0.5), Triple("Bo", LIVES, "York")
    again = Triple("Bo", LIVES, "York", score=0.1)
    document = Document("a", "Ann and Bo in York")
    for min_score, expected in ((0.0, [certain, again]), (0.3, [certain])):
        parts = [Part(None, [certain, unscored]), Part(None, [again])]
        writer = types.SimpleNamespace(read=read)
        found = read_document(document, parts, writer, min_score=min_score)
        assert list(found.document.triples) == expected
        assert found.tally.below_min_score == 2 - len(expected)


def test_alternatives_are_what_the_other_beams_wrote(make):
    extractor = make()
    (extraction,) = extractor.extractions([Document("a", "Ann in York")])
    assert extractor.alternatives(extraction) == []
    ((source, written),) = extraction.parts
    other = write(
        extractor.system.wordpiece, "york ; ann ; place _ of _ birth", probabilities=[0.5] * 9
    )
    beams = [Part(source, dataclasses.replace(written, others=(other,)))]
    (document,) = extractor.alternatives(dataclasses.replace(extraction, parts=tuple(beams)))
    assert [t.key for t in document.triples] == [("York", BORN, "Ann")]
    assert document.triples[0].score == pytest.approx(0.5**7)
    windowed = dataclasses.replace(extraction, parts=tuple(beams * 2))
    assert extractor.alternatives(windowed) == []


def test_texts_are_numbered_and_those_of_white_space_are_not_decoded(make):
    extractor = make()
    documents = extractor(["Ann in York", "", " \n", "Moore in New York"])
    assert [(d.id, [t.key for t in d.triples]) for d in documents] == [
        ("0", [("Ann", LIVES, "York")]),
        ("1", []),
        ("2", []),
        ("3", [("Moore", LIVES, "York")]),
    ]
    assert len(extractor._writer._decoder.sources) == 2
    assert extractor([]) == []


LONG = "Ann in York . Moore in Medellin . The place in New York . Ann , Moore , Ann"


def test_long_texts_are_read_in_windows(make):
    extractor = make(max_source=9)
    (extraction,) = extractor.extractions([Document("a", LONG)])
    windows = [
        " ".join(extractor.system.wordpiece.vocabulary[i] for i in part.encoding.ids)
        for part in extraction.parts
    ]
    assert windows == [
        "ann in york . moore in medellin .",
        "the place in new york .",
        "ann , moore , ann",
    ]
    triples = extraction.document.triples
    assert [(t.head, LONG[slice(*t.tail_span)]) for t in triples] == [
        ("Ann", "."),
        ("The", "."),
        ("Ann", "Ann"),
    ]
    assert triples[2].head_spans == ((58, 61), (0, 3), (72, 75))
    assert triples[2].tail_spans == ((72, 75), (0, 3), (58, 61))
    assert extraction.tally == Tally(windowed=1)
    check(extraction.document)


def test_windows_off_cuts_and_counts(make):
    extractor = make(max_source=9, windows=False)
    _, tally = extractor.documents([Document("a", LONG), Document("b", "Ann in York")])
    assert tally == Tally(cut=1)
    assert len(extractor._writer._decoder.sources) == 2


def test_a_text_that_fits_is_not_touched_by_windows(make):
    document = Document("a", LONG)
    size = len(make_wordpiece().encode(LONG).ids)
    with_windows, without = (
        make(max_source=size, windows=on).extractions([document]) for on in (True, False)
    )
    assert (with_windows[0].document, with_windows[0].tally) == (
        without[0].document,
        without[0].tally,
    )
    assert make(max_source=size - 1).documents([document])[1] == Tally(windowed=1)


def test_min_score(make):
    documents = [Document("a", "Ann in York")]
    assert len(make(min_score=0.2).documents(documents)[0][0].triples) == 1
    kept, tally = make(min_score=0.3).documents(documents)
    assert (kept, tally) == (documents, Tally(below_min_score=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copi": "off"}, "unknown option 'copi'; there are windows, min_score, batch_size, copy,"),
        ({"copy": "of"}, "config.decoding.copy is 'of'; one of "),
        ({"max_target": 0}, "config.decoding.max_target is 0"),
        ({"max_target": "7"}, "must be of type int"),
        ({"min_score": 1.5}, "min_score is 1.5"),
        ({"min_score": float("nan")}, "min_score is nan"),
    ],
)
def test_impossible_options_are_refused(make, options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_options_are_part_of_the_configuration_in_use(make):
    extractor = make(copy="off", max_target=5)
    decoding = extractor.system.config.decoding
    assert (decoding.copy, decoding.max_target) == ("off", 5)
    assert config_lib.get_config().decoding.copy == "on"


def test_identity_changes_with_what_is_extracted(make, wordpiece):
    def identities():
        for options in ({}, {"copy": "off"}, {"windows": False}, {"min_score": 0.5}):
            yield make(**options).identity()
        system = FakeSystem(config_lib.get_config(), wordpiece, None)
        for params in ({"w": np.array([1, 3])}, {"v": np.array([1, 2])}, {"w": np.array([1.0, 2])}):
            yield Extractor(system, params).identity()

    found = list(identities())
    assert all(one != other for i, one in enumerate(found) for other in found[:i])
    assert make().identity() == make(batch_size=128, draft=3).identity() == found[0]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("Ann", TypeError, r"^texts is one string; give a list of strings$"),
        (["Ann", None], TypeError, r"^texts\[1\] is of type NoneType; it must be a string$"),
        (["Ann", b"Bo"], TypeError, r"^texts\[1\] is of type bytes"),
        (["Ann", "Bo \ud83d!"], ValueError, r"^texts\[1\] holds half of a surrogate pair at char"),
    ],
)
def test_texts_that_are_none(make, texts, error, message):
    with pytest.raises(error, match=message) as info:
        make()(texts)
    str(info.value).encode()


def test_threads_wait_for_each_other(make):
    extractor = make()
    texts = [[f"{head} in {tail}"] * 20 for head in ("Ann", "Moore") for tail in ("York", "new")]
    found = [None] * len(texts)
    ready = threading.Barrier(len(texts))

    def work(n):
        ready.wait()
        found[n] = [extractor(texts[n]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, results in enumerate(found):
        assert results == [make()(texts[n])] * 10


def test_compilations_are_cached_unless_jax_has_a_cache(monkeypatch, tmp_path):
    settings = {"jax_compilation_cache_dir": None}
    monkeypatch.setattr(
        "grel.extraction.opening.jax",
        types.SimpleNamespace(
            config=types.SimpleNamespace(
                jax_compilation_cache_dir=None, update=settings.__setitem__
            )
        ),
    )
    cache_compilations(tmp_path)
    assert settings["jax_compilation_cache_dir"] == str(tmp_path)
    monkeypatch.undo()
    before = jax.config.jax_compilation_cache_dir
    assert before is not None
    cache_compilations(tmp_path)
    assert jax.config.jax_compilation_cache_dir == before


def test_checkpoints_that_are_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint is 'bets'; one of best, latest"):
        load(tmp_path, "bets")


def test_the_package_offers_it_without_importing_jax():
    assert grel.Extractor is Extractor
    assert (grel.Document, grel.Triple) == (Document, Triple)
    with pytest.raises(AttributeError, match="no attribute 'Extracter'"):
        _ = grel.Extracter
    code = "import grel, sys; grel.Triple; print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"jax", "numpy", "transformers"} & set(done.stdout.split())


@pytest.fixture(scope="module")
def system(wordpiece, tmp_path_factory):
    """A tiny model; with structure "on" random weights write triples as well."""
    fields = {
        "decoding.structure": "on",
        "decoding.max_target": 31,
        "model.max_positions": 80,
        "data.buckets": (48,),
    }
    return System.build(tiny.config(tmp_path_factory.mktemp("tiny"), **fields), wordpiece)


@pytest.fixture(scope="module")
def params(system):
    params = jax.jit(system.init)(jax.random.PRNGKey(0))
    return jax.tree.map(lambda x: np.asarray(x) * 8, params)


TEXTS = [
    "Ann in York",
    "The place of birth of Ann Moore , the Moores , lived in New York .",
    LONG,
    " ".join([LONG] * 4),
    "Ann . Moore .",
    "Medellin",
]


@pytest.fixture(scope="module")
def predicted(system, params, tmp_path_factory):
    """Output, traces and summary by (batch size, chunk size)."""
    folder = tmp_path_factory.mktemp("predicted")
    source, target, trace = (str(folder / name) for name in ("in", "out", "trace"))
    Path(source).write_text("".join(f"{text}\n" for text in TEXTS))
    predicted = {}
    for batch_size, chunk_sizes in ((8, (1, 2, 100)), (16, (100,))):
        extractor = Extractor(system, params, batch_size=batch_size)
        for size in chunk_sizes:
            summary = predict(extractor, source, target, trace=trace, chunk_size=size)
            found = list(read_jsonl(target)), list(read_traces(trace)), summary
            predicted[batch_size, size] = found
    return predicted


def test_a_model_for_real(predicted):
    documents, traces, summary = predicted[8, 100]
    assert [d.text for d in documents] == TEXTS
    assert summary.tally.windowed == 1
    triples = [triple for document in documents for triple in document.triples]
    assert len(triples) > 3
    for triple in triples:
        assert triple.head_spans[0] == triple.head_span
        assert 0 < triple.score <= triple.score_per_token <= 1
    assert len(traces) > len(documents)
    assert list(dict.fromkeys(t.id.partition("#")[0] for t in traces)) == [d.id for d in documents]


def test_a_prediction_does_not_depend_on_batches(predicted):
    """Not at all on chunks; on the batch size no more than scores do on the order of a sum."""
    assert predicted[8, 1] == predicted[8, 2] == predicted[8, 100]

    def without_scores(documents):
        bare = {"score": None, "score_per_token": None}
        return [[dataclasses.replace(t, **bare) for t in d.triples] for d in documents]

    def scores(documents):
        return [(t.score, t.score_per_token) for d in documents for t in d.triples]

    one, other = predicted[8, 100], predicted[16, 100]
    assert one[1:] == other[1:]
    assert without_scores(one[0]) == without_scores(other[0])
    np.testing.assert_allclose(scores(one[0]), scores(other[0]), rtol=1e-4)


def test_from_a_checkpoint(system, params, tmp_path):
    with contextlib.closing(Checkpoints(tmp_path / layout.CHECKPOINTS["latest"])) as checkpoints:
        checkpoints.save(1, params, None, system.about())
    opened = Extractor.from_checkpoint(tmp_path, "latest", min_score=0.5, label="joint")
    given = Extractor(system, params, min_score=0.5, label="joint")
    assert opened.identity() == given.identity()
    assert opened.identity() != Extractor(system, params, min_score=0.5).identity()
    with pytest.raises(CheckpointError, match="no such folder"):
        Extractor.from_checkpoint(tmp_path)


def test_relations_can_be_restricted(system, params):
    extractor = Extractor(system, params)
    for relation in (LIVES, BORN):
        found = extractor.restricted([relation])(TEXTS)
        assert {t.relation for d in found for t in d.triples} == {relation}
    with pytest.raises(ConfigError, match=r"^unknown relation '/no/such'; one of "):
        extractor.restricted(["/no/such"])
    with pytest.raises(ConfigError, match=r"^config.decoding: "):
        Extractor(system, params, structure="off").restricted([LIVES])
    assert extractor.restricted([LIVES]).identity() != extractor.identity()


def test_a_tuned_run_has_a_least_score_of_its_own(tmp_path):
    with pytest.raises(UsageError, match="tuned has a least score of its own: leave min_score out"):
        Extractor.from_checkpoint(tmp_path, tuned=True, min_score=0.3)
