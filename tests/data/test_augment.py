"""Joined and swapped examples: still true, still in order, and a function of seed and epoch."""

import collections

import numpy as np
import pytest

from grel.corpora import synthetic
from grel.data import features
from grel.data.augment import Augmentation, Rates
from grel.data.features import Options
from grel.data.pipeline import Batches
from grel.records import Document, Triple
from grel.text import bio, linearize
from grel.text.known import Memory
from grel.text.wordpiece import SPECIAL, Wordpiece, train_vocabulary

DOCUMENTS = synthetic.generate("train", 60)
RELATIONS = {t.relation for d in DOCUMENTS for t in d.triples}
VOCABULARY = train_vocabulary((d.text for d in DOCUMENTS), 400, num_reserved=2 + len(RELATIONS))


def made(order="relation", triple_form="rht", documents=DOCUMENTS, **rates):
    wordpiece = Wordpiece(VOCABULARY, RELATIONS, relation_as="token", triple_form=triple_form)
    memory = Memory.of(documents, wordpiece.relations)
    options = Options(order=order, max_length=200, memory=memory)
    found = features.build(documents, wordpiece, options)
    return found, wordpiece, Augmentation(found, wordpiece, options, Rates(**rates), seed=3)


def facts(found, wordpiece):
    """(source, [(head, tail, relation)]) of each example, as strings of wordpieces."""
    for source, target in found.sequences():
        parsed = linearize.parse(target, wordpiece.form)
        assert parsed.num_malformed == 0
        yield (
            tuple(source),
            [
                (
                    tuple(target[s.head]),
                    tuple(target[s.tail]),
                    wordpiece.relation(target[s.relation]),
                )
                for s in parsed.triples
            ],
        )


def test_without_rates_nothing_changes():
    found, _, augmentation = made()
    again = augmentation(5)
    for name in ("tokens", "labels", "start_E", "source_length_E", "marks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_an_epoch_follows_from_seed_and_number():
    _, _, augmentation = made(join=0.5, swap=0.5)
    _, _, again = made(join=0.5, swap=0.5)
    np.testing.assert_array_equal(augmentation(2).tokens, again(2).tokens)
    assert augmentation(2).tokens.tolist() != augmentation(3).tokens.tolist()


@pytest.mark.parametrize("order", features.ORDERS)
@pytest.mark.parametrize("triple_form", linearize.TRIPLE_FORMS)
def test_joined_texts_say_what_their_parts_say(order, triple_form):
    """Source after source, every triple once, in the order that the targets have."""
    found, wordpiece, augmentation = made(order, triple_form, join=0.7, join_max=2)
    by_source = dict(facts(found, wordpiece))
    originals = [source for source, _ in facts(found, wordpiece)]
    num_joined = 0
    for original, (source, triples) in zip(
        originals, facts(augmentation(0), wordpiece), strict=True
    ):
        parts, rest = [original], source[len(original) :]
        assert source[: len(original)] == original
        while rest:
            part = next(p for p in by_source if rest[: len(p)] == p)
            parts.append(part)
            rest = rest[len(part) :]
        assert len(parts) <= 3
        num_joined += len(parts) > 1
        expected = list(dict.fromkeys(t for part in parts for t in by_source[part]))
        if order == "relation":
            expected.sort(key=lambda triple: triple[2])
        assert triples == expected
    assert 20 < num_joined < 60


def _marks(found):
    """The marks of each source."""
    for start, length in zip(found.start_E[:-1], found.source_length_E, strict=True):
        yield found.marks[start : start + length]


def test_joined_texts_have_the_marks_of_their_parts():
    found, _, augmentation = made(join=0.7, join_max=2)
    joined = augmentation(0)
    of_source = {str(s): m for (s, _), m in zip(found.sequences(), _marks(found), strict=True)}
    sources = [source for source, _ in found.sequences()]
    num_marked = 0
    for original, (source, _), marks in zip(
        sources, joined.sequences(), _marks(joined), strict=True
    ):
        parts = [original]
        while rest := source[sum(map(len, parts)) :]:
            parts.append(next(s for s in sources if rest[: len(s)] == s))
        np.testing.assert_array_equal(marks, np.concatenate([of_source[str(p)] for p in parts]))
        num_marked += marks.any()
    assert num_marked > 50


def test_of_a_swapped_name_is_known_what_was_known_of_the_old_one():
    """Token by token outside of the name; inside, all have the marks of its first token."""
    found, _, augmentation = made(swap=1.0)
    swapped = augmentation(0)
    num_swapped = 0
    for (source, _), (new_source, _), marks, new_marks in zip(
        found.sequences(), swapped.sequences(), _marks(found), _marks(swapped), strict=True
    ):
        of_source = sorted(set(map(tuple, marks.tolist())))
        assert sorted(set(map(tuple, new_marks.tolist()))) == of_source
        kept, new_kept = (
            [i for i, m in zip(ids, of, strict=True) if not m.any()]
            for ids, of in ((source, marks), (new_source, new_marks))
        )
        assert new_kept == kept
        num_swapped += new_source != source
    assert num_swapped > 30


def test_swapped_names_are_of_the_same_relation_and_role():
    """In the text wherever the old one stood, and in all triples; nothing else changes."""
    found, wordpiece, augmentation = made(swap=1.0)
    pools = collections.defaultdict(set)
    for _, triples in facts(found, wordpiece):
        for head, tail, relation in triples:
            pools[relation, "head"].add(head)
            pools[relation, "tail"].add(tail)
    num_swapped = 0
    for (source, triples), (new_source, new_triples) in zip(
        facts(found, wordpiece), facts(augmentation(0), wordpiece), strict=True
    ):
        changed = {
            (old, new)
            for olds, news in zip(triples, new_triples, strict=True)
            for old, new in zip(olds[:2], news[:2], strict=True)
            if old != new
        }
        if not changed:
            assert (source, triples) == (new_source, new_triples)
            continue
        ((old, new),) = changed
        num_swapped += 1
        assert not bio.occurrences(source, new)
        expected = " ".join(map(str, source)).replace(
            " ".join(map(str, old)), " ".join(map(str, new))
        )
        assert " ".join(map(str, new_source)) == expected
        assert not bio.occurrences(new_source, old)
        assert any(
            old in (head, tail) and new in (pools[r, "head"] if old == head else pools[r, "tail"])
            for head, tail, r in triples
        )
        for head, tail, _ in new_triples:
            assert bio.occurrences(new_source, head)
            assert bio.occurrences(new_source, tail)
    assert num_swapped > 30


def test_a_text_whose_names_have_unknown_words_is_joined_to_no_other():
    """Also where the text spells the name otherwise, and so has none of its unknown words."""
    special = [*SPECIAL, "[unused0]", "[unused1]", "[unused2]"]
    documents = [
        Document("1", "ΩΩ in a .", (Triple("ΩΩ", "r", "a"),)),
        Document("2", "c in b .", (Triple("Ψ", "r", "b"),)),
        Document("3", "a in c .", (Triple("a", "r", "c"),)),
    ]
    wordpiece = Wordpiece([*special, *"abc.", "in"], ["r"], relation_as="token")
    options = Options(max_length=60)
    found = features.build(documents, wordpiece, options)
    augmentation = Augmentation(found, wordpiece, options, Rates(join=1.0), seed=0)
    num_joined = 0
    for epoch in range(20):
        heads = [
            [head for head, *_ in triples] for _, triples in facts(augmentation(epoch), wordpiece)
        ]
        assert [sum(map(wordpiece.holds_unknown, of_one)) for of_one in heads] == [1, 1, 0]
        num_joined += sum(len(of_one) > 1 for of_one in heads)
    assert num_joined > 10


def test_a_name_that_is_part_of_another_or_of_a_word_stays():
    special = [*SPECIAL, "[unused0]", "[unused1]", "[unused2]"]
    words = ["New", "York", "City", "Iran", "##ian", "Oslo", "Rome", "left", "."]
    documents = [
        Document("1", "New York City left York .", (Triple("York", "r", "New York City"),)),
        Document("2", "Iran left Iranian .", (Triple("Iran", "r", "Iran"),)),
        Document("3", "Oslo left .", (Triple("Oslo", "r", "Oslo"),)),
        Document("4", "Rome left .", (Triple("Rome", "r", "Rome"),)),
    ]
    wordpiece = Wordpiece([*special, *words], ["r"], relation_as="token", triple_form="rht")
    options = Options(max_length=60)
    found = features.build(documents, wordpiece, options)
    augmentation = Augmentation(found, wordpiece, options, Rates(swap=1.0), seed=0)
    seen = collections.defaultdict(set)
    for epoch in range(40):
        for number, (source, _) in enumerate(facts(augmentation(epoch), wordpiece)):
            seen[number].add(source)
    unchanged = [source for source, _ in facts(found, wordpiece)]
    assert seen[0] == {unchanged[0]}
    assert seen[1] == {unchanged[1]}
    assert len(seen[2]) > 1
    assert len(seen[3]) > 1


def test_labels_are_those_of_the_changed_example():
    _, wordpiece, augmentation = made(join=0.5, swap=0.5)
    changed = augmentation(1)
    for index, (source, target) in enumerate(changed.sequences()):
        slots = linearize.parse(target, wordpiece.form).triples
        entities = [place for s in slots for place in (s.head, s.tail)]
        start, end = changed.start_E[index : index + 2]
        expected = bio.label_per_entity(source, target, entities)
        assert changed.labels[start:end].tolist() == [*expected[0], *expected[1]]


def test_batches_hold_what_an_epoch_brings():
    """As many batches in each epoch, of few shapes; no target is without room."""
    found, wordpiece, augmentation = made(join=0.6, swap=0.3)
    buckets = (24, 48, 96, 200)
    batches = Batches(found, wordpiece, 8, buckets, seed=0, augment=augmentation)
    assert batches.num_batches == -(-len(found) // 8)
    shapes = collections.defaultdict(set)
    for epoch in range(3):
        changed = augmentation(epoch)
        expected = collections.Counter(map(str, changed.sequences()))
        for n in range(batches.num_batches):
            batch = batches[epoch * batches.num_batches + n]
            shapes[batch.tokens_BL.shape[1]].add(batch.num_targets)
            targets_B = batch.length_B - batch.source_length_B
            assert targets_B.max() <= batch.num_targets
            for row, source, length in zip(
                batch.tokens_BL, batch.source_length_B, batch.length_B, strict=True
            ):
                if length:
                    pair = row[1 : source - 1].tolist(), row[source : length - 1].tolist()
                    expected[str(pair)] -= 1
        assert not +expected
        assert min(expected.values()) == 0
    assert len(shapes) >= 3
    assert all(len(rooms) == 1 for rooms in shapes.values())
