"""The numbers that the paper reports, to stand beside measured ones in columns of their own.

They are of the official test splits, from models trained on the official training splits. Source:
GenerativeRE (Findings of EMNLP 2021), Tables 1 to 5. Systems are called as by `systems.paper_name`.
"""

from __future__ import annotations

from collections.abc import Mapping

# Cells by system and data set.
Figures = Mapping[str, Mapping[str, tuple[float | int | None, ...]]]

# Precision, recall and F1, of Tables 1 and 2. The paper calls the first two CopyRE and CopyMTL, and
# the last one GenerativeRE.
SCORES: Figures = {
    "CopyRE-multi": {"nyt24": (0.610, 0.566, 0.587), "nyt29": (0.569, 0.452, 0.504)},
    "CopyMTL-multi": {"nyt24": (0.757, 0.687, 0.720), "nyt29": (0.701, 0.623, 0.660)},
    "MrMep": {"nyt24": (0.779, 0.766, 0.771)},
    "PtDec": {"nyt24": (0.806, 0.773, 0.789), "nyt29": (0.732, 0.624, 0.673)},
    "WordDec": {"nyt24": (0.881, 0.761, 0.817), "nyt29": (0.777, 0.608, 0.682)},
    "LSTM": {"nyt24": (0.762, 0.647, 0.700), "nyt29": (0.665, 0.551, 0.603)},
    "LSTM + copy": {"nyt24": (0.877, 0.777, 0.824), "nyt29": (0.757, 0.612, 0.677)},
    "Pretrained": {"nyt24": (0.890, 0.687, 0.775), "nyt29": (0.739, 0.588, 0.655)},
    "Pretrained + copy": {"nyt24": (0.880, 0.847, 0.863), "nyt29": (0.756, 0.636, 0.691)},
}

# CopyRE writes last words, and its authors scored these.
PROTOCOLS = dict.fromkeys(SCORES, "exact") | {"CopyRE-multi": "partial_last"}

# The systems of Table 2, each with what it is without copying.
WITHOUT_COPY = {"LSTM + copy": "LSTM", "Pretrained + copy": "Pretrained"}

# Entities that are incomplete, and whose words are in disorder; Table 3.
ERRORS: Figures = {
    "Pretrained": {"nyt24": (539, 179), "nyt29": (425, 47)},
    "Pretrained + copy": {"nyt24": (135, 127), "nyt29": (249, 37)},
}

# F1 of triples of the length classes 2, 3 and 3+; Table 4.
BY_LENGTH: Figures = {
    "WordDec": {"nyt24": (0.765, 0.643, 0.642)},
    "PtDec": {"nyt24": (0.731, 0.674, 0.700)},
    "Pretrained + copy": {"nyt24": (0.817, 0.735, 0.714)},
}

# By split and data set: examples, triples, and examples of the length classes 2, 3 and 3+, which
# the paper has for test alone; Table 5.
CORPORA: Figures = {
    "train": {
        "nyt24": (56_196, 88_366, None, None, None),
        "nyt29": (63_306, 78_973, None, None, None),
    },
    "test": {"nyt24": (5_000, 8_120, 3_335, 566, 112), "nyt29": (4_006, 5_859, 2_718, 406, 116)},
}
