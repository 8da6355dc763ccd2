"""Beam search against a literal one, brute force and greedy search, over tables of logits."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding import batching, beam, copying, greedy
from grel.decoding.structure import Schema
from grel.text.bio import NUM_LABELS, B, I, O
from grel.text.linearize import Form
from tests.decoding import reference

CLS, START, END, PART_END, TRIPLE_END = 1, 2, 3, 4, 5
EXCLUDED = (0, CLS, END, PART_END, TRIPLE_END)
FIRST_WORD, VOCAB, NUM_KEYS, WIDTH = 6, 11, 211, 9


SLOW = pytest.mark.slow
RELATIONS = {"in": (7,), "born in": (8, 7), "of": (9,)}
SCHEMA = Schema(RELATIONS, Form(PART_END, TRIPLE_END), END)
LAYOUT = reference.Layout(list(RELATIONS.values()), PART_END, TRIPLE_END, END)


@pytest.fixture(autouse=True)
def _few_sizes(monkeypatch):
    """Batches halve once, at most: every size is compiled."""
    monkeypatch.setattr(batching, "MIN_ROWS", 30)


def grammar():
    return SCHEMA.grammar()


def next_key(key, token):
    """What the logits depend on: all tokens so far, in their order, and the source."""
    return (key * 31 + token + 1) % NUM_KEYS


@functools.partial(
    jax.jit, static_argnames=("rules_of", "num_steps", "num_beams", "num_best", "penalty_power")
)
def _search(tables, cases, grammar, rules_of, num_beams, **settings):
    source_BS, length_B = cases
    token_table, bio_table = tables

    def step_fn(state, token_R):
        key_R, inside_RS = state
        key_R = next_key(key_R, token_R)
        logits = token_table[key_R]
        if rules.head == "pointer":
            others_RE = jnp.ones((len(key_R), logits.shape[1] - WIDTH), bool)
            logits = jnp.where(jnp.concatenate([inside_RS, others_RE], 1), logits, -jnp.inf)
        return logits, bio_table[key_R], (key_R, inside_RS)

    def reorder_fn(state, origin_BW):
        key_BW = state[0].reshape(origin_BW.shape)
        return jnp.take_along_axis(key_BW, origin_BW, axis=1).reshape(-1), state[1]

    def take_rows_fn(state, index_b):
        def take(x):
            return x.reshape(-1, num_beams or 1, *x.shape[1:])[index_b].reshape(-1, *x.shape[1:])

        return jax.tree.map(take, state)

    rules = copying.Rules(grammar, *rules_of)
    copies_alone = grammar is None and rules.head == "vocabulary" and rules.copy != "words"
    other_ids = () if copies_alone else SCHEMA.token_ids
    masks = copying.copy_masks(source_BS, length_B, EXCLUDED, other_ids)
    common = {"start_id": START, "end_id": END, "grow_fn": lambda state, num_steps: state}
    common |= {"take_rows_fn": take_rows_fn}
    start = source_BS.sum(-1), masks.inside_BS
    if not num_beams:
        return greedy.search(step_fn, start, masks, rules, **settings, **common)
    return beam.search(
        step_fn,
        jax.tree.map(lambda x: jnp.repeat(x, num_beams, axis=0), start),
        masks,
        rules,
        reorder_fn=reorder_fn,
        attended_fn=lambda state: 1 + state[0] % 7,
        num_beams=num_beams,
        **settings,
        **common,
    )


def search(
    tables,
    cases,
    num_beams,
    *,
    grammar=None,
    copy="on",
    label="argmax",
    scores="raw",
    head="vocabulary",
    **s,
):
    """What was found, as numpy arrays, and the number of row-steps; no beams: greedy search."""
    found = _search(tables, cases, grammar, (copy, label, scores, head), num_beams, **s)
    return jax.tree.map(np.asarray, found)


def random_tables(seed: int, end: float = 0.0, head: str = "vocabulary"):
    """Logits that differ all, so that there are no ties; `end` raises those of the end token."""
    rng = np.random.default_rng(seed)
    points = head == "pointer"
    num_tokens = WIDTH + len(SCHEMA.token_ids) if points else VOCAB
    token_table = rng.normal(0, 2, (NUM_KEYS, num_tokens)).astype(np.float32)
    token_table[:, WIDTH + SCHEMA.token_ids.index(END) if points else END] += end
    return token_table, rng.normal(0, 1.5, (NUM_KEYS, NUM_LABELS)).astype(np.float32)


def random_cases(num_rows: int, seed: int):
    """Padded sources, which repeat words and hold excluded tokens now and then, and lengths."""
    rng = np.random.default_rng(seed)
    source_BS = np.zeros((num_rows, WIDTH), np.int32)
    length_B = rng.integers(2, WIDTH + 1, num_rows).astype(np.int32)
    for row, length in enumerate(length_B):
        words = rng.choice([*range(FIRST_WORD, VOCAB), PART_END], 4)
        source_BS[row, :length] = [CLS, *rng.choice(words, length - 2), END]
    return source_BS, length_B


def words_of(cases, row: int) -> list[int]:
    source_BS, length_B = cases
    return source_BS[row, 1 : length_B[row] - 1].tolist()


def logits_after(tables, cases, row: int, tokens):
    key = int(cases[0][row].sum())
    for token in [START, *tokens]:
        key = next_key(key, token)
    logits = tables[0][key]
    if len(logits) > VOCAB:  # of places
        words = words_of(cases, row)
        ids = [*words, *SCHEMA.token_ids]
        logits = np.concatenate([logits[1 : 1 + len(words)], logits[WIDTH:]])
        logits = reference.over_vocabulary(logits, ids, VOCAB)
    return logits, tables[1][key]


def extensions(tables, cases, row, tokens, labels, *, copy, label, scores, structured=False):
    """(score, label, token) of whatever may come next, by the literal rules of `reference`."""
    token_logits, bio_logits = logits_after(tables, cases, row, tokens)
    layout = LAYOUT if structured else None
    moves = reference.moves(
        words_of(cases, row), tokens, labels, EXCLUDED, copy, layout, SCHEMA.token_ids
    )
    if label == "argmax":
        best = max(moves, key=lambda meant: bio_logits[meant])
        by_label = {moves[best][0]: (0.0, moves[best][1])}
    else:
        by_label = {}
        for meant, (written, allowed) in moves.items():
            score = reference.log_prob(bio_logits, meant)
            if written not in by_label or score > by_label[written][0]:
                by_label[written] = score, allowed
    for written, (score, allowed) in by_label.items():
        among = allowed if scores == "renormalized" else None
        for token in range(VOCAB) if allowed is None else sorted(allowed):
            if token_logits[token] == -np.inf:
                continue
            yield score + reference.log_prob(token_logits, token, among), written, token


def literal_beam(tables, cases, row, width, num_steps, power, **rules):
    """All hypotheses that UniLM chooses from, the best first: (penalized, tokens, labels)."""
    beams, ended = [(0.0, [], [])], []
    for t in range(1, num_steps + 1):
        found = [
            (score + more, [*tokens, token], [*labels, label])
            for score, tokens, labels in beams
            for more, label, token in extensions(tables, cases, row, tokens, labels, **rules)
        ]
        found = sorted(found, key=lambda hypothesis: -hypothesis[0])[:width]
        beams = [hypothesis for hypothesis in found if hypothesis[1][-1] != END]
        final = found if t == num_steps else [h for h in found if h[1][-1] == END]
        ended += [(score / ((5 + t) / 6) ** power, *h) for score, *h in final]
    return sorted(ended, key=lambda hypothesis: -hypothesis[0])


def assert_found(best, row: int, expected):
    """The best hypotheses of a row are the expected ones, in their order."""
    for rank in range(best.penalized_BW.shape[1]):
        if rank >= len(expected):
            assert best.penalized_BW[row, rank] == -np.inf
            continue
        penalized, tokens, labels = expected[rank]
        written = [token for token in tokens if token != END]
        n = len(written)
        assert best.written.length_B[row, rank] == n
        assert best.written.tokens_BT[row, rank, :n].tolist() == written
        assert best.written.labels_BT[row, rank, : len(labels)].tolist() == labels
        assert (best.written.tokens_BT[row, rank, n:] == END).all()
        np.testing.assert_allclose(best.penalized_BW[row, rank], penalized, atol=1e-4)


@pytest.mark.parametrize(
    ("copy", "structured", "label", "scores", "width", "power", "head"),
    [
        ("on", False, "argmax", "raw", 3, 0.0, "vocabulary"),
        pytest.param(*("on", False, "joint", "renormalized", 4, 0.7, "vocabulary"), marks=SLOW),
        pytest.param(*("su", False, "joint", "raw", 2, 1.5, "vocabulary"), marks=SLOW),
        ("on", True, "argmax", "raw", 3, 1.0, "vocabulary"),
        pytest.param(*("on", False, "joint", "raw", 3, 0.7, "pointer"), marks=SLOW),
        ("on", True, "argmax", "renormalized", 3, 1.0, "pointer"),
        pytest.param(*("words", False, "argmax", "renormalized", 3, 1.0, "vocabulary"), marks=SLOW),
    ],
)
def test_equal_to_a_literal_beam_search(copy, structured, label, scores, width, power, head):
    """Score, tokens and labels of all that are asked for; many rows, some that end early."""
    num_rows, num_steps = 60, 8
    tables, cases = random_tables(1, end=1.0, head=head), random_cases(num_rows, 2)
    rules = {"copy": copy, "label": label, "scores": scores}
    best, _ = search(
        tables,
        cases,
        width,
        **rules,
        head=head,
        grammar=grammar() if structured else None,
        num_steps=num_steps,
        num_best=width,
        penalty_power=power,
    )
    lengths = set()
    for row in range(num_rows):
        if words_of(cases, row):
            expected = literal_beam(
                tables, cases, row, width, num_steps, power, **rules, structured=structured
            )
            assert_found(best, row, expected)
            lengths.add(len(expected[0][1]))
    assert len(lengths) >= 4


def test_what_is_all_but_impossible_is_written_where_nothing_else_is_allowed():
    """A pointer gives the end e to the -200, and the first of the sources has no candidates."""
    tables = random_tables(1, end=-200.0, head="pointer")
    cases = np.array([[CLS, PART_END, END, *[0] * 6], [CLS, 7, 8, END, *[0] * 5]]), np.array([3, 4])
    settings = {"num_steps": 8, "num_best": 3, "penalty_power": 1.0}
    best, _ = search(tables, cases, 3, head="pointer", grammar=grammar(), **settings)
    rules = {"copy": "on", "label": "argmax", "scores": "raw", "structured": True}
    expected = [literal_beam(tables, cases, row, 3, 8, 1.0, **rules) for row in range(2)]
    for row in range(2):
        assert_found(best, row, expected[row])
    assert [tokens for _, tokens, _ in expected[0]] == [[END]]


def test_where_the_model_looked_moves_with_its_beam():
    """It depends on all that was fed before; [CLS] is not counted."""
    tables, cases = random_tables(1, end=1.0), random_cases(60, 2)
    settings = {"num_steps": 8, "num_best": 3, "penalty_power": 1.0}
    best, _ = search(tables, cases, 3, grammar=grammar(), **settings)
    num_others = 0
    for row, rank in itertools.product(range(60), range(3)):
        if best.penalized_BW[row, rank] == -np.inf:
            continue
        key, token = int(cases[0][row].sum()), START
        written = best.written.tokens_BT[row, rank].tolist()
        for t in range(int(best.written.length_B[row, rank])):
            key = int(next_key(key, token))
            assert best.written.attended_BT[row, rank, t] == key % 7
            token = written[t]
            num_others += rank > 0
    assert num_others > 50


@pytest.mark.parametrize("label", copying.CHOICES["label"])
def test_a_beam_as_wide_as_the_space_finds_the_best_sequence(label):
    """Brute force: all labeled sequences that the constraints allow, scored one by one."""
    num_steps, rules = 3, {"copy": "on", "label": label, "scores": "raw"}
    tables, cases = random_tables(3), random_cases(6, 4)
    width = VOCAB ** (num_steps - 1) if label == "argmax" else 700
    best, _ = search(
        tables, cases, width, **rules, num_steps=num_steps, num_best=5, penalty_power=0.6
    )
    for row in range(6):
        if not words_of(cases, row):
            continue
        found, open_ends = [], [(0.0, [], [])]
        while open_ends:
            score, tokens, labels = open_ends.pop()
            if len(tokens) == num_steps or tokens[-1:] == [END]:
                found.append((score / ((5 + len(tokens)) / 6) ** 0.6, tokens, labels))
                continue
            for more, y, token in extensions(tables, cases, row, tokens, labels, **rules):
                open_ends.append((score + more, [*tokens, token], [*labels, y]))
        assert_found(best, row, sorted(found, key=lambda hypothesis: -hypothesis[0]))


def test_with_a_grammar_a_wide_beam_finds_the_best_output_there_is():
    """Brute force over lists of triples: spans of the source and names of the schema."""
    num_steps = 8
    tables = random_tables(5, end=1.0)
    cases = np.array([[CLS, 6, 7, 6, END], [CLS, 8, PART_END, 9, END]], np.int32), np.array([5, 5])
    best, _ = search(
        tables,
        cases,
        300,
        grammar=grammar(),
        label="joint",
        num_steps=num_steps,
        num_best=8,
        penalty_power=0.9,
    )
    for row in range(2):
        source = words_of(cases, row)
        spans = {tuple(source[i:j]) for i in range(3) for j in range(i + 1, 4)}
        entities = [s for s in spans if not set(s) & set(EXCLUDED)]
        outputs = {((END, O),)}
        triples = [
            (*entity(head), (PART_END, O), *entity(tail), (PART_END, O), *((t, O) for t in name))
            for head, tail in itertools.product(entities, repeat=2)
            for name in RELATIONS.values()
        ]
        outputs |= {(*one, (END, O))[:num_steps] for one in triples}
        outputs |= {
            (*one, (TRIPLE_END, O), *two, (END, O))[:num_steps]
            for one, two in itertools.product(triples, repeat=2)
        }
        found = []
        for output in outputs:
            score = 0.0
            for t, (token, label) in enumerate(output):
                token_logits, bio_logits = logits_after(
                    tables, cases, row, [before for before, _ in output[:t]]
                )
                score += reference.log_prob(token_logits, token)
                score += reference.log_prob(bio_logits, label)
            tokens, labels = map(list, zip(*output, strict=True))
            found.append((score / ((5 + len(output)) / 6) ** 0.9, tokens, labels))
        assert_found(best, row, sorted(found, key=lambda hypothesis: -hypothesis[0]))


def entity(tokens):
    return [(token, I if place else B) for place, token in enumerate(tokens)]


@pytest.mark.parametrize(
    ("structured", "rules"),
    [
        (True, {"label": "argmax", "scores": "renormalized"}),
        pytest.param(*(False, {"label": "joint", "copy": "su"}), marks=pytest.mark.slow),
        (False, {"label": "argmax", "head": "pointer"}),
    ],
)
def test_one_beam_writes_what_greedy_search_writes(structured, rules):
    # So few rows that greedy search never gathers them, which would only take longer to compile.
    tables = random_tables(6, end=0.5, head=rules.get("head", "vocabulary"))
    cases = random_cases(7, 7)
    rules["grammar"] = grammar() if structured else None
    expected, _ = search(tables, cases, 0, **rules, num_steps=12)
    best, _ = search(tables, cases, 1, **rules, num_steps=12)
    for name in ("tokens_BT", "labels_BT", "length_B", "log_prob_BT"):
        one, other = getattr(best.written, name)[:, 0], getattr(expected, name)
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=name)
    written = np.arange(12)[None] < expected.length_B[:, None]
    np.testing.assert_array_equal(
        np.where(written, best.written.position_BT[:, 0], -1),
        np.where(written, expected.position_BT, -1),
    )
    assert (expected.position_BT[written] >= 0).any()
    assert len(set(expected.length_B.tolist())) >= 3


def test_stops_when_no_beam_can_get_into_the_list():
    """Nothing scores higher than ending at once and a step later, so two steps are run of twelve.

    A row without a source has one hypothesis, which is empty, and is not waited for.
    """
    token_table, bio_table = random_tables(8)
    token_table[:, END] = 60
    cases = np.array([[CLS, 7, 8, END], [CLS, END, 0, 0], [0] * 4], np.int32), np.array([4, 2, 0])
    bio_table[:] = [5, 0, 0]
    settings = {"num_steps": 12, "num_best": 2}
    best, row_steps = search((token_table, bio_table), cases, 2, **settings)
    assert row_steps == 2 * 3 * 2
    assert best.written.length_B[:, 0].tolist() == [0, 0, 0]
    assert best.score_BW[1:].tolist() == [[0, -np.inf]] * 2
    token_table[:, END] = -60
    assert search((token_table, bio_table), cases, 2, **settings)[1] == 12 * 3 * 2


def test_the_batch_halves_as_examples_are_done(monkeypatch):
    """Those that go on are gathered, wherever they stand, and keep their places."""
    monkeypatch.setattr(batching, "MIN_ROWS", 4)
    ends = np.array([1, 5, 16, 1, 1, 9, 1, 5])
    source_BS = np.array([[CLS, 6 + n % 5, END] for n in range(len(ends))])

    def step_fn(state, token_R):
        end_R, step = state
        last_R1 = (end_R == step + 1)[:, None]
        is_end_1V, is_word_1V = (jnp.arange(VOCAB)[None] == token for token in (END, 6))
        token_logits_RV = jnp.where(last_R1, is_end_1V * 60.0, is_word_1V * 60.0)
        return token_logits_RV, jnp.zeros((len(end_R), NUM_LABELS)), (end_R, step + 1)

    found, row_steps = jax.jit(
        functools.partial(
            beam.search,
            step_fn,
            num_steps=16,
            start_id=START,
            end_id=END,
            reorder_fn=lambda state, origin_BW: state,
            take_rows_fn=lambda state, index_b: (
                state[0].reshape(-1, 2)[index_b].reshape(-1),
                state[1],
            ),
            grow_fn=lambda state, num_steps: state,
            num_beams=2,
        )
    )(
        (jnp.repeat(ends, 2), jnp.int32(0)),
        copying.copy_masks(source_BS, jnp.full(len(ends), 3), EXCLUDED),
        copying.Rules(),
    )
    assert found.written.length_B[:, 0].tolist() == (ends - 1).tolist()
    for written_T, end in zip(found.written.tokens_BT[:, 0], ends, strict=True):
        assert written_T.tolist() == [6] * (end - 1) + [END] * (17 - end)
    assert row_steps == 2 * (8 * 1 + 4 * 15)


@pytest.mark.parametrize(("power", "words"), [(0.0, []), (1.0, [6] * 4)])
def test_waits_for_longer_hypotheses_that_the_penalty_may_put_first(power, words):
    """p(end at once) = .55, p(four words) = .45: divided by 10/6, the score of these is higher."""
    cases = np.array([[CLS, 7, END]], np.int32), np.array([3])
    token_table = np.full((NUM_KEYS, VOCAB), -60, np.float32)
    key = next_key(int(cases[0].sum()), START)
    token_table[key, [END, 6]] = np.log([0.55, 0.45])
    for _ in range(4):
        key = next_key(key, 6)
        token_table[key, 6] = 0
    token_table[key, [6, END]] = -60, 0
    tables = token_table, np.eye(NUM_LABELS, dtype=np.float32)[[O] * NUM_KEYS]
    best, _ = search(tables, cases, 2, num_steps=12, penalty_power=power)
    assert best.written.tokens_BT[0, 0, : best.written.length_B[0, 0]].tolist() == words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_best": 3}, "num_best is 3; from 1 to the number of beams, 2"),
        ({"penalty_power": -1.0}, "the length penalty is -1.0; it must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        search(random_tables(0), random_cases(2, 0), 2, num_steps=2, **change)
