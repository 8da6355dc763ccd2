"""The server over real connections: answers, refusals, hostile clients, overload and its end."""

import concurrent.futures
import contextlib
import gc
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from grel.serving.model import Kind
from tests.fakes import BORN, LIVES
from tests.serving.served import JSON, REASON, Client, FakeModel, HeldModel, answer_on, running

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=REASON)


@pytest.fixture(scope="module")
def client():
    with running(body_bytes=50_000, texts=5, characters=10_000, waiting=64) as client:
        yield client


def test_texts_become_records_in_their_order(client):
    answer = client.extract("Ann lives in Oslo", "Bo ? in Rome , cut", min_score=0.25)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["documents"] == [
        {
            "id": "0",
            "text": "Ann lives in Oslo",
            "triples": [{"head": "Ann", "relation": LIVES, "tail": "Oslo", "score": 0.5}],
        },
        {
            "id": "1",
            "text": "Bo ? in Rome , cut",
            "triples": [{"head": "Bo", "relation": LIVES, "tail": "cut", "score": 0.5}],
            "truncated": True,
            "unknown_tokens": 1,
        },
    ]
    assert answer.json["tally"]["cut"] == 1
    assert "traces" not in answer.json
    assert client.extract().json["documents"] == []


def test_the_least_score_leaves_out_and_counts(client):
    found = client.extract("Ann in Oslo", "Bo in Rome", min_score=0.6).json
    assert [document["triples"] for document in found["documents"]] == [[], []]
    assert found["tally"]["below_min_score"] == 2


def test_texts_of_one_kind_go_together_and_others_do_not():
    model = HeldModel()
    kinds = [{}, {"relations": [BORN, LIVES, BORN]}, {}, {"trace": True}, {}]
    with running(model) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(client.extract, "first text")
        model.begun.acquire()
        others = []
        for number, fields in enumerate(kinds):
            others.append(pool.submit(client.extract, f"text {number}", **fields))
            _wait_for(lambda: client.value("grel_texts_waiting"), len(others))
        model.go_on.set()
        answers = [future.result() for future in (first, *others)]
    assert [answer.json["documents"][0]["text"] for answer in answers] == [
        "first text",
        *(f"text {number}" for number in range(5)),
    ]
    assert model.extractor.chunk_sizes == [1, 3, 1, 1]
    assert model.kinds == [Kind(), Kind(), Kind((LIVES, BORN)), Kind(traced=True)]


def _wait_for(look, expected):
    """For what another thread is about to do; it has a minute, which is forever."""
    for _ in range(60_000):
        if look() == expected:
            return
        time.sleep(0.001)
    raise AssertionError(f"still {look()}, not {expected}")


HOSTILE = {
    "empty": (b"", 400, "the body is empty"),
    "no JSON": (b"texts", 400, "the body: not JSON: Expecting value at column 1"),
    "not UTF-8": (b'{"texts": ["\xff"]}', 400, "the body: not UTF-8: byte 0xff at byte 13"),
    "UTF-16": ('{"texts": []}'.encode("utf-16"), 400, "the body: holds a zero byte"),
    "deep": (b"[" * 40_000, 400, "the body: nested too deeply"),
    "deep and whole": (b"[" * 20_000 + b"]" * 20_000, 400, "the body: nested too deeply"),
    "NaN": (b'{"texts": [], "min_score": NaN}', 400, "the body: NaN is no number in JSON"),
    "huge": (b'{"texts": [], "min_score": 1e999}', 400, "the body: '1e999' is too large"),
    "digits": (b'{"texts": [], "min_score": ' + b"9" * 9000 + b"}", 400, "9000 digits"),
    "twice": (b'{"texts": [], "texts": []}', 400, "the body: key 'texts' stands more than once"),
    "surrogate": (rb'{"texts": ["\ud83d"]}', 400, "a string holds half of a surrogate pair"),
    "surrogate in a key": (rb'{"\udc00": 1}', 400, "a string holds half of a surrogate pair"),
    "raw control": (b'{"texts": ["a\x07b"]}', 400, "Invalid control character"),
    "list": (b"[]", 422, "the body must be an object, not []"),
    "null": (b"null", 422, "the body must be an object, not None"),
    "nothing": (b"{}", 422, "field 'texts' is missing"),
    "string": (b'{"texts": "Ann"}', 422, "field 'texts' must be a list, not 'Ann'"),
    "number": (b'{"texts": ["Ann", 1]}', 422, "texts[1]: it must be a string, not 1"),
    "unknown": (b'{"texts": [], "<b>": 1}', 422, "unknown field '<b>'; there are texts, relations"),
    "score": (b'{"texts": [], "min_score": 1.5}', 422, "min_score is 1.5; it must be in [0, 1]"),
    "bool": (b'{"texts": [], "min_score": true}', 422, "field 'min_score' must be a number"),
    "trace": (b'{"texts": [], "trace": 1}', 422, "field 'trace' must be true or false, not 1"),
    "relation": (
        b'{"texts": [], "relations": ["x\\n"]}',
        422,
        "unknown relation 'x\\n'; GET schema",
    ),
    "relations": (b'{"texts": [], "relations": "x"}', 422, "field 'relations' must be a list"),
    "none": (b'{"texts": [], "relations": []}', 422, "relations: there are none; name some"),
    "many": (b'{"texts": ["", "", "", "", "", ""]}', 413, "texts: 6 of them; at most 5 a request"),
    "long": (
        json.dumps({"texts": ["a", "ü" * 10_001]}, ensure_ascii=False).encode(),
        413,
        "texts[1]: 10,001 characters; at most 10,000",
    ),
    "longer": (b" " * 50_001, 413, "the body is longer than 50,000 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_question_is_refused_in_one_line(client, name):
    body, status, reason = HOSTILE[name]
    answer = client.post(body)
    assert answer.status == status
    assert reason in answer.error


@pytest.mark.parametrize("name", ["longer", "many", "no JSON"])
def test_a_body_of_unknown_length_is_read_no_further_than_it_may_be_long(client, name):
    body, status, reason = HOSTILE[name]
    # An iterable is sent in chunks.
    answer = client.post(iter([body[:10], body[10:]]))
    assert answer.status == status
    assert reason in answer.error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {**JSON, "Content-Encoding": "gzip"},
    ],
)
def test_what_is_not_called_json_is_refused(client, headers):
    answer = client.post(b'{"texts": []}', headers)
    assert answer.status == 415
    assert answer.error


def test_json_may_say_its_charset(client):
    for kind in ("application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        assert client.post(b'{"texts": []}', {"Content-Type": kind}).status == 200


STRANGE = [
    '<script>alert(1)</script> & "quotes" \'',
    "zero \0 byte, bell \a, escape \x1b[31m",
    "\u2028 separators \u2029 and \ufeff marks \u202e turned",
    "👩‍👩‍👧 e\u0301 \U0010ffff ﷽ end",
]


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize("ascii", [True, False])
def test_strange_texts_come_back_as_they_are(client, text, ascii):
    body = json.dumps({"texts": [text]}, ensure_ascii=ascii)
    (document,) = client.post(body.encode()).json["documents"]
    assert document["text"] == text
    assert document["triples"][0]["head"] == text.split()[0]


def test_other_paths_and_methods(client):
    for path in ("/no", "/extract/", "/../etc/passwd", "/%00", "/schema?x=<b>"):
        assert client.get(path).status == (200 if path.startswith("/schema") else 404), path
    answer = client.get("/extract")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert "another method" in answer.error
    assert client.ask("POST", "/schema", b"{}", JSON).status == 405
    # Nothing tells a browser that pages of others may ask.
    answer = client.ask("OPTIONS", "/extract", headers={"Origin": "http://other.example"})
    assert answer.status == 405
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_no_http_ends_the_connection_and_nothing_else(client):
    for data in (b"\x16\x03\x01 no http\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"a" * 100_000):
        with (
            socket.create_connection(("127.0.0.1", client.port)) as raw,
            contextlib.suppress(ConnectionError),
        ):
            raw.sendall(data)
            answer = answer_on(raw)
            assert answer.status == 400
            assert answer.error == "this is no request of HTTP, or its headers are too long"
    assert client.get("/health").status == 200


def test_no_http_behind_an_answer_ends_the_connection_without_another(client, caplog):
    chunked = b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        raw.sendall(chunked)
        assert answer_on(raw).status == 405
        raw.sendall(b"no length of a chunk\r\n")
        assert raw.recv(1000) == b""
    assert not caplog.records


def test_a_model_that_cannot_says_so(monkeypatch):
    monkeypatch.setattr(FakeModel, "cannot_restrict", "relations can be restricted with ...")
    monkeypatch.setattr(FakeModel, "can_trace", False)
    with running() as client:
        assert client.extract("a b", relations=[LIVES]).error == (
            "relations: relations can be restricted with ..."
        )
        assert "writes in no steps" in client.extract("a b", trace=True).error
        schema = client.get("/schema").json
        assert (schema["can_restrict"], schema["can_trace"]) == (False, False)


def test_a_mistake_is_told_as_one_and_touches_no_other_client(client):
    # Of the fake model: a blank text has no first word.
    answer = client.extract("Ann in Oslo", " ")
    assert answer.status == 500
    assert "a mistake in the server" in answer.error
    assert client.extract("Ann in Oslo").status == 200


def test_schema_health_and_metrics(client):
    schema = client.get("/schema").json
    assert schema["relations"] == [LIVES, BORN]
    assert schema["limits"]["characters"] == 10_000
    assert client.get("/health").json["status"] == "ok"
    before = client.value("grel_texts_total"), client.value("grel_triples_total")
    client.extract("Ann in Oslo", "Bo in Rome")
    client.extract("Ann in Oslo", min_score=1)
    assert client.value("grel_texts_total") == before[0] + 3
    assert client.value("grel_triples_total") == before[1] + 2
    assert client.value('grel_requests_total{path="other",status="404"}') > 0
    client.get("/path-of-somebody")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "somebody" not in answer.data.decode()


def test_headers_of_all_answers(client):
    for path in ("/", "/health", "/no"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["server"] is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("grel.example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_a_browser_that_takes_another_name_for_this_machine_is_refused(host, status):
    with running(hosts={"localhost", "127.0.0.1", "[::1]", "grel.example"}) as client:
        answer = client.ask("GET", "/health", headers={"Host": host})
    assert answer.status == status


# ---- Load


def test_under_load_nothing_is_lost_and_everybody_gets_what_is_theirs():
    model = FakeModel()

    def ask_for_long(number):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        with contextlib.closing(connection):
            for n in range(20):
                texts = [f"Ann{number} met Bo{n}x{m}" for m in range(n % 4)]
                connection.request("POST", "/extract", json.dumps({"texts": texts}), JSON)
                response = connection.getresponse()
                found = json.load(response)["documents"]
                assert [document["text"] for document in found] == texts
                heads_tails = [(d["triples"][0]["head"], d["triples"][0]["tail"]) for d in found]
                assert heads_tails == [(f"Ann{number}", f"Bo{n}x{m}") for m in range(n % 4)]
        return True

    with running(model, batch_size=16) as client, ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask_for_long, range(12)))
        assert client.value("grel_texts_total") == 12 * 20 * 1.5
        assert client.value("grel_requests_under_way") == 0
    assert sum(model.extractor.chunk_sizes) == 12 * 20 * 1.5
    assert max(model.extractor.chunk_sizes) <= 16


def test_at_overload_some_are_told_to_come_again_and_what_is_kept_is_bounded():
    model = HeldModel()
    with (
        running(model, batch_size=2, waiting=6, requests=5, texts=2) as client,
        ThreadPoolExecutor(40) as pool,
    ):
        first = pool.submit(client.extract, "first one")
        model.begun.acquire()
        kept = [pool.submit(client.extract, f"Ann {n}", f"Bo {n}") for n in range(3)]
        _wait_for(lambda: client.value("grel_texts_waiting"), 6)
        # Six texts wait, as may; there is one more request that may be under way.
        refused = client.extract("too much")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.error == "6 texts are waiting; try again in 1 s"
        with _begun_request(client):
            _wait_for(lambda: client.value("grel_requests_under_way"), 5)
            answers = list(pool.map(lambda _: client.extract("too much"), range(30)))
            assert {answer.status for answer in answers} == {503}
            assert {answer.error for answer in answers} == {
                "5 requests are under way; try again in 1 s"
            }
            assert client.get("/health").status == 200
        assert client.value("grel_texts_waiting") == 6
        model.go_on.set()
        assert first.result().status == 200
        assert [future.result().status for future in kept] == [200] * 3
        assert client.value('grel_requests_total{path="/extract",status="503"}') == 31
        assert client.extract("and now").status == 200
    assert sum(model.extractor.chunk_sizes) == 1 + 6 + 1


@contextlib.contextmanager
def _begun_request(client):
    """A client that begins a request, and is in no hurry to go on."""
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        raw.sendall(
            b"POST /extract HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        yield raw


def test_a_body_that_does_not_come_in_time_is_given_up():
    with running(seconds=0.2) as client, _begun_request(client) as raw:
        answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not come within 0.2 seconds" in answer
        assert client.value("grel_requests_under_way") == 0


HEAD = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
HOLDING = {
    "nothing": [],
    "half of the headers": [HEAD],
    "half of the next headers": [HEAD + b"\r\n", HEAD],
    "more of a body that has its answer": [HEAD + b"Content-Length: 9\r\n\r\n", b"{"],
    "answers that are not taken": [(HEAD + b"\r\n") * 2000],
}


@pytest.mark.parametrize("name", HOLDING)
def test_a_connection_that_holds_its_place_without_a_request_is_closed(name):
    with running(seconds=0.3) as client, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(0.01)
        raw.connect(("127.0.0.1", client.port))
        connections = client.server.server_state.connections
        _wait_for(lambda: len(connections), 1)
        for data in HOLDING[name]:
            with contextlib.suppress(TimeoutError):
                raw.sendall(data)
                # The beginning of an answer, if there is one.
                raw.recv(100)
        _wait_for(lambda: len(connections), 0)
        assert client.get("/health").status == 200


def test_one_connection_too_many_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr("grel.serving.listening._MAX_CONNECTIONS", 2)
    with running() as client, contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", client.port)))
        stack.enter_context(_begun_request(client))
        _wait_for(lambda: len(client.server.server_state.connections), 2)
        answer = client.get("/health")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.error == "2 connections are open; try again in 5 s"
        # Those that were there before it are answered.
        first.sendall(HEAD + b"\r\n")
        assert answer_on(first).status == 200


def test_an_answer_that_takes_too_long_is_given_up_and_what_waits_is_not_run(caplog):
    model = HeldModel()
    with running(model, seconds=1.0, batch_size=1) as client:
        answer = client.extract("Ann in Oslo", "Bo in Rome")
        assert answer.status == 503
        assert answer.error.startswith("no answer within 1 seconds: send fewer or shorter texts")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.value("grel_texts_waiting") == 0
    assert model.extractor.chunk_sizes == [1]
    _check_silence(caplog)


def _check_silence(caplog):
    """Nothing was logged, also of futures that nobody read."""
    gc.collect()
    assert not caplog.records


def test_what_waits_for_a_client_that_is_gone_is_not_run(caplog):
    model = HeldModel()
    with running(model) as client, ThreadPoolExecutor() as pool:
        first = pool.submit(client.extract, "first one")
        model.begun.acquire()
        body = json.dumps({"texts": ["for nobody"]})
        connection = http.client.HTTPConnection("127.0.0.1", client.port)
        connection.request("POST", "/extract", body, JSON)
        _wait_for(lambda: client.value("grel_texts_waiting"), 1)
        connection.close()
        _wait_for(lambda: client.value("grel_texts_waiting"), 0)
        _wait_for(lambda: client.value("grel_requests_under_way"), 1)
        model.go_on.set()
        assert first.result().status == 200
    assert model.extractor.extracted == ["0"]
    _check_silence(caplog)


def test_the_end_lets_requests_under_way_finish_and_takes_no_more():
    model = HeldModel()
    with running(model, batch_size=1) as client, ThreadPoolExecutor() as pool:
        under_way = [pool.submit(client.extract, f"Ann {n}") for n in range(3)]
        model.begun.acquire()
        _wait_for(lambda: client.value("grel_texts_waiting"), 2)
        client.server.should_exit = True
        _wait_for(lambda: _is_answered(client.port), False)
        assert not any(future.done() for future in under_way)
        model.go_on.set()
        done, _ = concurrent.futures.wait(under_way)
        assert [future.result().status for future in done] == [200] * 3


def _is_answered(port):
    with contextlib.suppress(ConnectionError):
        return Client(port).get("/health").status == 200
    return False
