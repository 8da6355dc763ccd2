"""Two real processes train as one: joined over the local network, each with devices of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grel import parallel
from grel.pods import watch
from tests import tiny

ROOT = Path(__file__).parent.parent


def _start(args, devices, joined=None, num_processes=2):
    """A process with so many devices; `joined` is (address of the first one, number of this)."""
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}
    if joined:
        address, index = joined
        env |= {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(num_processes),
            "JAX_PROCESS_ID": str(index),
        }
    return subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _start_two(args, devices, flags=((), ())):
    """With these flags beside, of the one and of the other."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    return [_start([*args, *flags[index]], devices, (address, index)) for index in range(2)]


def _outputs(*processes, status=0):
    """What each printed on (stdout, stderr), once all of them have ended with that status."""
    outputs = [process.communicate(timeout=600) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == status, errors[-2000:]
    return outputs


_SUMS = """
import jax
import numpy as np
from grel import parallel

parallel.initialize()
index, count = parallel.process()
own = np.arange(4.0) + 10 * index  # of 2 devices, so 2 rows each

def add(total, rows):
    here = {"sum": rows.sum(), "devices": 1}
    return total + parallel.sum_over_devices(rows.sum()), parallel.sum_over_devices(here)

step = parallel.on_rows(add)
total = parallel.replicate(np.float32(0.5))
for _ in range(2):
    total, sums = step(total, own)
print("=", float(parallel.unreplicate(total)), *map(float, parallel.unreplicate(sums).values()))

alone = parallel.on_rows(lambda x, rows: ((), rows * x), devices=parallel.own_devices())
for _ in range(1 + index):  # the processes need not keep step
    _, product = alone(total, own)
print("=", *parallel.merge_rows(product))

parallel.wait_for_all("all sums are done")
parts = parallel.gather_bytes(b"\\x00a" * (1 + index) if index else b"")
print("=", *(part.hex() for part in parts), parallel.own_part(5))
"""


def test_sums_go_over_the_devices_of_all_processes():
    (first, _), (second, _) = _outputs(*_start_two(["-c", _SUMS], devices=2))
    total = 0.5 + 2 * (0 + 1 + 2 + 3 + 10 + 11 + 12 + 13)
    for printed, own in ((first, range(4)), (second, range(10, 14))):
        # Between lines of Gloo's threads, which may cut into each other.
        sums, products, parts = re.findall("= (.*)", printed)
        # Values come in the order of sorted keys: devices, sum.
        assert [*map(float, sums.split())] == [total, 4, 52]
        assert [*map(float, products.split())] == [total * x for x in own]
        part = "slice(0, 2, None)" if own[0] == 0 else "slice(2, 5, None)"
        assert parts == f" 00610061 {part}"


@pytest.mark.parametrize("variable", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID"])
@pytest.mark.parametrize("text", ["", "two", "-1", "1\n2"])
def test_a_variable_that_is_no_number_is_one_line(monkeypatch, variable, text):
    for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.setenv(name, text if name == variable else "0")
    with pytest.raises(watch.PodError, match=f"{variable}=.*: set it to a number") as error:
        parallel.initialize()
    assert "\n" not in str(error.value)


def test_what_processes_of_a_pod_have_not_in_common_is_told_in_all_of_them(monkeypatch):
    parallel.refuse_other_facts(lambda: pytest.fail("nobody to compare with"))
    facts = [
        {"data": "a", "checkpoint": None, "rate": 0.1},
        {"data": "a", "checkpoint": "a", "rate": 0.2, "width": 3},
        {"data": "a", "checkpoint": "a", "rate": 0.1},
    ]
    sent = []
    monkeypatch.setattr(parallel, "in_pod", lambda: True)
    monkeypatch.setattr(parallel, "gather_bytes", lambda data: sent.append(data) or [data])
    for of_one in facts:
        parallel.refuse_other_facts(lambda of_one=of_one: of_one)
    monkeypatch.setattr(parallel, "gather_bytes", lambda data: sent)
    for of_one in facts:
        with pytest.raises(watch.PodError) as error:
            parallel.refuse_other_facts(lambda of_one=of_one: of_one)
        assert str(error.value) == (
            "--distributed: not as in process 0: checkpoint (process 1, 2), rate (process 1), "
            "width (process 1); give all processes the same flags and files, and a --workdir that "
            "all see"
        )
    sent[1:] = sent[:1]
    parallel.refuse_other_facts(lambda: facts[0])


@pytest.fixture
def training(tmp_path):
    """Makes the arguments of a small training in the named work folder."""
    tiny.write_corpus(tmp_path / "corpus")

    def args(name, **fields):
        recipe = tmp_path / f"{name}.py"
        recipe.write_text(
            "import pathlib\n"
            "from tests import tiny\n"
            "def get_config():\n"
            f"    return tiny.config(pathlib.Path({str(tmp_path)!r}), **{fields!r})\n"
        )
        return [
            *("-m", "grel.main", "--mode=train"),
            *(f"--config={recipe}", f"--workdir={tmp_path / name}"),
        ]

    return args


def _metrics(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [(r["split"], r["step"], r["loss"], r.get("f1")) for r in map(json.loads, lines)]


@pytest.mark.slow
def test_two_processes_equal_one(training, tmp_path):
    _outputs(*_start_two([*training("two"), "--distributed"], devices=2))
    _outputs(_start(training("one"), devices=1))
    two, one = _metrics(tmp_path / "two"), _metrics(tmp_path / "one")
    assert len(two) == len(one) == 12
    for (split, step, loss, f1), expected in zip(two, one, strict=True):
        # Sums in another order differ in the last bits, which Adam's division makes visible later.
        tolerance = 1e-5 if step == 1 else 2e-3
        assert (split, step, f1) == (*expected[:2], expected[3])
        assert loss == pytest.approx(expected[2], rel=tolerance)


@pytest.mark.slow
def test_processes_that_see_other_data_end_with_one_line_each(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "import os, pathlib\n"
        "from tests import tiny\n"
        "def get_config():\n"
        f"    folder = pathlib.Path({str(tmp_path)!r}, os.environ['JAX_PROCESS_ID'])\n"
        "    config = tiny.config(folder)\n"
        "    train = folder / 'corpus' / 'train.jsonl'\n"
        "    train.write_text(train.read_text().replace('train-0', f'train-of-{folder.name}-0'))\n"
        "    return config\n"
    )
    args = ["-m", "grel.main", "--mode=train", f"--config={recipe}", f"--workdir={tmp_path}/run"]
    for _, errors in _outputs(*_start_two([*args, "--distributed"], devices=1), status=1):
        line = "error: --distributed: not as in process 0: training data (process 1); "
        assert errors.splitlines()[-1].startswith(line), errors
        assert errors.count("error: ") == 1


@pytest.mark.slow
def test_processes_that_are_asked_for_other_things_end_with_one_line_each(training, tmp_path):
    _outputs(_start(training("run"), devices=1))
    train = training("new")
    run = ["-m", "grel.main", f"--workdir={tmp_path / 'run'}"]
    cases = [
        (train, "--config.train.learning_rate=0.5", "config.train.learning_rate"),
        ([*run, "--mode=eval"], "--config.decoding.copy=off", "config.decoding.copy"),
        ([*run, "--mode=predict", "--input=a", "--output=b"], "--nowindows", "--windows"),
    ]
    for args, flag, name in cases:
        processes = _start_two([*args, "--distributed"], devices=1, flags=((), (flag,)))
        for _, errors in _outputs(*processes, status=1):
            line = f"error: --distributed: not as in process 0: {name} (process 1); give all"
            assert errors.splitlines()[-1].startswith(line), errors
            assert errors.count("error: ") == 1
    assert not (tmp_path / "new" / "run.json").exists()


@pytest.mark.slow
def test_processes_that_see_other_checkpoints_evaluate_nothing(training, tmp_path):
    for seed, name in enumerate(("one", "two")):
        _outputs(_start(training(name, seed=seed), devices=1))
    mode = ["-m", "grel.main", "--mode=eval", "--distributed"]
    flags = [[f"--workdir={tmp_path / name}"] for name in ("one", "two")]
    for _, errors in _outputs(*_start_two(mode, devices=1, flags=flags), status=1):
        line = "error: --distributed: not as in process 0: checkpoint (process 1); give all"
        assert errors.splitlines()[-1].startswith(line), errors
    assert not list(tmp_path.glob("*/eval/*"))


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(training, tmp_path):
    """Dropout and masks are those of the rows, wherever these are; sums differ in the last bits."""
    fields = {"model.objective": "mlm", "train.checkpoint_every": 100}
    training("begun", **fields)
    begin = (
        "import pathlib\nfrom tests import tiny\nfrom grel.training.trainer import Trainer\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\nconfig = tiny.config(folder, **{fields!r})\n"
        "assert config.model.dropout > 0\n"
        "Trainer(config, folder / 'begun').run(stop_after=4)\n"
    )
    _outputs(_start(["-c", begin], devices=1))
    for devices in (1, 2, 4):
        shutil.copytree(tmp_path / "begun", tmp_path / f"on{devices}")
        _outputs(_start(training(f"on{devices}", **fields), devices))
    one, *others = (_metrics(tmp_path / f"on{devices}") for devices in (1, 2, 4))
    assert [step for split, step, *_ in one if split == "train"] == list(range(1, 10))
    for other in others:
        assert [line[:2] for line in other] == [line[:2] for line in one]
        for (split, step, loss, _), (*_, expected, _) in zip(other, one, strict=True):
            tolerance = 1e-5 if step <= 5 else 2e-3  # as above
            assert loss == pytest.approx(expected, rel=tolerance), (split, step)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_one_step(training, tmp_path):
    args = [*training("run", **{"train.num_epochs": 400.0}), "--distributed"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    processes = _start_two(args, devices=1)
    while not (metrics.exists() and len(_metrics(tmp_path / "run")) > 4):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    (_, first), (_, second) = _outputs(*processes, status=75)
    stopped = [e.split("saved step ")[1].split(";")[0] for e in (first, second)]
    last = _metrics(tmp_path / "run")[-1][1]
    assert stopped == [str(last)] * 2
    assert last < 1200

    # Both go on from there.
    args = [*training("run", **{"train.num_epochs": 400.0}), "--distributed"]
    again = _start_two(args, devices=1)
    while _metrics(tmp_path / "run")[-1][1] == last:
        assert all(process.poll() is None for process in again)
        time.sleep(0.1)
    again[0].send_signal(signal.SIGINT)
    _outputs(*again, status=75)
    steps = [step for split, step, *_ in _metrics(tmp_path / "run") if split == "train"]
    assert steps == list(range(1, steps[-1] + 1))


@pytest.mark.slow
def test_two_processes_evaluate_and_predict_as_one(training, tmp_path):
    """They share the work, and what is written is what one process writes, bit for bit."""
    _outputs(_start(training("run"), devices=1))
    run = f"--workdir={tmp_path / 'run'}"
    outputs = {}
    for start, flags in ((_start, ()), (_start_two, ("--distributed",))):
        name = start.__name__
        mode = ["-m", "grel.main", run, *flags]
        started = start([*mode, "--mode=eval", f"--config.eval.name={name}"], devices=1)
        _outputs(*(started if isinstance(started, list) else [started]))
        folder = tmp_path / "run" / "eval" / name
        target, trace = tmp_path / name, tmp_path / f"{name}.trace"
        files = [f"--input={folder / 'gold.jsonl'}", f"--output={target}", f"--trace={trace}"]
        started = start([*mode, "--mode=predict", *files], devices=1)
        told = _outputs(*(started if isinstance(started, list) else [started]))
        assert sum("done: " in errors for _, errors in told) == 1
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["config"]["eval"]["name"]
        written = [target, trace, folder / "predictions.jsonl"]
        outputs[name] = [metrics, *(path.read_bytes() for path in written)]
    assert outputs["_start"] == outputs["_start_two"]
    assert not list(tmp_path.glob("_start_two-*"))


def _ends_in_one_line(process, index, what, status=watch.STATUS):
    """Whether a process ended as one does that has lost another: what it says last, and no more."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors[-2000:]
    *before, line = errors.splitlines()
    assert line.startswith(f"error: process {index} of 2 {what}")
    assert not any("error" in text.lower() or "Traceback" in text for text in before), errors


_WAITS = """
import sys
from grel import parallel

def wait():
    parallel.initialize()
    print("joined", flush=True)
    sys.stdin.read()
    raise ZeroDivisionError

parallel.run_joined(wait)
"""


def _waiting():
    processes = _start_two(["-c", _WAITS], devices=1)
    for process in processes:
        while process.stdout.readline() != "joined\n":
            assert process.poll() is None, process.communicate()
    return processes


def test_a_lost_first_process_ends_the_other_in_one_line():
    """JAX, whose coordinator is lost, aborts at once as well: its dump is not to be seen."""
    first, second = _waiting()
    first.kill()
    _ends_in_one_line(second, 0, "ended without a word")
    first.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_process_ends_the_other(failing):
    processes = _waiting()
    _, errors = processes[failing].communicate(timeout=60)
    assert (processes[failing].returncode, errors.count("ZeroDivisionError")) == (1, 1)
    _ends_in_one_line(processes[1 - failing], failing, "ended with an error", status=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "lost", "number"),
    [
        ("train", 0, signal.SIGKILL),
        ("train", 1, signal.SIGKILL),
        ("train", 0, signal.SIGSTOP),
        ("train", 1, signal.SIGSTOP),
        ("eval", 1, signal.SIGKILL),
        ("tune", 0, signal.SIGSTOP),
        ("predict", 0, signal.SIGKILL),
        ("predict", 1, signal.SIGSTOP),
    ],
)
def test_a_lost_process_ends_the_other_within_the_bound(training, tmp_path, mode, lost, number):
    begun = tmp_path / "run" / "metrics.jsonl"
    args = training("run", **{"train.num_epochs": 4000.0 if mode == "train" else 0.1})
    if mode != "train":
        _outputs(_start(args, devices=1))
        args = ["-m", "grel.main", f"--workdir={tmp_path / 'run'}", f"--mode={mode}"]
        # What is begun takes long: there is a lot of it.
        for split in ("validation", "test"):
            path = tmp_path / "corpus" / f"{split}.jsonl"
            lines = path.read_text().splitlines() * 500
            texts = [{**json.loads(line), "id": str(n)} for n, line in enumerate(lines)]
            path.write_text("".join(f"{json.dumps(text)}\n" for text in texts))
    if mode == "predict":
        args += [f"--input={tmp_path}/corpus/test.jsonl", f"--output={tmp_path}/begun"]
        begun = tmp_path / "begun-00000-of-00002.partial"
    processes = _start_two([*args, "--distributed", "--heartbeat_timeout=20"], devices=1)
    if mode in ("train", "predict"):
        while not (begun.exists() and (mode == "predict" or len(_metrics(begun.parent)) > 4)):
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
    else:
        while "reading jsonl" not in (line := processes[0].stderr.readline()):
            assert line
    begin = time.monotonic()
    processes[lost].send_signal(number)
    what = "ended without a word" if number == signal.SIGKILL else "was silent for 20 s"
    try:
        _ends_in_one_line(processes[1 - lost], lost, what)
        assert time.monotonic() - begin < 20 + 10  # and what a busy machine takes
    finally:
        processes[lost].kill()
        processes[lost].communicate()


@pytest.mark.slow
def test_a_second_signal_ends_a_process_of_a_pod_at_once(training, tmp_path):
    args = [*training("run", **{"train.num_epochs": 4000.0}), "--distributed"]
    first, second = _start_two(args, devices=1)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and len(_metrics(tmp_path / "run")) > 4):
        assert first.poll() is second.poll() is None
        time.sleep(0.1)
    # One that stands still agrees to nothing, so that the first signal alone ends nothing.
    second.send_signal(signal.SIGSTOP)
    first.send_signal(signal.SIGTERM)
    time.sleep(2)
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    second.send_signal(signal.SIGCONT)
    _ends_in_one_line(second, 0, "ended without a word")
