"""Guesses against a literal guesser; that they change nothing written is in test_greedy.py."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding import copying, drafts, structure
from grel.text import bio, linearize
from grel.text.bio import B, I, O
from tests.decoding import reference

CLS, END, PART_END, TRIPLE_END = EXCLUDED = 1, 3, 4, 5
WORDS = range(10, 15)
JOINED = (13, 14)
VOCAB, ROWS, WIDTH, LENGTH, NUM_DRAFTED = 15, 1500, 12, 40, 6
FORMS = {
    "htr": ([(6,), (6, 7), (8, 9, 6)], linearize.Form(PART_END, TRIPLE_END)),
    "rht": ([(6,), (6, 7), (8, 9, 6)], linearize.Form(PART_END, TRIPLE_END, True)),
    "opened": ([(6,), (7,)], linearize.Form(PART_END, TRIPLE_END, True, frozenset([6, 7]))),
}


@jax.jit
def _draft(grammar, source_BS, source_length_B, tokens_BT, labels_BT, length_B):
    masks = copying.copy_masks(source_BS, source_length_B, EXCLUDED)
    rules = copying.Rules(followed=grammar)

    def write(copied, xs):
        t, token_B, label_B = xs
        after = copying.advance(masks, copied, token_B, label_B, copied.mass_BS, rules)
        is_written_B = t < length_B
        return jax.tree.map(
            lambda new, old: jnp.where(is_written_B.reshape(-1, *[1] * (old.ndim - 1)), new, old),
            after,
            copied,
        ), None

    steps = jnp.arange(LENGTH), tokens_BT.T, labels_BT.T
    copied, _ = jax.lax.scan(write, copying.init_copy(masks), steps)
    hints = drafts.Hints(grammar, jnp.isin(jnp.arange(VOCAB), jnp.array(JOINED)), PART_END)
    return drafts.draft(hints, NUM_DRAFTED, masks, copied, tokens_BT, labels_BT, length_B)


def draft(form: str, sources, tokens, labels) -> np.ndarray:
    """What is guessed after each output."""
    relations, how = FORMS[form]
    grammar = structure.Schema({str(r): r for r in relations}, how, END).grammar()
    # Always as many rows, so that it is compiled once for each form.
    source_BS, source_length_B, length_B = np.zeros((ROWS, WIDTH), int), *np.zeros((2, ROWS), int)
    tokens_BT, labels_BT = (np.full((ROWS, LENGTH), x) for x in (END, O))
    for row, (source, written, of_written) in enumerate(zip(sources, tokens, labels, strict=True)):
        source_length_B[row], length_B[row] = len(source) + 2, len(written)
        source_BS[row, : len(source) + 2] = [CLS, *source, END]
        tokens_BT[row, : len(written)] = written
        labels_BT[row, : len(written)] = of_written
    grammar = jax.tree.map(jnp.asarray, grammar)
    drafted_BU = _draft(grammar, source_BS, source_length_B, tokens_BT, labels_BT, length_B)
    return np.asarray(drafted_BU)[: len(sources)]


def names_of(tokens: list[int], labels: list[int]) -> list[list[int]]:
    """All names in the order in which they were begun."""
    names = []
    for token, label in zip(tokens, labels, strict=True):
        if label == B:
            names.append([])
        if label != O:
            names[-1].append(token)
    return names


def repeated(tokens: list[int], labels: list[int]) -> list[int]:
    """The rest of the names of the last triple, if this one has begun with them."""
    names = names_of(tokens, labels)
    num_begun = 1 if len(names) % 2 else 2 * (labels[-1:] not in ([], [O]))
    earlier, begun = names[: len(names) - num_begun], names[len(names) - num_begun :]
    if not earlier:
        return []
    so_far = []
    if begun:
        start = [t for t, label in enumerate(labels) if label == B][-num_begun]
        so_far = tokens[start:]
    head, tail = earlier[-2:]
    orders = [[*head, PART_END, *tail], [*tail, PART_END, *head]]
    if len(earlier) == 2:
        orders.reverse()
    for names in orders:
        if len(names) > len(so_far) and names[: len(so_far)] == so_far:
            return names[len(so_far) :]
    return []


def literal(form: str, source, tokens, labels) -> tuple[list[int], list[str]]:
    """The guesses, and why each was made."""
    layout = reference.Layout(FORMS[form][0], PART_END, TRIPLE_END, END, form)
    again = repeated(tokens, labels)
    q = reference.copied_so_far(tokens, labels)
    starts = bio.occurrences(source, q) if q else []
    place = starts[0] + len(q) if starts else len(source)
    tokens, labels, guessed, why = list(tokens), list(labels), [], []
    while len(guessed) < NUM_DRAFTED:
        moves = reference.structured_moves(source, tokens, labels, EXCLUDED, layout)
        in_name = labels[-1:] not in ([], [O])
        others = sorted(moves.get(O, ()))
        following = source[place] if place < len(source) else None
        if again and (in_name or B in moves):
            token = again.pop(0)
            label = O if token == PART_END else (I if in_name else B)
            place = len(source)
            why.append("again")
        elif in_name and following and (following in JOINED or len(others) != 1):
            token, label, place = following, I, place + 1
            why.append("in the word" if following in JOINED else "next word")
        elif len(others) == 1 and B not in moves:
            token, label, place = others[0], O, len(source)
            why.append("the separator" if in_name else "the relation")
        else:
            why.append("nothing")
            break
        guessed.append(token)
        tokens.append(token)
        labels.append(label)
    return guessed + [PART_END] * (NUM_DRAFTED - len(guessed)), why


def random_outputs(form: str, num: int):
    """Sources and the beginnings of targets that are about their names, often about the same."""
    rng = np.random.default_rng(3)
    relations, how = FORMS[form]
    for _ in range(num):
        source = rng.choice([*WORDS], rng.integers(1, WIDTH - 1)).tolist()

        def name(source=source):
            start = rng.integers(len(source))
            return source[start : start + rng.integers(1, 4)]

        pair, triples = (name(), name()), []
        for _ in range(rng.integers(1, 4)):
            kind = rng.integers(5)
            pair = {0: (name(), name()), 1: (pair[0], name()), 2: pair}.get(kind, pair[::-1])
            triples.append((*pair, relations[rng.integers(len(relations))]))
        tokens, slots = linearize.linearize(triples, how)
        labels = [O] * len(tokens)
        for of_triple in slots:
            for at in (of_triple.head, of_triple.tail):
                labels[at] = [B, *[I] * (at.stop - at.start - 1)]
        length = rng.integers(0, len(tokens) + 1)
        yield source, tokens[:length], labels[:length]


@pytest.mark.parametrize("form", [pytest.param("htr", marks=pytest.mark.slow), "rht", "opened"])
def test_equals_the_literal_guesser(form):
    sources, tokens, labels = zip(*random_outputs(form, ROWS), strict=True)
    drafted_BU = draft(form, sources, tokens, labels)
    met = collections.Counter()
    for row in zip(drafted_BU.tolist(), sources, tokens, labels, strict=True):
        guessed, *of_row = row
        expected, why = literal(form, *of_row)
        assert guessed == expected, (of_row, why)
        met.update(set(why))
    kinds = {"again", "in the word", "the separator", "nothing"}
    kinds |= {"the relation"} if form != "opened" else set()
    # Where each name has its separator, a word that ends is taken for the end of the name.
    assert set(met) == kinds | ({"next word"} if form != "htr" else set())
    assert min(met.values()) >= 25, met


def test_the_example_of_the_docstring():
    am, y, of, new, york = source = [10, 13, 11, 12, 14]
    triple = [6, am, y, PART_END, new, york, 7]
    labels = [O, B, I, O, B, I, O]
    lengths = (2, 5, 7)
    drafted_BU = draft(
        "opened", [source] * 3, [triple[:n] for n in lengths], [labels[:n] for n in lengths]
    )
    nothing = [PART_END] * NUM_DRAFTED
    assert of not in drafted_BU
    assert drafted_BU[0].tolist() == [y, PART_END, *nothing[:4]]
    assert drafted_BU[1].tolist() == [york, *nothing[:5]]
    assert drafted_BU[2].tolist() == [new, york, PART_END, am, y, *nothing[:1]]


def test_what_left_the_grammar_is_guessed_no_more():
    """Two separators side by side: nothing is known of what follows."""
    source = [10, 13, 11]
    drafted_BU = draft("htr", [source], [[10, PART_END, PART_END, 10]], [[B, O, O, B]])
    assert drafted_BU.tolist() == [[PART_END] * NUM_DRAFTED]
