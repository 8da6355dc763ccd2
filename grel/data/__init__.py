"""Corpora, from files on disk or out of a generator, to packed batches."""
