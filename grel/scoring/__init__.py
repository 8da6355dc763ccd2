"""Judging triples: protocols, error classes and corpus statistics.

Everything here reads `Document`s and needs the standard library alone: stages talk through files,
so predictions can be scored on a machine without an accelerator, or years later.
"""
