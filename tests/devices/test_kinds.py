import pytest

from grel.devices.kinds import KINDS, peak_flops


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TPU v4", "v4"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
    ],
)
def test_kinds_by_the_names_that_jax_has(name, kind):
    assert peak_flops(name) == KINDS[kind].peak_flops


def test_of_others_no_peak_is_known():
    assert peak_flops("cpu") is None
