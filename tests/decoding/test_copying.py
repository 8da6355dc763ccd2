"""Copy constraints: examples, corners of METHOD section 6, equality with a full-vocabulary mask."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.decoding import copying
from grel.text.bio import B, I, O
from tests.decoding import reference

CLS, SEP, EXCLUDED = 1, 2, (0, 1, 2, 3)
WORDS = {word: 10 + i for i, word in enumerate("abcdefghijklmnopqrstuvwxyz")}
WIDTH = 20


def ids(text: str) -> list[int]:
    """Letters as ids from 10 on; `;` is an excluded one."""
    return [3 if c == ";" else WORDS[c] for c in text.split()]


def packed(source: list[int]) -> copying.CopyMasks:
    row = [CLS, *source, SEP]
    source_1S = np.pad([row], ((0, 0), (0, WIDTH - len(row)))).astype(np.int32)
    return copying.copy_masks(source_1S, np.array([len(row)]), EXCLUDED)


_advance = jax.jit(functools.partial(copying.advance, rules=copying.Rules()))


@functools.partial(jax.jit, static_argnames="mode")
def _choose(masks, state, bio_logits_1C, mode):
    rules = copying.Rules(copy=mode)
    label_1 = copying.choose_label(bio_logits_1C, masks, state, rules)
    return label_1, copying.allowed(masks, state, label_1, rules)


def state_after(masks: copying.CopyMasks, history: list[tuple[int, int]]) -> copying.CopyState:
    state = copying.init_copy(masks)
    for label, token in history:
        no_mass_1S = np.zeros(masks.source_BS.shape, np.float32)
        state = _advance(masks, state, np.array([token]), np.array([label]), no_mass_1S)
    return state


def offered(source, history, label, mode="on") -> tuple[int, set[int] | None]:
    """The label that stands when `label` is the likeliest, and the tokens it allows."""
    masks = packed(source)
    bio_logits_1C = np.eye(3, dtype=np.float32)[[label]]
    label_1, allow = _choose(masks, state_after(masks, history), bio_logits_1C, mode)
    tokens = np.asarray(masks.source_BS)[np.asarray(allow.place_BX)]
    assert bool(allow.free_B[0]) == (not len(tokens))
    return int(label_1[0]), set(tokens.tolist()) or None


def test_masks_of_padded_sources():
    """[CLS], [SEP] and padding lie outside; excluded tokens lie inside, but are no candidates."""
    source_BS = np.array([[1, 10, 3, 11, 2, 0, 0], [1, 2, 0, 0, 0, 0, 0], [0] * 7])
    masks = copying.copy_masks(source_BS, np.array([5, 2, 0]), EXCLUDED)
    expected = np.zeros((3, 7), bool)
    expected[0, [1, 2, 3]] = True
    np.testing.assert_array_equal(masks.inside_BS, expected)
    expected[0, 2] = False
    np.testing.assert_array_equal(masks.candidate_BS, expected)


def test_world_health_example():
    """METHOD section 6: q = "World Health" is followed by "Month" and by "Organization"."""
    text = "World Health Month is declared every April by the World Health Organization"
    words = text.split()
    number = {word: 10 + i for i, word in enumerate(dict.fromkeys(words))}
    source = [number[word] for word in words]
    history = [(B, number["World"]), (I, number["Health"])]
    assert offered(source, history, I) == (I, {number["Month"], number["Organization"]})
    history.append((I, number["Organization"]))
    assert offered(source, history, I) == (I, None)
    assert offered(source, history, B) == (B, set(source))


def test_words_of_the_sentence_and_others_are_allowed_under_every_label():
    """WordDec's rule, for a source that stands in no frame; a word that is not copied is out."""
    a, b, c = ids("a b c")
    source_BS = np.array([[a, 3, b, 0], [0, 0, 0, 0]])
    masks = copying.copy_masks(source_BS, np.array([3, 0]), EXCLUDED, (3, c), frame=(0, 0))
    for label in (O, B, I):
        allow = copying.allowed(
            masks, copying.init_copy(masks), np.full(2, label), copying.Rules(copy="words")
        )
        assert not allow.free_B.any()
        tokens = [set(np.asarray(masks.ids_BX)[n][np.asarray(allow.place_BX)[n]]) for n in (0, 1)]
        assert tokens == [{a, b, 3, c}, {3, c}]


def test_docstring_example_of_advance():
    masks = packed(ids("x y x z"))

    def match(history):
        return state_after(masks, history).match_BS[0, 1:5].astype(int).tolist()

    first = [(B, WORDS["x"])]
    assert match(first) == [1, 0, 1, 0]
    assert offered(ids("x y x z"), first, I)[1] == set(ids("y z"))
    assert match([*first, (I, WORDS["z"])]) == [0, 0, 0, 1]
    assert offered(ids("x y x z"), [*first, (I, WORDS["z"])], I)[1] is None


@pytest.mark.parametrize(
    ("case", "source", "history", "label", "expected"),
    [
        ("O allows all", "a b", "", O, None),
        ("O allows all in an entity", "a b", "Ba", O, None),
        ("B allows the source", "a b a ; c", "", B, "a b c"),
        ("B allows the source in an entity", "a b c", "Ba", B, "a b c"),
        ("B with nothing to copy", "; ;", "", B, None),
        ("B in an empty source", "", "", B, None),
        ("I in an empty source", "", "Ba", I, None),
        ("I before any B", "a b c", "", I, None),
        ("I before any B, after words of the source", "a b c", "Oa", I, None),
        ("I after I before any B", "a b c", "Ia", I, None),
        ("I continues", "a b a c", "Ba", I, "b c"),
        ("a word off the source", "a b c", "Bz", I, None),
        ("no match of the whole q", "a b c d b e", "Ba Ib Id", I, None),
        ("a later word again in the source is no match", "a b x b c", "Ba Ib", I, "x"),
        ("match at the last position", "a b c", "Bc", I, None),
        ("match at the last position and before", "c a b c", "Bc", I, "a"),
        ("only an excluded candidate", "a ; b", "Ba", I, None),
        ("an excluded one among the candidates", "a ; b a b", "Ba", I, "b"),
        ("q runs over an excluded token", "a ; b", "Ba O;", I, "b"),
        ("O inside an entity counts", "a b c", "Ba Ob", I, "c"),
        ("O inside an entity breaks the match", "a b c", "Ba Oz", I, None),
        ("what broke stays broken", "a b c a b c", "Ba Oz Oa Ob", I, None),
        ("only the last B counts", "a b c a d", "Ba Ib Ba", I, "b d"),
        ("an n-gram three times", "a b c a b d a b c", "Ba Ib", I, "c d"),
        ("a run of one word", "a a a b", "Ba Ia", I, "a b"),
        ("a run to its end", "a a a b", "Ba Ia Ia", I, "b"),
        ("a run beyond its end", "a a a b", "Ba Ia Ia Ia", I, None),
        ("[CLS] is no part of the source", "a b", "B!", I, None),
    ],
)
def test_corners(case, source, history, label, expected):
    """Each by hand, and the reference decoder agrees with the hand."""
    letters = {"!": CLS, ";": 3, **WORDS}
    steps = [("OBI".index(word[0]), letters[word[1]]) for word in history.split()]
    wanted = None if expected is None else set(ids(expected))
    labels, tokens = [y for y, _ in steps], [x for _, x in steps]
    literal = reference.allowed_tokens(label, ids(source), tokens, labels, EXCLUDED, "on")
    assert offered(ids(source), steps, label) == (label, wanted)
    assert literal == wanted


def test_off_allows_all():
    for label in (O, B, I):
        assert offered(ids("a b"), [(B, WORDS["a"])], label, mode="off") == (label, None)


def test_rule_of_su():
    """No I after O, nor at the start; an I that continues nothing copies anew, as a B."""
    masks = packed(ids("a b c"))
    logits_1C = np.array([[0.0, 1.0, 2.0]], np.float32)
    for history, label in [([], B), ([(B, WORDS["a"]), (O, WORDS["b"])], B)]:
        assert _choose(masks, state_after(masks, history), logits_1C, "su")[0] == label
        assert _choose(masks, state_after(masks, history), logits_1C, "on")[0] == I
    assert offered(ids("a b c"), [(B, WORDS["a"])], I, "su") == (I, {WORDS["b"]})
    assert offered(ids("a b c"), [(B, WORDS["c"])], I, "su") == (B, set(ids("a b c")))


@pytest.fixture(scope="module")
def choices():
    """Random logits of many rows, what is allowed in them, and what was chosen."""
    rng = np.random.default_rng(0)
    rows, width, vocab = 3000, 12, 40
    source_BS = rng.integers(0, vocab, (rows, width)).astype(np.int32)
    allow_BS = rng.random((rows, width)) < rng.choice([0.0, 0.1, 0.7], (rows, 1))
    # Half of the rows with many ties, half with none, of all magnitudes.
    logits_BV = rng.normal(size=(rows, vocab)) * 10.0 ** rng.integers(-3, 5, (rows, 1))
    logits_BV[::2] = rng.integers(-2, 2, (rows // 2, vocab))
    logits_BV = logits_BV.astype(np.float32)
    masks = copying.copy_masks(source_BS, np.full(rows, width), EXCLUDED)
    allow = copying.Allowed(jnp.asarray(allow_BS), jnp.asarray(~allow_BS.any(-1)))

    @jax.jit
    def choose(logits_BV, masks, allow):
        raw, renormalized = (copying.Rules(scores=scores) for scores in copying.CHOICES["scores"])
        scores = copying.score_tokens(logits_BV, masks, raw)
        token_B, logit_B = copying.choose_token(scores, masks, allow)
        return (
            token_B,
            logit_B - copying.token_norm(scores, masks, allow, raw),
            logit_B - copying.token_norm(scores, masks, allow, renormalized),
            copying.distinct(masks, allow.place_BX),
        )

    allowed = [set(source_BS[row][allow_BS[row]].tolist()) or None for row in range(rows)]
    chosen = jax.tree.map(np.asarray, choose(jnp.asarray(logits_BV), masks, allow))
    return source_BS, logits_BV, allowed, chosen


def test_choose_token_is_a_mask_over_the_vocabulary(choices):
    """Bit for bit, ties included, whether few tokens are allowed or all."""
    _, logits_BV, allowed, (token_B, *_) = choices
    for row, token in enumerate(token_B):
        assert token == reference.choose_token(logits_BV[row], allowed[row]), f"row {row}"


def test_log_probabilities_are_of_all_tokens_or_of_the_allowed_ones(choices):
    """A token that stands in the source several times counts once."""
    _, logits_BV, allowed, (token_B, raw_B, renormalized_B, _) = choices
    for row, token in enumerate(token_B):
        expected = [
            reference.log_prob(logits_BV[row], token, among) for among in (None, allowed[row])
        ]
        actual = [raw_B[row], renormalized_B[row]]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-3 if row % 2 else 1e-5)
    assert (renormalized_B > raw_B + 0.1).sum() > 500


def test_distinct_tokens_stand_at_one_position_each(choices):
    source_BS, _, allowed, (*_, position_BS) = choices
    for row, tokens in enumerate(allowed):
        assert sorted(source_BS[row][position_BS[row]].tolist()) == sorted(tokens or ())


def test_a_token_that_is_pointed_at_is_the_sum_of_its_places_however_far_it_lies():
    """Far below the likeliest too, where e to the distance is no number any more."""
    rng = np.random.default_rng(4)
    rows, width, vocab = 600, 10, 12
    source_BS = rng.integers(0, vocab, (rows, width)).astype(np.int32)
    length_B = rng.integers(1, width + 1, rows)
    masks = copying.copy_masks(source_BS, length_B, EXCLUDED, (2, 3, 7), frame=(0, 0))
    logits_BX = rng.normal(size=masks.ids_BX.shape) * 10.0 ** rng.integers(0, 4, (rows, 1))
    logits_BX[:, :width][~np.asarray(masks.inside_BS)] = -np.inf
    logits_BX = logits_BX.astype(np.float32)
    allow_BX = np.asarray(masks.candidate_BS) & (rng.random((rows, width)) < 0.4)
    allow_BX = np.pad(allow_BX, ((0, 0), (0, 3)))
    allow_BX[:, width:] = rng.random((rows, 3)) < 0.4
    allow = copying.Allowed(jnp.asarray(allow_BX), jnp.asarray(~allow_BX.any(-1)))

    @jax.jit
    def choose(logits_BX, masks, allow):
        rules = copying.Rules(head="pointer")
        scores = copying.score_tokens(logits_BX, masks, rules)
        token_B, logit_B = copying.choose_token(scores, masks, allow)
        return scores.logit_BX, token_B, logit_B - copying.token_norm(scores, masks, allow, rules)

    chosen = jax.tree.map(np.asarray, choose(jnp.asarray(logits_BX), masks, allow))
    num_far = 0
    for row, (logit_X, token, log_prob) in enumerate(zip(*chosen, strict=True)):
        ids = np.asarray(masks.ids_BX[row])
        expected_V = reference.over_vocabulary(logits_BX[row], ids, vocab)
        # Sums are taken against the row's top, where they are not too small for that.
        atol = 1e-6 * max(1, abs(logits_BX[row].max()))
        np.testing.assert_allclose(logit_X, expected_V[ids], rtol=1e-6, atol=atol)
        allowed = set(ids[allow_BX[row]].tolist()) or None
        assert token == reference.choose_token(expected_V, allowed), f"row {row}"
        expected = reference.log_prob(expected_V, token)
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-3)
        num_far += expected < -90
    assert num_far > 50


def test_position_is_the_first_place_in_the_source_as_it_was_given():
    masks = packed(ids("x y x z"))

    def at(history):
        return int(copying.position(masks, state_after(masks, history))[0])

    x, y, z = (WORDS[c] for c in "xyz")
    assert at([]) == -1
    assert at([(O, x)]) == -1
    assert at([(B, x)]) == 0
    assert at([(B, x), (I, y)]) == 1
    assert at([(B, x), (I, y), (I, x)]) == 2
    assert at([(B, x), (I, z)]) == 3
    assert at([(B, x), (O, z), (B, z)]) == 3
    assert at([(B, x), (I, x)]) == -1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"copy": "yes"}, "copy is 'yes'; one of on, off, su"),
        ({"structure": "yes"}, "structure is 'yes'; one of off, on"),
        ({"label": "best"}, "label is 'best'; one of argmax, joint"),
        ({"scores": "log"}, "scores is 'log'; one of raw, renormalized"),
        ({"structure": "on", "copy": "off"}, "set copy='on', or structure='off'"),
        ({"structure": "on", "copy": "su"}, "set copy='on', or structure='off'"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    fine = {"copy": "on", "structure": "on", "label": "joint", "scores": "renormalized"}
    copying.check(**fine)
    with pytest.raises(ValueError, match=message):
        copying.check(**fine | changes)
