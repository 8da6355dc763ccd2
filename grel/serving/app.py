"""The paths of the server, in the terms of ASGI.

Everything that is no answer is JSON with one line under `error`. Nothing a client sends is logged:
texts are the clients' own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grel import __version__
from grel.records import Document
from grel.serving import openapi
from grel.serving.answers import answer
from grel.serving.batcher import Batcher, Closed, Full
from grel.serving.limits import Limits, Refused
from grel.serving.metrics import Metrics
from grel.serving.model import Found, Kind, Model
from grel.serving.page import page
from grel.serving.requests import Question, parse

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Service:
    """What stands behind each path.

    Args:
        batcher: runs `model.find`.
        hosts: names in the Host header that are answered; None is any. A browser can be made to
            take any name for this machine, but not to say another one there.
    """

    def __init__(
        self,
        model: Model,
        batcher: Batcher[Document, Kind, Found],
        limits: Limits,
        metrics: Metrics,
        hosts: Collection[str] | None = None,
    ):
        self._model, self._batcher = model, batcher
        self._limits, self._metrics = limits, metrics
        self._hosts = hosts
        self._under_way = 0
        self._page = page(model.name)
        self._openapi = openapi.document(model, limits)
        metrics.gauge("requests_under_way", "Requests for triples.", lambda: self._under_way)
        metrics.gauge("texts_waiting", "Texts that wait.", lambda: batcher.num_waiting)

    def app(self) -> ASGIApp:
        """The whole of it, to be run by a server."""
        routes = [
            Route("/", self.show_page),
            Route("/extract", self.extract, methods=["POST"]),
            Route("/schema", self.schema),
            Route("/health", self.health),
            Route("/metrics", self.show_metrics),
            Route("/openapi.json", self.openapi),
        ]
        handlers: Mapping[Any, Any] = {
            Refused: _refused,
            HTTPException: _http_error,
            Exception: _mistake,
        }
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return _Outermost(app, {route.path for route in routes}, self._metrics, self._hosts)

    async def show_page(self, request: Request) -> Response:
        """The page for people."""
        return HTMLResponse(self._page.html, headers={"content-security-policy": self._page.policy})

    async def schema(self, request: Request) -> Response:
        """What a client has to know of the model, and the limits."""
        return JSONResponse(
            {
                "name": self._model.name,
                "relations": self._model.relations,
                "can_restrict": self._model.cannot_restrict is None,
                "can_trace": self._model.can_trace,
                "min_score": self._model.min_score,
                "limits": vars(self._limits),
            }
        )

    async def health(self, request: Request) -> Response:
        """Whether texts are worked at."""
        is_well = self._batcher.is_at_work
        status = {"status": "ok" if is_well else "stopped", "version": __version__}
        return JSONResponse(status, 200 if is_well else 503)

    async def show_metrics(self, request: Request) -> Response:
        """Counts and times for Prometheus."""
        text, content_type = self._metrics.shown(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(self._openapi)

    async def extract(self, request: Request) -> Response:
        """Texts in, triples out."""
        # Before anything of its body is read.
        if self._under_way >= self._limits.requests:
            raise self._overload(f"{self._under_way:,} requests are under way")
        self._under_way += 1
        data = None
        try:
            async with asyncio.timeout(self._limits.seconds):
                data = await self._body(request)
                question = parse(data, self._limits, self._model)
                found = await self._found(request, question)
        except TimeoutError:
            seconds = f"within {self._limits.seconds:g} seconds"
            if data is None:
                raise Refused(408, f"the body did not come {seconds}") from None
            raise self._overload(f"no answer {seconds}: send fewer or shorter texts") from None
        except ClientDisconnect:
            return Response(status_code=499)  # to nobody, but it is counted
        finally:
            self._under_way -= 1
        body, num_triples = answer(found, question.min_score, traced=question.kind.traced)
        self._metrics.texts.inc(len(found))
        self._metrics.triples.inc(num_triples)
        return Response(body, media_type="application/json")

    def _overload(self, reason: str) -> Refused:
        seconds = self._batcher.seconds_to_wait()
        return Refused(503, f"{reason}; try again in {seconds} s", seconds)

    async def _body(self, request: Request) -> bytes:
        kind, _, parameters = request.headers.get("content-type", "").partition(";")
        charset = parameters.replace(" ", "").replace('"', "").lower()
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise Refused(415, "send the header Content-Type: application/json; JSON is UTF-8")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "the body is compressed; send it as it is")
        longest = self._limits.body_bytes
        too_long = Refused(413, f"the body is longer than {longest:,} bytes; send fewer texts")
        if int(request.headers.get("content-length", "0")) > longest:
            raise too_long
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > longest:
                raise too_long
        return bytes(data)

    async def _found(self, request: Request, question: Question) -> Sequence[Found]:
        """What was found in each text; raises ClientDisconnect where nobody waits for it."""
        try:
            futures = self._batcher.submit(question.documents, question.kind)
        except Full:
            raise self._overload(f"{self._batcher.num_waiting:,} texts are waiting") from None
        except Closed:
            raise Refused(503, "the server is stopping") from None
        # A task: a gather that is cancelled complains where nobody reads it.
        found = asyncio.ensure_future(_all(futures))
        gone = asyncio.ensure_future(_until_gone(request))
        either: list[asyncio.Future[Any]] = [found, gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                raise ClientDisconnect
            return await found
        finally:
            # Texts that still wait are not run.
            found.cancel()
            gone.cancel()


async def _all(futures: Sequence[Future[Found]]) -> Sequence[Found]:
    return await asyncio.gather(*map(asyncio.wrap_future, futures))


async def _until_gone(request: Request) -> None:
    """Waits, once the body is read, for the client to close the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Outermost:
    """What holds for all paths: whose requests are answered, headers, counts and times."""

    def __init__(
        self, app: ASGIApp, paths: Collection[str], metrics: Metrics, hosts: Collection[str] | None
    ):
        self._app, self._paths = app, paths
        self._metrics, self._hosts = metrics, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begin = time.monotonic()
        path = scope["path"] if scope["path"] in self._paths else "other"

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
                self._metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        try:
            if self._hosts is not None and _host(scope) not in self._hosts:
                reason = "this name is not served; call 127.0.0.1, or start with --allow_hosts"
                await _error(421, reason)(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        finally:
            self._metrics.request_seconds.observe(time.monotonic() - begin)


def _host(scope: Scope) -> str:
    """The name in the Host header, without its port."""
    given = next((value for name, value in scope["headers"] if name == b"host"), b"")
    host = given.decode("latin-1").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    headers = {}
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    if refused.status == 408:
        # The rest of the body is not waited for either.
        headers["connection"] = "close"
    return _error(refused.status, refused.reason, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = {
        404: "there is no such path; GET openapi.json lists them",
        405: "this path has another method; GET openapi.json lists them",
    }.get(error.status_code, error.detail)
    return _error(error.status_code, reason, error.headers)


async def _mistake(request: Request, error: Exception) -> Response:
    return _error(500, "a mistake in the server, and no answer; its log has the details")


def _error(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": reason}, status, headers)
