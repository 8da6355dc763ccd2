"""What a server answers under load: texts a second and latency, by batch size and clients.

    python -m tests.benchmarks.serve_load --workdir=RUN --jsonl=dev.jsonl \\
        [--batch 1 8 64 --clients 1 8 32 --texts 1 --num_requests=400 --rounds=3]

For each batch size a server is started as a user starts it; all are up at once, and each round asks
them in turn with every number of clients. A client is a thread that sends its next request over the
same connection when the last is answered. Printed are medians over rounds with their range: texts a
second, median and 95th percentile of the seconds of a request, and by the server's own metrics how
many texts went to the device together. Requests that were refused are counted; none should be while
clients are fewer than --max_requests.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from grel.records import read_jsonl
from tests.benchmarks.timing import machine

_JSON = {"Content-Type": "application/json"}


class Round(NamedTuple):
    """What came of one round with one server and some clients.

    Attributes:
        texts: texts a second.
        median, late: seconds of a request, by its median and its 95th percentile.
        batch: texts that went to the device together, on average.
        refused: requests that had no answer.
    """

    texts: float
    median: float
    late: float
    batch: float
    refused: int


@contextlib.contextmanager
def _server(a: argparse.Namespace, batch: int) -> Iterator[int]:
    """The port of a server with this batch size."""
    fields = [f"--config.decoding.batch_size={batch}"] if batch else []
    command = [sys.executable, "-m", "grel.serve", f"--workdir={a.workdir}", "--port=0", *fields]
    with subprocess.Popen([*command, *a.flags], stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr or ():
                if found := re.search(r"^serving .* at http://[^:]*:(\d+)/$", line):
                    break
                print(line, end="", file=sys.stderr)
            else:
                raise SystemExit("no server")
            yield int(found[1])
        finally:
            process.terminate()


def _batches(port: int) -> tuple[float, float]:
    """Texts and batches that went to the device so far."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    sums = (re.search(rf"^grel_batch_texts_{name} (.*)$", text, re.M) for name in ("sum", "count"))
    texts, batches = (float(found[1]) for found in sums)
    return texts, batches


def _ask(port: int, bodies: Sequence[bytes]) -> list[tuple[int, float]]:
    """Status and seconds of each request of one client."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    answered = []
    for body in bodies:
        begin = time.perf_counter()
        connection.request("POST", "/extract", body, _JSON)
        response = connection.getresponse()
        response.read()
        answered.append((response.status, time.perf_counter() - begin))
    connection.close()
    return answered


def _round(port: int, clients: int, bodies: Sequence[bytes], texts: int) -> Round:
    before = _batches(port)
    shares = [bodies[n::clients] for n in range(clients)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answered = list(itertools.chain(*pool.map(_ask, [port] * clients, shares)))
    seconds = time.perf_counter() - begin
    after = _batches(port)
    good = sorted(took for status, took in answered if status == 200)
    return Round(
        texts=len(good) * texts / seconds,
        median=statistics.median(good),
        late=good[min(len(good) - 1, int(0.95 * len(good)))],
        batch=(after[0] - before[0]) / (after[1] - before[1]),
        refused=len(answered) - len(good),
    )


def _told(rounds: Sequence[Round]) -> str:
    def spread(name: str) -> str:
        values = [getattr(one, name) for one in rounds]
        low, high = min(values), max(values)
        return f"{statistics.median(values):8.3f} ({low:.3f} to {high:.3f})"

    refused = sum(one.refused for one in rounds)
    return (
        f"{spread('texts')} texts a second, latency {spread('median')} s, 95 % within "
        f"{spread('late')} s, {spread('batch')} texts a batch, {refused} refused"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True, help="of a run")
    parser.add_argument("--jsonl", required=True, help="records of grel, for their texts")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64], help="0: the run's own")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--texts", type=int, default=1, help="of a request")
    parser.add_argument("--num_requests", type=int, default=400, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("flags", nargs="*", help="further ones of the servers, behind --")
    a = parser.parse_args()
    texts = itertools.cycle(document.text for document in read_jsonl(a.jsonl))
    bodies = [
        json.dumps({"texts": list(itertools.islice(texts, a.texts))}).encode()
        for _ in range(a.num_requests)
    ]
    print(f"{machine()}\n{vars(a)}", flush=True)
    with contextlib.ExitStack() as stack:
        ports = {batch: stack.enter_context(_server(a, batch)) for batch in a.batch}
        cases = list(itertools.product(ports, a.clients))
        rounds: dict[tuple[int, int], list[Round]] = {case: [] for case in cases}
        for batch, clients in cases:
            # To warm up.
            _round(ports[batch], clients, bodies[: 4 * clients], a.texts)
        for number in range(a.rounds):
            for case in cases if number % 2 else reversed(cases):
                batch, clients = case
                rounds[case].append(_round(ports[batch], clients, bodies, a.texts))
        for (batch, clients), found in rounds.items():
            print(f"batches of {batch:3}, {clients:3} clients: {_told(found)}", flush=True)


if __name__ == "__main__":
    main()
