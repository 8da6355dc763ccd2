"""Trained systems at work: texts in, triples out; evaluated, tuned, over files of any size."""
