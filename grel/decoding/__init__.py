"""Decoding: copy constraints, search and the driver. Knows step functions, never a model."""
