import importlib.util
import sys

import jax
import pytest

from grel.devices import topologies
from grel.errors import UsageError, UserError


def test_fake_devices_of_this_machine():
    target = topologies.target("cpux4")
    assert list(target.devices) == jax.devices()[:4]
    assert target.memory is None
    with pytest.raises(UsageError, match="there are 8; set JAX_NUM_CPU_DEVICES=9"):
        topologies.target("cpux9")


@pytest.mark.parametrize(
    "name",
    [
        *("v5e", "v9z:2x2", "v5e:4", "4x4", "h100", "b7x8", "v5ex8", ""),
        *("cpux0", "h100x0", "cpux00", "v5e:0x4", "v5p:2x2x0"),
    ],
)
def test_what_is_no_target(name):
    with pytest.raises(UsageError, match=f"--target={name}: it must be KIND:TOPOLOGY"):
        topologies.target(name)


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("v5e:4x4", f"'jax[tpu]=={jax.__version__}'"),
        (
            "h100x8",
            f"jax-cuda13-plugin=={jax.__version__} jax-cuda13-pjrt=={jax.__version__} "
            "nvidia-cuda-nvcc",
        ),
    ],
)
def test_packages_that_lack_are_named(name, packages, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UserError, match="pip install") as error_info:
        topologies.target(name)
    assert f"pip install {packages} (" in str(error_info.value)
    assert "\n" not in str(error_info.value)


def test_a_tpu_topology():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip(f"no libtpu: pip install 'jax[tpu]=={jax.__version__}' (500 MB) brings it")
    target = topologies.target("v5e:4x4")
    assert len(target.devices) == 16
    assert target.memory == 16 * 2**30
    assert {device.device_kind for device in target.devices} == {"TPU v5 lite"}
    assert "tpu" not in {device.platform for device in jax.devices()}, sys.path
