"""The port: bound before the model is loaded, answered once it is ready, closed in good order."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from grel.errors import UsageError
from grel.serving.limits import Limits

# Connections at once, idle ones included: they cost a little memory each.
_MAX_CONNECTIONS = 1024
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
    `limits.seconds` bounds.
    """
    config = uvicorn.Config(
        app,
        # One choice of each, whatever else is installed.
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="error",
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(limits.seconds) + 1,
    )
    return uvicorn.Server(config)


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
