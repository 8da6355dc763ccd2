"""Trained models as others run them: a Transformers folder, and decoding as StableHLO."""
