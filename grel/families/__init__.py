"""Families of models: what their configurations say, and how texts go in and triples come out."""
