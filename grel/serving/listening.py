"""The port: bound before the model is loaded, answered once it is ready, closed in good order."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import Iterator, Mapping

import h11
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from grel.errors import UsageError
from grel.serving.limits import Limits

# Connections at once, idle ones included: they cost a little memory each.
_MAX_CONNECTIONS = 1024
# After an answer, for the next request to begin.
_IDLE_SECONDS = 5
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is any that is free. Nobody can connect before it listens.

    Raises UsageError where there is no such address, or it is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host={host}: {error.strerror}") from None
    except UnicodeError:
        # Of a name with a part that is empty or too long: nobody was asked for it.
        raise UsageError(f"--host={host}: no machine can be called so") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise UsageError(f"--host={host} --port={port}: {error.strerror}") from None
    return opened


def url(opened: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(opened: socket.socket) -> bool:
    """Whether this machine alone can reach the socket."""
    return opened.getsockname()[0] in ("127.0.0.1", "::1")


def allowed_hosts(opened: socket.socket, more: list[str]) -> set[str] | None:
    """Names by which a server may be called: those of this machine if it alone can reach it."""
    if not is_loopback(opened) and not more:
        return None
    return {*_LOOPBACK, *(name.lower() for name in more)}


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server for the app; it stops gracefully by SIGTERM, or where `should_exit` is set.

    Then it takes no more connections and ends when the requests under way are answered, which
    `limits.seconds` bounds. A connection without one is closed after as many.
    """

    class Connection(_Connection):
        seconds = limits.seconds

    config = uvicorn.Config(
        app,
        # One choice of each, whatever else is installed.
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="error",
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=math.ceil(limits.seconds) + 1,
    )
    return uvicorn.Server(config)


class _Connection(H11Protocol):
    """A connection that no client holds for ever, and whose errors are JSON as those of the app.

    The server itself closes one that is silent after an answer, and the app gives up a request that
    takes too long. Here a clock bounds the rest: the headers of a request that do not come, a body
    that goes on after its answer, and an answer that is not taken.
    """

    seconds: float  # from one answer, or the beginning, to the headers of the next request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            reason = f"{_MAX_CONNECTIONS:,} connections are open; try again in {_IDLE_SECONDS} s"
            self.app = _error(503, reason, {"retry-after": str(_IDLE_SECONDS)})
        self._clock = self.loop.call_later(self.seconds, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clock.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._clock.cancel()
        self._clock = self.loop.call_later(self.seconds, self._end)
        super().on_response_complete()

    def _end(self) -> None:
        is_at_work = self.cycle is not None and not self.cycle.response_complete
        # A request that came behind an answer which is not taken holds the connection as well.
        if not is_at_work or self.transport.get_write_buffer_size():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        # What is wrong may be the rest of a body that has its answer.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = _error(400, "this is no request of HTTP, or its headers are too long")
            begin = h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request")
            events = begin, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


def _error(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer where the app is not asked, with which the connection ends."""
    return JSONResponse({"error": reason}, status, {**(headers or {}), "connection": "close"})


@contextlib.contextmanager
def signals_end_it_well() -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop the server, and not what comes after it.

    The server takes both for itself, and once it has stopped raises them anew for whoever had them
    before: for nobody, here, as everything is done.
    """
    numbers = signal.SIGTERM, signal.SIGINT
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
