"""Model families: a plain dict of name -> module.

A family is one module with a frozen dataclass `Config`, a linen `Model`, `init(config, key)`,
`loss(config, params, batch, mask_key, dropout_key)`, and, where it writes tokens,
`init_decode`, `decoding_params`, `decode_step`, `take_rows`, `grow` and `reorder_beams`. A new
family is one file and one line here.
"""

from grel.models import bert

FAMILIES = {"bert": bert}
