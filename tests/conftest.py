"""Settings of all tests: eight fake devices, and a rank promotion is an error."""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ.setdefault("TFDS_DATA_DIR", os.path.join(os.path.dirname(__file__), "no_such_folder"))

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
