"""Recipes: one short file each, to be given to `--config`."""
