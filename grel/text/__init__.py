"""Text to what a model reads and writes: wordpieces, windows, target sequences, copy labels."""
