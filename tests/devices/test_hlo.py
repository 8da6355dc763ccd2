"""Collectives in HLO: of programs that XLA compiles here, and of text as other backends have it."""

import jax
import jax.numpy as jnp
import pytest

from grel import parallel
from grel.devices.hlo import collectives

ROWS = jax.ShapeDtypeStruct((8, 2), jnp.float32)
PARAMS = jax.ShapeDtypeStruct((3, 5), jnp.float32)


def found(fn):
    text = parallel.compiled_for(fn, jax.devices()[:8], PARAMS, ROWS).as_text()
    return collectives(text)


def test_a_sum_once_a_step():
    [one] = found(lambda params, rows: (params, parallel.sum_over_devices(rows.sum() * params)))
    assert one == ("all-reduce", 4 * 15, 1, False)


def test_nothing_exchanged():
    assert found(lambda params, rows: (params, rows * params.sum())) == []


@pytest.mark.parametrize("nested", [False, True])
def test_a_sum_in_a_loop_is_told(nested):
    def repeated(x):
        return jax.lax.fori_loop(0, 9, lambda _, x: parallel.sum_over_devices(jnp.sin(x)), x)

    def fn(params, rows):
        if nested:
            rows = jax.lax.while_loop(lambda x: x.sum() < 9.0, repeated, rows)
        else:
            rows = repeated(rows)
        return params, rows

    assert [(c.name, c.in_loop) for c in found(fn)] == [("all-reduce", True)]


def test_other_collectives_are_told_by_name():
    def fn(params, rows):
        return params, jax.lax.all_gather(rows, parallel._AXIS)

    [one] = found(fn)
    assert one.name == "all-gather"
    assert one.num_bytes == 4 * 8 * 2


TEXT = """\
HloModule jit_f, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %c = f32[]{:T(128)} add(%a, %a)
}

%wrapped (p: bf16[4,2]) -> bf16[4,2] {
  ROOT %r = bf16[4,2]{1,0:T(8,128)(2,1)} all-reduce(%p), to_apply=%sum
}

%body (s: (f32[8])) -> (f32[8]) {
  ROOT %call = (f32[8]{0}) conditional(%s), branch_computations={%wrapped, %sum}
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %start = ((f32[8]{0:T(8)S(1)}, pred[3]), (f32[8]{0}, pred[3])) all-reduce-start(%x), to_apply=%sum
  %done = (f32[8]{0:T(8)S(1)}, pred[3]{0}) all-reduce-done(%start)
  ROOT %loop = (f32[8]{0}) while(%done), condition=%sum, body=%body
}
"""


def test_layouts_asynchronous_ones_and_called_computations():
    assert collectives(TEXT) == [("all-reduce", 16, 1, True), ("all-reduce", 35, 2, False)]
