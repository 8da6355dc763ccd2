"""Settings of all tests: eight fake devices, and a rank promotion is an error."""

import importlib.metadata
import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# A machine that is busy with something else makes no test fail.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# For the commands that tests run too. Tests run each program a few times: compiling fast matters,
# running fast does not.
_ENVIRONMENT = {
    "JAX_NUM_CPU_DEVICES": "8",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    "XLA_FLAGS": "--xla_cpu_parallel_codegen_split_count=1",
}
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # Later ones have the other emitters only.
    _ENVIRONMENT["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"


def pytest_configure(config):
    """Before anything imports JAX; what one process has compiled none of the others need to."""
    os.environ.update(_ENVIRONMENT)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compiled = tempfile.TemporaryDirectory()
        config.add_cleanup(compiled.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name


# Those that take longest begin first, so that none is at work alone in the end.
_LONGEST = [
    "training/test_trainer.py",
    "test_main.py",
    "models/test_bert_decoding.py",
    "decoding/test_beam.py",
    "training/test_steps.py",
    "decoding/test_greedy.py",
    "test_fields.py",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    def rank(item):
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def _prepare_nothing_in_the_home_directory():
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", folder)
        yield
