"""grel: generative relation extraction with a copying language model.

The dimension key, used as suffixes of array names and as einsum letters everywhere:

    B  batch                      D  model width (hidden size)
    L  packed length              H  attention heads
    S  source length              K  size of one head
    T  target length              F  feed-forward width
    P  predicted positions a row  V  vocabulary
    Q  query positions            C  BIO labels (3)
    N  layers                     G  gradient-accumulation slices

Masks are boolean; True means "may attend" or "counts".
"""

__version__ = "0.1.0"
