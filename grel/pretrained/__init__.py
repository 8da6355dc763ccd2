"""Pretrained encoders: fetched, read without trust, ported to our parameters."""
