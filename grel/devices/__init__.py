"""Kinds of accelerators, as far as a machine without them can know them."""
