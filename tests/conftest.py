"""Settings of all tests: eight fake devices, and a rank promotion is an error."""

import os

os.environ["JAX_NUM_CPU_DEVICES"] = "8"

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests run each program once: compiling fast matters, running fast does not.
jax.config.update("jax_disable_most_optimizations", True)
