"""Greedy search over tables of logits instead of a model; random cases, and their reference."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding import copying, drafts, greedy, structure
from grel.text import linearize
from grel.text.bio import B, I, O
from tests.decoding import reference

START, END, PART_END, TRIPLE_END, EXCLUDED = 9, 3, 4, 5, (0, 3, 4, 5)
VOCAB, WIDTH, STEPS = 12, 18, 16
# One relation is the beginning of another, and their words are those of the sentences.
RELATIONS = {"a": (6,), "ab": (6, 7), "c": (8, 9, 6), "d": (2,)}
FORM = linearize.Form(PART_END, TRIPLE_END)
SCHEMA = structure.Schema(RELATIONS, FORM, END)
SCHEMAS = {
    "htr": SCHEMA,
    "rht": structure.Schema(RELATIONS, linearize.Form(PART_END, TRIPLE_END, True), END),
    "opened": structure.Schema(
        {"a": (2,), "b": (1,)},
        linearize.Form(PART_END, TRIPLE_END, True, frozenset([1, 2])),
        END,
    ),
}

traced: list[copying.Rules] = []
executed: list[int] = []


# [CLS] is never looked at: in its place a row may tell its number.
FIRST_ROW = 100


def _draft(num_drafted, told, rules, masks, copied, tokens_BT, labels_BT, length_B):
    """Guesses of `drafts`, or some that are told: what is written in the end, where it is wrong."""
    if told is None:
        hints = drafts.Hints(rules.grammar or rules.followed, jnp.arange(VOCAB) % 3 == 0, PART_END)
        return drafts.draft(hints, num_drafted, masks, copied, tokens_BT, labels_BT, length_B)
    written_BT, is_wrong_BT = told
    place_BU = jnp.minimum(length_B[:, None] + jnp.arange(num_drafted)[None], STEPS - 1)
    at = masks.source_BS[:, :1] - FIRST_ROW, place_BU
    return (written_BT[at] + is_wrong_BT[at]) % VOCAB


@functools.partial(jax.jit, static_argnames=("num_steps", "other_ids", "num_drafted"))
def compiled_search(
    token_table_BTVV,
    bio_table_BTVC,
    source_BS,
    source_length_B,
    rules,
    num_steps=STEPS,
    other_ids=SCHEMA.token_ids,
    num_drafted=0,
    told=None,
):
    traced.append(rules)
    rows = len(source_BS)

    def step_fn(state, token_B):
        row_B, step = state
        jax.debug.callback(executed.append, len(row_B))
        at = row_B, step, token_B
        return token_table_BTVV[at], bio_table_BTVC[at], (row_B, step + 1)

    def feed_fn(state, tokens_BF):
        row_B, step_B = state
        jax.debug.callback(executed.append, len(row_B))
        place_BF = step_B[:, None] + jnp.arange(1 + num_drafted)[None]
        at = row_B[:, None], jnp.minimum(place_BF, STEPS - 1), tokens_BF
        return token_table_BTVV[at], bio_table_BTVC[at], state

    if num_drafted:
        source_BS = source_BS.at[:, 0].set(FIRST_ROW + jnp.arange(rows))
        how = {
            "drafting": greedy.Drafting(
                num_drafted,
                functools.partial(_draft, num_drafted, told, rules),
                feed_fn,
                lambda state, num_B: (state[0], state[1] + num_B),
            )
        }
    else:
        how = {"attended_fn": looked_at}
    return greedy.search(
        step_fn,
        (jnp.arange(rows), jnp.zeros(rows, int) if num_drafted else jnp.int32(0)),
        copying.copy_masks(source_BS, source_length_B, EXCLUDED, other_ids),
        rules,
        num_steps=num_steps,
        start_id=START,
        end_id=END,
        take_rows_fn=lambda state, index_B: (
            state[0][index_B],
            state[1][index_B] if num_drafted else state[1],
        ),
        grow_fn=lambda state, num_steps: state,
        **how,
    )


def looked_at(state):
    """A place that depends on the row and on the steps that were run."""
    row_B, step = state
    return 1 + (row_B + 3 * step) % (WIDTH - 1)


def search(cases, rules=copying.Rules(), **how):  # noqa: B008
    """The result as numpy arrays, and the size of each step that was run for it."""
    executed.clear()
    generated, num_row_steps = jax.tree.map(np.asarray, compiled_search(*cases, rules, **how))
    jax.effects_barrier()
    assert num_row_steps == sum(executed)
    return generated, [int(size) for size in executed]


def random_cases(num_rows: int, seed: int, *, ties: bool = True):
    """(token table, bio table, sources, lengths); a row's logits depend on step and last token.

    Sources draw from a few words, so that n-grams repeat, and hold excluded tokens now and then.
    Logits take a few values only, so that ties are frequent, unless there shall be none. Rows
    differ in how soon they end and in the labels they favor; some have no source at all.
    """
    rng = np.random.default_rng(seed)
    token_table = rng.integers(0, 4, (num_rows, STEPS, VOCAB, VOCAB)).astype(np.float32)
    token_table[..., END] -= rng.choice([-3, -1, 1, 9], (num_rows, 1, 1))
    bio_table = rng.integers(0, 3, (num_rows, STEPS, VOCAB, 3)).astype(np.float32)
    bio_table[..., I] += rng.choice([0, 1, 1], (num_rows, 1, 1))
    if not ties:
        token_table += rng.normal(size=token_table.shape)
        bio_table += rng.normal(size=bio_table.shape)
    source_BS = np.zeros((num_rows, WIDTH), np.int32)
    length_B = rng.integers(2, WIDTH + 1, num_rows).astype(np.int32)
    length_B[rng.random(num_rows) < 0.02] = 0
    for row, length in enumerate(length_B):
        words = rng.choice([*range(6, VOCAB), *EXCLUDED], rng.integers(1, 8))
        if length:
            source_BS[row, :length] = [1, *rng.choice(words, length - 2), END]
    return token_table, bio_table, source_BS, length_B


def source_of(cases, row: int) -> list[int]:
    _, _, source_BS, length_B = cases
    return source_BS[row, 1 : max(1, length_B[row] - 1)].tolist()


def decode_row(cases, row: int, **how) -> list[reference.Step]:
    token_table, bio_table, *_ = cases
    if not source_of(cases, row):
        return []
    return reference.decode(
        source_of(cases, row),
        lambda step, token: (token_table[row, step, token], bio_table[row, step, token]),
        max_steps=STEPS,
        start_id=START,
        end_id=END,
        excluded=EXCLUDED,
        others=SCHEMA.token_ids,
        **how,
    )


def layout(relations=None, form="htr") -> reference.Layout:
    names = SCHEMAS[form].chosen(relations).values()
    return reference.Layout(list(names), PART_END, TRIPLE_END, END, form)


def assert_writes(generated, row: int, steps: list[reference.Step]):
    n, where = len(steps), f"row {row}"
    assert generated.tokens_BT[row, :n].tolist() == [s.token for s in steps], where
    assert generated.labels_BT[row, :n].tolist() == [s.label for s in steps], where
    log_probs = [s.log_prob for s in steps]
    np.testing.assert_allclose(generated.log_prob_BT[row, :n], log_probs, atol=1e-5)
    assert generated.length_B[row] == sum(s.token != END for s in steps), where
    assert (generated.tokens_BT[row, n:] == END).all(), where
    assert (generated.labels_BT[row, n:] == O).all(), where
    assert (generated.log_prob_BT[row, n:] == 0).all(), where
    assert (generated.position_BT[row, n:] == -1).all(), where
    # [CLS] is not counted.
    attended = [(row + 3 * (t + 1)) % (WIDTH - 1) for t in range(n)]
    assert generated.attended_BT[row, :n].tolist() == attended, where
    assert (generated.attended_BT[row, n:] == -1).all(), where


def kinds_of_steps(source: list[int], steps: list[reference.Step]) -> collections.Counter:
    """How often each corner of METHOD section 6 was met."""
    met = collections.Counter()
    for t, step in enumerate(steps):
        tokens, labels = [s.token for s in steps[:t]], [s.label for s in steps[:t]]
        q = reference.copied_so_far(tokens, labels)
        places = [j for j in range(len(source)) if q and source[j : j + len(q)] == q]
        met["B"] += step.label == B
        if step.label == I:
            met["I before any B"] += not q
            met["no match"] += bool(q) and not places
            met["match only at the end"] += places == [len(source) - len(q)]
            met["excluded candidates only"] += bool(places) and all(
                j + len(q) < len(source) and source[j + len(q)] in EXCLUDED for j in places
            )
            met["q of three or more"] += step.allowed is not None and len(q) >= 3
            met["O inside"] += step.allowed is not None and O in labels[-len(q) :]
            met["several places"] += step.allowed is not None and len(places) > 1
    met["end at once"] += len(steps) == 1
    met["never ends"] += len(steps) == STEPS and steps[-1].token != END
    met["no source"] += not steps
    return met
