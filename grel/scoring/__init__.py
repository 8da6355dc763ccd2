"""Judging triples: protocols, error classes, corpus statistics, and how far to trust the numbers.

Everything here reads `Document`s and needs the standard library alone (`bootstrap` numpy as well):
stages talk through files, so predictions can be scored on a machine without an accelerator, or
years later.
"""
