"""A trace of the steps that were asked for, where TensorBoard looks for it."""

import jax
import pytest

from grel.training import profile
from grel.training.profile import Profile


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: made.append(folder))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: made.append("stop"))
    return made


def _run(trace, steps):
    with trace:
        for step in steps:
            trace.before(step)
            trace.after(step, ())
            yield step


@pytest.mark.parametrize(("num_steps", "traced"), [(0, []), (1, [7]), (3, [7, 8, 9])])
def test_so_many_steps_behind_the_one_that_compiles(tmp_path, calls, num_steps, traced):
    seen = []
    trace = Profile(tmp_path, 5, num_steps)
    for step in _run(trace, range(6, 12)):
        seen.append((step, list(calls)))
    started = [step for step, made in seen if made]
    assert started[:1] == traced[:1]
    ended = [step for step, made in seen if "stop" in made]
    assert ended[:1] == traced[-1:]
    assert calls == ([str(tmp_path / "tensorboard"), "stop"] if traced else [])


def test_a_run_that_ends_before_its_trace_ends_it(tmp_path, calls):
    list(_run(Profile(tmp_path, 0, 100), range(1, 4)))
    assert calls[1:] == ["stop"]
    list(_run(Profile(tmp_path, 0, 100), range(1, 2)))
    assert len(calls) == 2


def test_a_trace_is_a_file_that_tensorboard_opens(tmp_path):
    for _ in _run(Profile(tmp_path, 0, 1), range(1, 4)):
        jax.block_until_ready(jax.numpy.ones(3) * 2)
    [trace] = (tmp_path / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert trace.stat().st_size > 0
    assert profile.__doc__
