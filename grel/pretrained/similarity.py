"""A sanity check of an encoder: sentences of one meaning lie closer than sentences of two.

Wrong weights seldom crash: a transposed matrix or a swapped table gives vectors all the same.
Random ones are near 1 in every pair, so what counts is the order of the cosines, not their size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from grel.models import bert
from grel.models.dropout import apply
from grel.text.wordpiece import Wordpiece

# Of each group of three, the first two say the same in other words; the third shares words with
# the first and says something else.
TRIPLETS = (
    ("The company was founded in Berlin .", "Berlin is where the firm got started .",
     "The company cat was found asleep in a drawer ."),
    ("She was born in a small town in Peru .", "Her birthplace is a little Peruvian village .",
     "A small town in Peru was hit by floods ."),
    ("He plays the guitar in a rock band .", "He is the guitarist of a rock group .",
     "He plays chess against a rock star ."),
    ("Prices of oil rose sharply on Monday .", "Crude became far more expensive at the start of "
     "the week .", "Olive oil is best stored away from the light ."),
)  # fmt: skip


class Similarity(NamedTuple):
    """Cosines of a triplet's first sentence with its second (`like`) and third (`unlike`)."""

    like: float
    unlike: float


def similarities(config: bert.Config, params: Any, wordpiece: Wordpiece) -> list[Similarity]:
    """The cosines for `TRIPLETS`; a sentence's vector is the mean over its wordpieces.

    That is how all-MiniLM-L6-v2 was trained to compare sentences.
    """
    texts = [text for triplet in TRIPLETS for text in triplet]
    sources = [
        [wordpiece.cls_id, *encoding.ids, wordpiece.sep_id]
        for encoding in wordpiece.encode_batch(texts)
    ]
    length_B = np.array([len(ids) for ids in sources])
    tokens_BL = np.full((len(sources), length_B.max()), wordpiece.pad_id, np.int32)
    for row, ids in enumerate(sources):
        tokens_BL[row, : len(ids)] = ids
    # Without a target the mask lets the source see itself in both directions, as BERT does.
    hidden_BLD = jax.jit(
        lambda params, *pair: apply(bert.Model(config), params, *pair, method=bert.Model.packed)
    )(params, tokens_BL, length_B, length_B)
    real_BL1 = (np.arange(tokens_BL.shape[1]) < length_B[:, None])[..., None]
    mean_BD = (np.asarray(hidden_BLD, np.float64) * real_BL1).sum(1) / length_B[:, None]
    mean_BD /= np.linalg.norm(mean_BD, axis=-1, keepdims=True)
    first_ND, like_ND, unlike_ND = (mean_BD[n::3] for n in range(3))
    return [
        Similarity(float(first @ like), float(first @ unlike))
        for first, like, unlike in zip(first_ND, like_ND, unlike_ND, strict=True)
    ]
