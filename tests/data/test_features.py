"""Features against examples built by hand, the way back to the triples, and the cache."""

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grel.corpora import synthetic
from grel.data import features
from grel.data.features import (
    FeaturesError,
    LeftOut,
    Options,
    build,
    examples,
    fingerprint,
    notes,
)
from grel.files.locks import locked_folder
from grel.names import locate
from grel.records import Document, Triple
from grel.text import bio, linearize
from grel.text.known import Memory
from grel.text.windows import windows
from grel.text.wordpiece import SPECIAL, Wordpiece

_CHARS = "".join(map(chr, range(33, 127))) + "é"
VOCABULARY = (
    *SPECIAL,
    *(f"[unused{n}]" for n in range(2 + len(synthetic.RELATIONS))),
    *_CHARS,
    *(f"##{c}" for c in _CHARS if c.isalnum()),
    *("the", "born", "in", "##an", "capital"),
)
WORDPIECE = Wordpiece(VOCABULARY, synthetic.RELATIONS)
BORN, LIVES = synthetic.RELATIONS[-2:]
CONTAINS = "/location/location/contains"


@pytest.fixture(scope="module")
def documents():
    some = synthetic.generate("train", 40)
    # Given twice; and a name that the text spells otherwise.
    some[3] = dataclasses.replace(some[3], triples=some[3].triples * 2)
    some[7] = Document("other", "Ana in San Jose", (Triple("Anna", BORN, "San José"),))
    return [*some, Document("none", "says nothing .")]


def _literal(document, wordpiece, labelling="per_entity"):
    """Source and target ids and labels of a document, written out piece by piece."""
    source = wordpiece.encode(document.text).ids
    target, entities = [], []
    for n, triple in enumerate(dict.fromkeys(document.triples)):
        target += [wordpiece.triple_end_id] if n else []
        for name in (triple.head, triple.tail):
            ids = wordpiece.encode(name).ids
            entities.append(slice(len(target), len(target) + len(ids)))
            target += [*ids, wordpiece.part_end_id]
        target += wordpiece.relation_ids[triple.relation]
    source_labels, target_labels = bio.LABELLINGS[labelling](source, target, entities)
    return source, target, source_labels, target_labels


def _contents(found):
    """Source and target ids and labels of each example, read out of the arrays."""
    for i in range(len(found)):
        start, end = found.start_E[i : i + 2]
        cut = start + found.source_length_E[i]
        yield tuple(
            flat[a:b].tolist()
            for flat in (found.tokens, found.labels)
            for a, b in ((start, cut), (cut, end))
        )


@pytest.mark.parametrize("relation_as", ["words", "token"])
@pytest.mark.parametrize("labelling", sorted(bio.LABELLINGS))
def test_features_against_examples_written_out(documents, labelling, relation_as):
    wordpiece = Wordpiece(VOCABULARY, synthetic.RELATIONS, relation_as=relation_as)
    options = Options(labelling=labelling)
    expected = [_literal(document, wordpiece, labelling) for document in documents]
    found = examples(documents, wordpiece, options)
    assert [example[:4] for example in found] == expected
    found = build(documents, wordpiece, options)
    assert len(found) == len(documents)
    assert found.left_out == LeftOut()
    assert list(_contents(found)) == expected
    targets = [len(target) for _, target, *_ in expected]
    packed = [len(source) + len(target) + 3 for source, target, *_ in expected]
    assert found.target_length_E.tolist() == targets
    assert found.packed_length_E.tolist() == packed
    assert (found.tokens.dtype, found.labels.dtype) == (np.uint16, np.uint8)


def test_an_example_by_hand():
    document = Document("1", "Ana in Oz", (Triple("Ana", BORN, "Oz"),))
    ((source, target, *labels, marks),) = examples([document], WORDPIECE, Options())
    assert marks.shape == (6, 0)
    assert [VOCABULARY[i] for i in source] == ["A", "##n", "##a", "in", "O", "##z"]
    part_end = VOCABULARY[WORDPIECE.part_end_id]
    ending = WORDPIECE.relation_ids[BORN]
    head_and_tail = ["A", "##n", "##a", part_end, "O", "##z", part_end]
    assert [VOCABULARY[i] for i in target[: -len(ending)]] == head_and_tail
    assert tuple(target[-len(ending) :]) == ending
    assert labels == [[1, 2, 2, 0, 1, 2], [1, 2, 2, 0, 1, 2, 0, *(0 for _ in ending)]]


def test_unknown_words_of_names_are_those_of_the_text():
    text = "中 in 日 in 本"
    triples = (Triple("日", BORN, "中"), Triple("本", BORN, "月"), Triple("中", BORN, "Oz"))
    documents = [Document("1", text, triples), Document("2", "日 in Oz", triples[:1])]
    found = list(examples(documents, WORDPIECE, Options()))
    part_ends = [
        [token for token in target if token in (*WORDPIECE.unknown_ids, WORDPIECE.part_end_id)]
        for _, target, *_ in found
    ]
    first, second, third, fourth = WORDPIECE.unknown_ids[:4]
    end = WORDPIECE.part_end_id
    assert found[0][0][::2] == [first, second, third]
    assert part_ends[0] == [second, end, first, end, third, end, fourth, end, first, end, end]
    assert part_ends[1] == [first, end, second, end]
    # Each is copied from its own place, and what is not in the text from nowhere.
    assert found[0][2] == [1, 0, 1, 0, 1]
    assert found[0][3][:3] == [1, 0, 1]
    assert found[1][2] == [1, 0, 0, 0]


def test_names_with_unknown_words_are_counted():
    triples = (Triple("日", BORN, "Ana"), Triple("Oz 中", BORN, "日"))
    documents = [Document("1", "日 Ana", triples), Document("2", "日", triples[:1])]
    assert features.unknown_names(documents, WORDPIECE) == ["Oz 中", "日"]
    assert features.unknown_names([], WORDPIECE) == []


def test_a_large_vocabulary_has_larger_ids():
    words = [f"w{n}" for n in range((1 << 16) - len(VOCABULARY))]
    document = Document("1", "w5 last", ())
    for vocabulary, dtype in (
        ([*VOCABULARY, *words[:-1], "last"], np.uint16),
        ([*VOCABULARY, *words, "last"], np.int32),
    ):
        found = build([document], Wordpiece(vocabulary, ()), Options())
        assert found.tokens.dtype == dtype
        assert found.tokens.tolist() == [vocabulary.index("w5"), len(vocabulary) - 1]


def test_chunks_leave_no_trace(documents, monkeypatch):
    memory = Memory.of(documents, WORDPIECE.relations)
    whole = build(documents, WORDPIECE, Options(memory=memory))
    monkeypatch.setattr(features, "_CHUNK", 7)
    _assert_same(build(documents, WORDPIECE, Options(memory=memory)), whole)


_texts = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from(";| [SEP]ab")), max_size=30
)


@st.composite
def _documents(draw):
    text = draw(_texts)
    names = [draw(_texts), *draw(st.lists(_texts, max_size=2))]
    start = draw(st.integers(0, len(text)))
    names += [text[start : start + draw(st.integers(1, 12))], draw(st.sampled_from(" ;|\n")) + "a"]
    names = st.sampled_from([name for name in names if WORDPIECE.encode(name).ids])
    triple = st.builds(Triple, names, st.sampled_from(synthetic.RELATIONS), names)
    return Document("1", text, tuple(draw(st.lists(triple, max_size=5))))


@settings(deadline=None, max_examples=300)
@given(_documents(), st.sampled_from(["words", "token"]))
@example(Document("1", "[unused0] ; | ;", (Triple("[unused0] ;", BORN, "; |"),)), "words")
def test_a_target_reads_back_as_its_triples(document, relation_as):
    wordpiece = Wordpiece(VOCABULARY, synthetic.RELATIONS, relation_as=relation_as)
    ((_, target, _, labels, _),) = examples([document], wordpiece, Options())
    parsed = linearize.parse(target, wordpiece.form)
    written = [
        (target[head], wordpiece.relation(target[relation]), target[tail])
        for head, tail, relation in parsed.triples
    ]
    assert parsed.num_malformed == 0
    assert written == [
        (
            wordpiece.encode_name(triple.head, document.text).ids,
            triple.relation,
            wordpiece.encode_name(triple.tail, document.text).ids,
        )
        for triple in document.without_duplicates().triples
    ]
    for *_, relation in parsed.triples:
        assert set(labels[relation]) == {bio.O}


def _order(document, order):
    ((_, target, *_),) = examples([document], WORDPIECE, Options(order=order))
    parsed = linearize.parse(target, WORDPIECE.form)
    return [WORDPIECE.decode(target[slots.head]) for slots in parsed.triples]


def test_triples_are_in_the_order_of_the_file_or_of_the_text():
    text = "a b c d é"
    triples = (
        Triple("x", BORN, "a"),  # not in the text: last
        Triple("e", BORN, "a"),  # found by its letter
        Triple("d", BORN, "a", (6, 7), (0, 1)),
        Triple("c", BORN, "d", tail_span=(6, 7)),
        Triple("c", CONTAINS, "b"),
        Triple("a", BORN, "b"),
    )
    document = Document("1", text, triples)
    assert _order(document, "file") == ["x", "e", "d", "c", "c", "a"]
    assert _order(document, "position") == ["a", "c", "c", "d", "e", "x"]
    ((_, target, *_),) = examples([document], WORDPIECE, Options(order="position"))
    parsed = linearize.parse(target, WORDPIECE.form)
    tails = [WORDPIECE.decode(target[slots.tail]) for slots in parsed.triples]
    assert tails == ["b", "b", "d", "a", "a", "a"]


def test_a_span_says_more_than_the_first_occurrence():
    triples = (Triple("a", BORN, "b", head_span=(4, 5)), Triple("b", BORN, "a"))
    assert _order(Document("1", "a b a", triples), "position") == ["b", "a"]


def test_a_document_that_is_too_long_is_written_in_windows(documents):
    """By hand: a window has the triples whose names both stand in it; the others stay whole."""
    first, last = documents[0], documents[1]
    far = Triple(first.triples[0].head, BORN, last.triples[0].tail)
    triples = (far, *first.triples, *last.triples)
    text = f"{first.text} {'the capital . ' * 40}{last.text}"
    documents = [*documents, Document("long", text, triples)]
    lengths = build(documents, WORDPIECE, Options()).packed_length_E
    limit = int(np.sort(lengths)[len(lengths) // 2])
    found = build(documents, WORDPIECE, Options(max_length=limit))
    assert found.packed_length_E.max() <= limit
    expected, left_out = [], LeftOut()
    for document, length in zip(documents, lengths, strict=True):
        if length <= limit:
            expected.append(_literal(document, WORDPIECE))
            continue
        left_out.windowed += 1
        offsets = WORDPIECE.encode(document.text).offsets
        held = set()
        for part in windows(document.text, offsets, limit - limit // 4):
            start, end = offsets[part.start][0], offsets[part.stop - 1][1]
            inside = tuple(
                t
                for t in document.triples
                if all(
                    any(start <= a and b <= end for a, b in locate(document.text, name))
                    for name in (t.head, t.tail)
                )
            )
            held |= {t.key for t in inside}
            cut = Document("", document.text[start:end], inside)
            contents = _literal(cut, WORDPIECE)
            if len(contents[0]) + len(contents[1]) + 3 <= limit:
                expected.append(contents)
            else:
                left_out.too_long += 1
        left_out.apart += len({t.key for t in document.triples} - held)
    assert found.left_out == left_out
    assert left_out.windowed > 10
    assert left_out.apart >= 1
    assert list(_contents(found)) == expected


@pytest.mark.parametrize("taught", [False, True])
def test_marks_stand_at_the_tokens_of_the_source(documents, taught):
    """Those that the memory has for the whole text, also where windows are cut out of it."""
    short = min(documents[:20], key=lambda document: len(document.triples) or 9)
    long = dataclasses.replace(short, id="long", text=f"{short.text} {'the capital . ' * 150}")
    documents = [*documents, long]
    memory = Memory.of([*documents[:20], *documents[:10]], WORDPIECE.relations)
    found = build(documents, WORDPIECE, Options(max_length=400, memory=memory, taught=taught))
    assert found.left_out == LeftOut(windowed=1)
    expected, num_bits = [], 0
    for document in documents:
        source = WORDPIECE.encode(document.text)
        own = {triple.key for triple in document.triples} if taught else ()
        marks = memory.marks(document.text, source.offsets, own)
        whole = len(_literal(document, WORDPIECE)[1]) + len(source.ids) + 3 <= 400
        parts = [slice(None)] if whole else windows(document.text, source.offsets, 300)
        expected += [marks[part] for part in parts]
        num_bits += np.unpackbits(marks).sum()
    assert len(found) == len(expected)
    for index, marks in enumerate(expected):
        start, end = found.start_E[index : index + 2]
        cut = start + found.source_length_E[index]
        np.testing.assert_array_equal(found.marks[start:cut], marks)
        assert not found.marks[cut:end].any()
    assert num_bits > 20


@pytest.mark.parametrize("cached", [False, True])
def test_nothing_makes_nothing(documents, tmp_path, cached):
    cache_dir = tmp_path if cached else None
    assert len(build([], WORDPIECE, Options(), cache_dir)) == 0
    none = build(documents, WORDPIECE, Options(max_length=3), cache_dir)
    assert (len(none), none.left_out.windowed) == (0, len(documents))
    assert none.left_out.too_long >= len(documents)
    assert none.packed_length_E.tolist() == []


def test_what_there_is_to_know_before_training():
    def told(train, validation, **options):
        documents = {"train": train, "validation": validation}
        options = Options(**options)
        found = {split: build(part, WORDPIECE, options) for split, part in documents.items()}
        return list(notes(documents, found, WORDPIECE))

    good = Document("1", "a b", (Triple("a", BORN, "b"),))
    assert told([good], [good]) == []
    (note,) = told([good, Document("3", "a b " * 20, (Triple("a", BORN, "b"),))], [], max_length=24)
    assert note.startswith("train: 1 of 2 documents are too long and are written in windows; 0 ")
    (note,) = told([Document("4", "a \u2603", (Triple("a", BORN, "\u2603"),))], [good])
    assert note.startswith("1 names have words that the vocabulary lacks, such as '\u2603'")


def _assert_same(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_the_cache_returns_what_was_computed_and_computes_it_once(documents, tmp_path, monkeypatch):
    options = Options(max_length=90)
    plain = build(documents, WORDPIECE, options)
    assert plain.left_out.windowed > 0
    _assert_same(build(documents, WORDPIECE, options, tmp_path / "new" / "cache"), plain)

    def compute_again(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "examples", compute_again)
    again = build(documents, WORDPIECE, options, tmp_path / "new" / "cache")
    _assert_same(again, plain)
    assert isinstance(again.tokens, np.memmap)
    (folder,) = (tmp_path / "new" / "cache").iterdir()
    assert folder.name == fingerprint(documents, WORDPIECE, options)
    with pytest.raises(AssertionError, match="computed again"):
        build(documents[1:], WORDPIECE, options, tmp_path / "new" / "cache")


def test_the_fingerprint_tells_apart_whatever_the_arrays_depend_on(documents):
    one = documents[0]
    changed = [
        dataclasses.replace(one, text=one.text + "."),
        dataclasses.replace(one, triples=one.triples[1:]),
        dataclasses.replace(one, triples=(dataclasses.replace(one.triples[0], head_span=None),)),
    ]
    everything = Memory.of(documents, WORDPIECE.relations)
    others = Memory.of(documents[1:], WORDPIECE.relations)
    inputs = [
        (documents, WORDPIECE, Options()),
        (documents[::-1], WORDPIECE, Options()),
        (documents[1:], WORDPIECE, Options()),
        *(([other, *documents[1:]], WORDPIECE, Options()) for other in changed),
        (documents, WORDPIECE, Options(labelling="global_lcs")),
        (documents, WORDPIECE, Options(order="position")),
        (documents, WORDPIECE, Options(max_length=511)),
        *((documents, WORDPIECE, Options(memory=memory)) for memory in (everything, others)),
        (documents, WORDPIECE, Options(memory=others, taught=True)),
        (documents, Wordpiece(VOCABULARY, synthetic.RELATIONS, lowercase=True), Options()),
        (documents, Wordpiece([*VOCABULARY, "Ana"], synthetic.RELATIONS), Options()),
    ]
    assert len({fingerprint(*each) for each in inputs}) == len(inputs)
    again = Wordpiece.from_json(WORDPIECE.to_json())
    assert fingerprint(list(documents), again, Options()) == fingerprint(*inputs[0])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [f"{name}.npy" for name in features._ARRAYS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        _flip,
    ],
    ids=["deleted", "emptied", "truncated", "flipped"],
)
def test_a_damaged_array_is_made_anew(tmp_path, damage, name, caplog):
    documents = [Document("1", "Ana in Oz", (Triple("Ana", BORN, "Oz"),))]
    options = Options(memory=Memory.of(documents, WORDPIECE.relations))
    build(documents, WORDPIECE, options, tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder / name)
    _assert_same(
        build(documents, WORDPIECE, options, tmp_path), build(documents, WORDPIECE, options)
    )
    assert f"{folder.name}: damaged cache" in caplog.text
    assert name in caplog.text
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"sha256": 1}', "{", "\ud800"])
def test_a_damaged_account_is_made_anew(tmp_path, content, caplog):
    documents = [Document("1", "Ana in Oz")]
    build(documents, WORDPIECE, Options(), tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "about.json").write_bytes(content.encode(errors="surrogatepass"))
    assert len(build(documents, WORDPIECE, Options(), tmp_path)) == 1
    assert "damaged cache" in caplog.text


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    documents = [Document("1", "Ana in Oz")]
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(FeaturesError, match=r"cannot be made .*No space left"):
            build(documents, WORDPIECE, Options(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(build(documents, WORDPIECE, Options(), tmp_path)) == 1


def test_what_killed_processes_left_is_removed_and_living_ones_are_not(documents, tmp_path):
    name = fingerprint(documents, WORDPIECE, Options())
    for kind in ("dead", "alive"):
        (tmp_path / f"{name}.{kind}").mkdir()
    with locked_folder(tmp_path / f"{name}.alive", wait=False):
        build(documents, WORDPIECE, Options(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.alive"}


def test_a_team_can_read_a_cache(documents, tmp_path):
    umask = os.umask(0o022)
    try:
        build(documents, WORDPIECE, Options(), tmp_path)
    finally:
        os.umask(umask)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o755


def test_two_processes_may_write_the_same_cache(documents, tmp_path, monkeypatch):
    real = features.examples

    def meanwhile_another(*args):
        monkeypatch.setattr(features, "examples", real)
        build(documents, WORDPIECE, Options(), tmp_path)
        return real(*args)

    monkeypatch.setattr(features, "examples", meanwhile_another)
    found = build(documents, WORDPIECE, Options(), tmp_path)
    _assert_same(found, build(documents, WORDPIECE, Options()))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("triple", "message"),
    [
        (Triple("Ana", "/x/y", "Oz"), "document 'd': relation '/x/y' is not in the schema of 10"),
        (Triple("Ana", BORN, "\u200b"), r"document 'd': entity '\\u200b' has no wordpieces"),
        (Triple("\x00", BORN, "Oz"), r"document 'd': entity '\\x00' has no wordpieces"),
    ],
)
def test_triples_that_cannot_be_written(triple, message):
    documents = [Document("c", "Oz"), Document("d", "Ana in Oz", (triple,))]
    with pytest.raises(FeaturesError, match=message):
        build(documents, WORDPIECE, Options())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labelling": "lcs"}, "labelling is 'lcs'; one of .*per_entity.*global_lcs"),
        ({"order": "sorted"}, "order is 'sorted'; one of .*file.*position"),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(FeaturesError, match=message):
        Options(**options)
