"""Settings of all tests: eight fake devices, and a rank promotion is an error."""

import os
import tempfile
from pathlib import Path

os.environ["JAX_NUM_CPU_DEVICES"] = "8"

import hypothesis
import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
# A machine that is busy with something else makes no test fail.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
# Tests run each program once: compiling fast matters, running fast does not.
jax.config.update("jax_disable_most_optimizations", True)


# Those that take longest begin first, so that none is at work alone in the end.
_LONGEST = [
    *("training/test_trainer.py", "test_main.py", "models/test_bert.py", "decoding/test_beam.py"),
    *("training/test_steps.py", "decoding/test_greedy.py", "test_fields.py"),
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    def rank(item):
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def _compile_each_program_once():
    """Runs that differ only in what they do with a program share its compilation."""
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _prepare_nothing_in_the_home_directory():
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", folder)
        yield
