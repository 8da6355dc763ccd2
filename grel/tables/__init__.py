"""The paper's tables and those beyond it, from evaluated runs; reads JSON(L) only, without JAX."""
