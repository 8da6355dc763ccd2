"""grel: generative relation extraction with a copying language model.

The dimension key, used as suffixes of array names and as einsum letters everywhere:

    B  batch                      D  model width (hidden size)
    L  packed length              H  attention heads
    S  source length              K  size of one head
    T  target length              F  feed-forward width
    P  predicted positions a row  V  vocabulary
    Q  query positions            C  BIO labels (3)
    M  key positions              N  layers
    E  examples of a data set

A 1 stands for an axis of size one. Masks are boolean; True means "may attend" or "counts".
"""

import os

__version__ = "0.1.0"

# transformers serves the tokenizer here; that it finds no PyTorch is as it should be.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
