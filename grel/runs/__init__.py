"""The folder of a run: its layout, record, checkpoints and evaluations."""
