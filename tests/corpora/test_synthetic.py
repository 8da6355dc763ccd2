import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from grel.corpora import synthetic
from grel.records import Document, Triple

# Capitalized words of the sentences that are in no name.
_OPENING_WORDS = {"According", "After", "At", "Guests", "Last", "Monday", "Officials", "On", "The"}
_NAME = re.compile(r"[A-Z]\w*(?: (?:of )?[A-Z]\w*)*")


def names_in(text: str) -> set[str]:
    """Maximal runs of capitalized words, "University of" joined with what follows it."""
    found = (name.split() for name in _NAME.findall(text))
    stripped = (words[1:] if words[0] in _OPENING_WORDS else words for words in found)
    return {" ".join(words) for words in stripped if words}


def entities(document: Document) -> set[str]:
    return {name for t in document.triples for name in (t.head, t.tail)}


def phenomena(document: Document) -> set[str]:
    """Which of the difficulties that the corpus promises this sentence has."""
    names, used = names_in(document.text), entities(document)
    first_words = Counter(name.split()[0] for name in names)
    pairs = Counter(frozenset((t.head, t.tail)) for t in document.triples)
    has = {
        "shared prefix": any(first_words[name.split()[0]] > 1 for name in used),
        "shared prefix, both in triples": max(Counter(n.split()[0] for n in used).values()) > 1,
        "name is prefix of another": any(
            other.startswith(f"{name} ") for name in used for other in names
        ),
        "shared entity": any(
            {a.head, a.tail} & {b.head, b.tail} and {a.head, a.tail} != {b.head, b.tail}
            for a in document.triples
            for b in document.triples
        ),
        "same pair twice": max(pairs.values()) > 1,
        "nested, both in triples": any(
            a != b and f" {a} " in f" {b} " and b.endswith(a) for a in used for b in used
        ),
        "distractor": bool(names - used),
    }
    return {name for name, holds in has.items() if holds}


@pytest.fixture(scope="module")
def corpora() -> dict[str, list[Document]]:
    sizes = {"train": 4000, "validation": 1000, "test": 1000}
    return {split: synthetic.generate(split, n) for split, n in sizes.items()}


def test_phenomena_of_a_sentence_with_all_of_them():
    text = "Kari Lo and Kari Mu of Kari left the University of Nola , not Besa ."
    triples = (
        Triple("Kari Lo", "r", "Nola"),
        Triple("Nola", "s", "Kari Lo"),
        Triple("Kari Mu", "r", "University of Nola"),
        Triple("Kari", "r", "Nola"),
    )
    assert len(phenomena(Document("a", text, triples))) == 7
    plain = Document("b", "Kari Lo left Nola .", (Triple("Kari Lo", "r", "Nola"),))
    assert phenomena(plain) == set()


@pytest.mark.parametrize("split", synthetic.SPLITS)
def test_every_phenomenon_is_frequent(corpora, split):
    counts = Counter(name for d in corpora[split] for name in phenomena(d))
    shares = {name: count / len(corpora[split]) for name, count in counts.items()}
    assert len(shares) == 7
    assert shares["shared prefix"] > 0.4
    assert shares["distractor"] > 0.4
    assert min(shares.values()) > 0.08, shares


@pytest.mark.parametrize("split", synthetic.SPLITS)
def test_documents_are_well_formed(corpora, split):
    documents = corpora[split]
    assert [d.id for d in documents] == [f"synthetic-{split}-{n}" for n in range(len(documents))]
    assert len({d.text for d in documents}) == len(documents)
    for d in documents:
        names = names_in(d.text)
        for t in d.triples:
            for entity, (start, end) in ((t.head, t.head_span), (t.tail, t.tail_span)):
                assert d.text[start:end] == entity
                # Either a name of the sentence at a place of its own, or the end of another's.
                nested = re.search(r"[A-Z]\w+ of $", d.text[:start]) is not None
                assert (entity in names) != nested
                assert entity in names or any(name.endswith(f" of {entity}") for name in names)
            assert t.relation in synthetic.RELATIONS
            assert t.head != t.tail
        assert [t.head_span for t in d.triples] == sorted(t.head_span for t in d.triples)
        assert d == d.without_duplicates()
        assert d.text == " ".join(d.text.split())
        assert d.text[0].isupper()
        assert d.text.endswith(" .")


@pytest.mark.parametrize("split", synthetic.SPLITS)
def test_sizes(corpora, split):
    documents = corpora[split]
    assert {len(d.triples) for d in documents} == {1, 2, 3, 4}
    assert {len(name.split()) for d in documents for name in entities(d)} == {1, 2, 3, 4}
    lengths = [len(d.text.split()) for d in documents]
    assert max(lengths) <= 30
    assert 14 <= sum(lengths) / len(lengths) <= 20
    assert {t.relation for d in documents for t in d.triples} == set(synthetic.RELATIONS)


def test_two_relations_share_their_last_segment():
    last = Counter(relation.rsplit("/", 1)[1] for relation in synthetic.RELATIONS)
    assert max(last.values()) >= 2


def test_splits_share_no_entity_and_no_invented_word(corpora):
    names = {s: {e for d in docs for e in entities(d)} for s, docs in corpora.items()}
    words = {s: {w for d in docs for w in d.text.split()} for s, docs in corpora.items()}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not names[a] & names[b]
    # What all splits share is the vocabulary of the templates; all else obeys the hash.
    common = words["train"] & words["validation"] & words["test"]
    assert len(common) < 120
    for split in synthetic.SPLITS:
        assert {synthetic.word_split(word) for word in words[split] - common} == {split}
        # Every entity has a word of its own split: no name is made of common words alone.
        assert all(set(name.split()) - common for name in names[split])


def test_letters_of_test_names_are_known_from_training(corpora):
    letters = {s: {c for d in docs for c in d.text} for s, docs in corpora.items()}
    assert letters["test"] | letters["validation"] <= letters["train"]


def test_training_names_hardly_repeat(corpora):
    names = [name for d in corpora["train"] for name in entities(d)]
    assert len(set(names)) / len(names) > 0.95
    assert len({word for name in names for word in name.split()}) > 8_000


def test_more_examples_begin_like_fewer_and_seeds_differ():
    assert synthetic.generate("test", 50)[:20] == synthetic.generate("test", 20)
    assert synthetic.generate("test", 0) == []
    first, second = (synthetic.generate("test", 20, seed) for seed in (1, 2))
    assert not {d.text for d in first} & {d.text for d in second}


def _digest() -> str:
    documents = [d for split in synthetic.SPLITS for d in synthetic.generate(split, 200, seed=3)]
    facts = [[(t.key, t.head_span, t.tail_span) for t in d.triples] for d in documents]
    texts = [(d.id, d.text) for d in documents]
    return hashlib.sha256(repr((texts, facts)).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_corpus_in_every_process(hash_seed):
    command = f"import sys; sys.path[:0] = {sys.path!r}; import {__name__} as t; print(t._digest())"
    run = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == _digest()


def test_the_same_corpus_in_every_python():
    """Scores in RESULTS.md hold for this corpus; whoever changes it has to measure them again."""
    assert _digest() == "3f677b6f87fbbd6672aff2de201187b25cfd84b39bb027d35be1e28b42216d26"


@pytest.mark.parametrize(
    ("split", "num_examples", "reason"), [("dev", 1, "'dev'"), ("train", -1, "-1")]
)
def test_bad_arguments_are_refused(split, num_examples, reason):
    with pytest.raises(ValueError, match=reason):
        synthetic.generate(split, num_examples)
