"""The command that serves: mistakes told in one line, a run served, and its end by a signal."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.served import REASON, Client

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=REASON)

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "tests" / "extraction" / "old_runs"
LOOKUP, BERT = f"--workdir={RUNS / 'lookup'}", f"--workdir={RUNS / 'bert'}"
NO_RUN = "--workdir=/no/such"
# Flags belong to a process, and importing takes seconds: all command lines share one.
SHOW = """
import contextlib, io, json, sys
from tests.command import forget_flags
from grel import serve

for argv in json.loads(sys.argv[1]):
    sys.modules.pop("uvicorn", None)
    if "--without_uvicorn" in argv:
        argv.remove("--without_uvicorn")
        sys.modules["uvicorn"] = None
    sys.argv = ["serve.py", *argv]
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        status = serve.main()
    print(json.dumps([status, err.getvalue()]), flush=True)
    forget_flags()
"""


def test_mistakes_are_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"--port={taken.getsockname()[1]}"
        bad = {
            (): (2, "Flag --workdir must have a value other than None"),
            ("--workdir=",): (2, "it is empty; name a path"),
            (LOOKUP, "--host="): (2, "it is empty"),
            (LOOKUP, port): (2, f"--host=127.0.0.1 {port}: Address already in use"),
            (LOOKUP, "--port=70000"): (2, "--port=70000"),
            (LOOKUP, "--max_texts=0"): (2, "--max_texts is 0; it must be more than 0"),
            (LOOKUP, "--host=a..b"): (2, "--host=a..b: no machine can be called so"),
            **{
                (NO_RUN, f"--batch_window={window}", "--port=0"): (2, "from 0 to --max_seconds, 60")
                for window in ("nan", "inf", "1e10", "61")
            },
            (NO_RUN, "--max_seconds=1e10", "--port=0"): (2, "--max_seconds is 1e+10; it must be"),
            (LOOKUP, "--min_score=nan", "--port=0"): (1, "min_score is nan; it must be in [0, 1]"),
            (LOOKUP, "--min_score=2", "--port=0"): (1, "min_score is 2.0; it must be in [0, 1]"),
            (LOOKUP, "--tuned", "--min_score=.5", "--port=0"): (2, "tuned has a least score"),
            (LOOKUP, "--tuned", "--port=0"): (1, "this checkpoint was not tuned"),
            (LOOKUP, "--config.decoding.structure=on"): (2, "--config.decoding.structure: there"),
            (BERT, "--config.train.batch_size=3"): (2, "--config.train.batch_size: only config.de"),
            (BERT, "--config.eval.checkpoint=newest", "--port=0"): (1, "checkpoint is 'newest'"),
            (NO_RUN, "--port=0"): (1, "/no/such/best: no such folder; train first"),
            (LOOKUP, "--without_uvicorn"): (1, "uvicorn is not installed, which serving needs: "),
        }
        done = subprocess.run(
            [sys.executable, "-c", SHOW, json.dumps([list(argv) for argv in bad])],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(bad), done.stderr
    for (argv, (status, message)), (found, told) in zip(bad.items(), results, strict=True):
        (error,) = [line for line in told.splitlines() if not line.startswith("opening ")]
        assert error.startswith("error: "), argv
        assert message in error, argv
        assert found == status, argv


@contextlib.contextmanager
def _started(*argv):
    """The command as a process of its own, when it serves, and a client of it."""
    command = [sys.executable, "-m", "grel.serve", "--port=0", *argv]
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = []
            for line in process.stderr:
                told.append(line)
                if found := re.search(r"^serving lookup at http://127.0.0.1:(\d+)/$", line):
                    break
            assert found, "".join(told)
            yield process, Client(int(found[1]))
        finally:
            process.kill()


def test_a_run_is_served_until_a_signal_and_then_the_request_under_way_is_answered():
    with _started(LOOKUP, "--max_texts=3", "--min_score=0.01") as (process, client):
        assert client.get("/health").status == 200
        schema = client.get("/schema").json
        assert (schema["limits"]["texts"], schema["min_score"]) == (3, 0.01)
        text = (RUNS / "texts").read_text().splitlines()[0]
        answer = client.extract(text)
        assert answer.json["documents"][0]["text"] == text
        # By the name of this machine or its address, and by no other.
        assert client.ask("GET", "/health", headers={"Host": "evil.example"}).status == 421
        body = json.dumps({"texts": [text]}).encode()
        with socket.create_connection(("127.0.0.1", client.port)) as raw:
            head = "POST /extract HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
            while client.value("grel_requests_under_way") != 1:
                pass
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ConnectionError):
                while client.get("/health"):
                    pass
            assert process.poll() is None
            raw.sendall(body[5:])
            assert raw.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        assert process.stderr.read() == "stopped\n"
        assert process.wait() == 0
