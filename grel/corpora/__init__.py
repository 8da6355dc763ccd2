"""Corpora: raw files of many formats, and a generated one, to documents and tfds data sets."""
