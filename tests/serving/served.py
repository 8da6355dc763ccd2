"""A server on a free port for tests, by default of a model that needs no JAX, and its client."""

import contextlib
import http.client
import json
import threading
from typing import NamedTuple

from grel.serving.batcher import Batcher
from grel.serving.limits import Limits
from grel.serving.model import Found
from tests.fakes import BORN, LIVES, FakeExtractor

REASON = "needs starlette, uvicorn and prometheus-client, which launch/setup.sh --tests installs"
JSON = {"Content-Type": "application/json"}


class FakeModel:
    """Finds that the first word of each text lives in its last one; a blank text is a mistake."""

    name = "<i>fake</i>"
    relations = (LIVES, BORN)
    min_score = 0.0
    cannot_restrict = None
    can_trace = True

    def __init__(self):
        self.extractor = FakeExtractor()
        self.kinds = []

    def find(self, documents, kind):
        self.kinds.append(kind)
        return [Found(extraction, []) for extraction in self.extractor.extractions(documents)]


class HeldModel(FakeModel):
    """Is at work until it is let go; `begun` is released for each batch that it begins."""

    def __init__(self):
        super().__init__()
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def find(self, documents, kind):
        self.begun.release()
        self.go_on.wait()
        return super().find(documents, kind)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def error(self):
        """The one line of an error."""
        assert self.headers["content-type"] == "application/json"
        (line,) = self.json["error"].splitlines()
        assert list(self.json) == ["error"]
        return line


def answer_on(opened):
    """The next answer on an open connection, whole, in however many pieces it comes."""
    response = http.client.HTTPResponse(opened)
    response.begin()
    return Answer(response.status, response.headers, response.read())


class Client:
    """Asks the server at a port, over a new connection each time."""

    def __init__(self, port, metrics=None, server=None):
        self.port, self.metrics, self.server = port, metrics, server

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path):
        return self.ask("GET", path)

    def extract(self, *texts, **fields):
        return self.post(json.dumps({"texts": texts, **fields}))

    def post(self, body, headers=JSON):
        return self.ask("POST", "/extract", body, headers)

    def value(self, name):
        """A number of GET metrics."""
        lines = self.get("/metrics").data.decode().splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


@contextlib.contextmanager
def running(model=None, *, batch_size=8, window=0.0, hosts=None, **limits):
    """A client of a server that runs in a thread."""
    from grel.serving import app, listening
    from grel.serving.metrics import Metrics

    model, limits, metrics = model or FakeModel(), Limits(**limits), Metrics()
    batcher = Batcher(
        model.find,
        size=batch_size,
        window=window,
        max_waiting=limits.waiting,
        observe=metrics.observe_batch,
    )
    with listening.bind("127.0.0.1", 0) as opened, batcher:
        port = opened.getsockname()[1]
        opened.listen()
        service = app.Service(model, batcher, limits, metrics, hosts)
        server = listening.server(service.app(), limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield Client(port, metrics, server)
        finally:
            if isinstance(model, HeldModel):
                model.go_on.set()
            server.should_exit = True
            thread.join()
