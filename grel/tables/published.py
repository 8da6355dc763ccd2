"""The numbers that the paper reports, to stand beside measured ones as rows of their own.

They are of the official test splits, from models trained on the official training splits. Source:
GenerativeRE (Findings of EMNLP 2021), Tables 1 to 5.
"""

from __future__ import annotations

# (precision, recall, F1) by system and corpus.
MAIN: dict[str, dict[str, tuple[float, float, float]]] = {
    "CopyRE": {"NYT24": (0.610, 0.566, 0.587), "NYT29": (0.569, 0.452, 0.504)},
    "CopyMTL": {"NYT24": (0.757, 0.687, 0.720), "NYT29": (0.701, 0.623, 0.660)},
    "MrMep": {"NYT24": (0.779, 0.766, 0.771)},
    "PtDec": {"NYT24": (0.806, 0.773, 0.789), "NYT29": (0.732, 0.624, 0.673)},
    "WordDec": {"NYT24": (0.881, 0.761, 0.817), "NYT29": (0.777, 0.608, 0.682)},
    "GenerativeRE": {"NYT24": (0.880, 0.847, 0.863), "NYT29": (0.756, 0.636, 0.691)},
}

# Likewise, by system and whether it copies.
ABLATION: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = {
    ("LSTM", "off"): {"NYT24": (0.762, 0.647, 0.700), "NYT29": (0.665, 0.551, 0.603)},
    ("LSTM", "on"): {"NYT24": (0.877, 0.777, 0.824), "NYT29": (0.757, 0.612, 0.677)},
    ("Pretrained", "off"): {"NYT24": (0.890, 0.687, 0.775), "NYT29": (0.739, 0.588, 0.655)},
    ("Pretrained", "on"): {"NYT24": (0.880, 0.847, 0.863), "NYT29": (0.756, 0.636, 0.691)},
}

# (incompletion, disorder) by corpus and whether the system copies.
ERRORS: dict[tuple[str, str], tuple[int, int]] = {
    ("NYT24", "off"): (539, 179),
    ("NYT24", "on"): (135, 127),
    ("NYT29", "off"): (425, 47),
    ("NYT29", "on"): (249, 37),
}

# F1 on NYT24 of triples of the length classes 2, 3 and 3+.
BY_LENGTH: dict[str, tuple[float, float, float]] = {
    "WordDec": (0.765, 0.643, 0.642),
    "PtDec": (0.731, 0.674, 0.700),
    "GenerativeRE": (0.817, 0.735, 0.714),
}

# Examples, triples, and examples of the length classes 2, 3 and 3+; None where no number is given.
CORPORA: dict[tuple[str, str], tuple[int | None, ...]] = {
    ("NYT24", "train"): (56_196, 88_366, None, None, None),
    ("NYT24", "test"): (5_000, 8_120, 3_335, 566, 112),
    ("NYT29", "train"): (63_306, 78_973, None, None, None),
    ("NYT29", "test"): (4_006, 5_859, 2_718, 406, 116),
}
