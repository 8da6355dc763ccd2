"""Model families: a plain dict of name -> module.

A family is one module with a frozen dataclass `Config`, a linen `Model`, `init(config, key)`,
`loss(config, params, batch, mask_key, dropout_key)`, and, where it writes tokens,
`init_decode` and `decode_step`. A new family is one file and one line here.
"""

from grel.models import bert

FAMILIES = {"bert": bert}
