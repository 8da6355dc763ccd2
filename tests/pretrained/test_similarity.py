"""The sanity check of encoders, against vectors computed one sentence at a time."""

import jax
import numpy as np
import pytest

from grel.models import bert
from grel.pretrained import similarity
from grel.text.wordpiece import SPECIAL, Wordpiece


def _wordpiece():
    texts = " ".join(text for triplet in similarity.TRIPLETS for text in triplet)
    words = sorted(set(texts.split()))
    return Wordpiece([*SPECIAL, "[unused0]", "[unused1]", *words], [])


@pytest.mark.slow
def test_cosines_are_those_of_each_sentence_alone():
    wordpiece = _wordpiece()
    config = bert.Config(
        vocab_size=len(wordpiece.vocabulary),
        num_layers=1,
        hidden_size=8,
        num_heads=2,
        ff_size=8,
        max_positions=32,
        mask_id=wordpiece.mask_id,
        sep_id=wordpiece.sep_id,
        init_stddev=0.3,
    )
    params = bert.init(config, jax.random.PRNGKey(0))

    def vector(text):
        ids = [wordpiece.cls_id, *wordpiece.encode(text).ids, wordpiece.sep_id]
        length = np.array([len(ids)])
        hidden = bert.Model(config).apply(
            {"params": params}, np.array([ids]), length, length, method=bert.Model.packed
        )
        return np.asarray(hidden)[0].mean(0)

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    found = similarity.similarities(config, params, wordpiece)
    assert len(found) == len(similarity.TRIPLETS)
    first, like, unlike = map(vector, similarity.TRIPLETS[-1])  # each length compiles anew
    np.testing.assert_allclose(found[-1], (cosine(first, like), cosine(first, unlike)), rtol=1e-4)
