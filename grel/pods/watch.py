"""How the processes of a pod notice that one of them is lost, and agree on where to stop.

Each process holds a connection to the first one, over which both say that they are alive. When one
ends without a word, or is silent for too long, the first tells all others which, and each ends with
one line and `STATUS`. Where one says that it failed, the others end with its own status: an error
would come again, and whoever goes by the status should not take it for a loss. JAX watches too, but
all it can do is abort with a dump of its own stack, so it is given a longer time. The connections
also carry what the processes have to agree on when one is asked to stop, which leaves signals to
`grel.training.signals`.

Nothing here knows JAX: a thread that sleeps, and wakes for a few bytes now and then.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from grel.errors import UserError

# A process that cannot go on without the others: sysexits.h calls it EX_UNAVAILABLE.
STATUS = 69

_CONNECT_TIMEOUT = 5.0
_JOIN_TIMEOUT = 60.0
# For the others to fail by themselves, when one says that it did: all may have the same reason.
_GRACE = 5.0
# For the others to be told before the first process ends, and JAX's coordinator with it.
_LINGER = 2.0

# What is said: what it is, of which process, and a step, or the exit status of one that failed.
_FRAME = struct.Struct("!cIQ")
_ALIVE, _DONE, _FAILED, _LOST, _SILENT = b"a", b"d", b"f", b"l", b"s"
_ASKED, _REPORT, _STOP_AT = b"?", b"r", b"!"
_TOKEN_BYTES = 16


class PodError(UserError):
    """The processes of a pod do not come together: says which, and what to look at."""


class Invitation(NamedTuple):
    """Where the first process waits for the others, and the secret that they have to know."""

    hosts: tuple[str, ...]
    port: int
    token: str

    def to_bytes(self) -> bytes:
        """For `from_bytes`, in another process."""
        return json.dumps(self).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Invitation:
        hosts, port, token = json.loads(data)
        return cls(tuple(hosts), port, token)


def listen(*hosts: str) -> tuple[socket.socket, Invitation]:
    """In the first process: a socket for the others to connect to, and what tells them of it.

    `hosts` are names by which others are known to reach this machine; its own are added.
    """
    if socket.has_dualstack_ipv6():
        listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("", 0))
    known = dict.fromkeys((*hosts, *_own_addresses()))
    return listener, Invitation(
        tuple(known), listener.getsockname()[1], secrets.token_hex(_TOKEN_BYTES)
    )


def _own_addresses() -> list[str]:
    found = []
    for family, beyond in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Sends nothing: only asks which address would be used to go out.
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((beyond, 9))
                found.append(probe.getsockname()[0])
        except OSError:
            pass
    return [*found, socket.gethostname(), "127.0.0.1"]


class _Peer:
    """The other end of a connection.

    Attributes:
        index: of the process there.
        heard: when it last said something.
        silent_is_well: it has said that it is done, or failed, and may end.
        closed: it has ended.
    """

    def __init__(self, index: int, connection: socket.socket):
        self.index = index
        self.connection = connection
        self.heard = time.monotonic()
        self.silent_is_well = False
        self.closed = False
        self._unread = b""

    def send(self, kind: bytes, index: int = 0, step: int = 0) -> None:
        """Says something; that nobody listens any more is noticed when reading."""
        with contextlib.suppress(OSError):
            self.connection.sendall(_FRAME.pack(kind, index, step))

    def receive(self) -> list[tuple[bytes, int, int]]:
        """What it said since; sets `closed` where it has ended."""
        try:
            data = self.connection.recv(1 << 16)
        except OSError:
            data = b""
        self.closed = not data
        self.heard = time.monotonic()
        data = self._unread + data
        whole = len(data) // _FRAME.size * _FRAME.size
        self._unread = data[whole:]
        return list(_FRAME.iter_unpack(data[:whole]))


class Watch:
    """The watch of one process over the others; ends the process where one of them is lost.

    Args:
        index, count: which process this is, of how many.
        timeout: seconds of silence after which a process is taken to hang.
        invitation: of the first process, to all.
        listener: the socket of `listen`, in the first process.
        tell: writes the line that the process ends with; it must not wait for any lock, which might
            be held by what hangs.

    Raises PodError where they do not come together.
    """

    def __init__(
        self,
        index: int,
        count: int,
        timeout: float,
        invitation: Invitation,
        listener: socket.socket | None = None,
        tell: Callable[[str], object] = lambda line: os.write(2, line.encode()),
    ):
        self._index, self._count, self._timeout = index, count, timeout
        self._changed = threading.Condition()
        self._step = 0
        self._reports: dict[int, int] = {}
        self._asked = False
        self._stop_at: int | None = None
        self._ends_itself = False
        self._ends_at: float | None = None
        self._failed = 0, 0
        self._tell = tell
        if listener is None:
            self._peers = [_join(invitation, index)]
        else:
            with listener:
                self._peers = _gather(listener, invitation, count)
        self._selector = selectors.DefaultSelector()
        for peer in self._peers:
            self._selector.register(peer.connection, selectors.EVENT_READ, peer)
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def done(self) -> None:
        """Says that this process has done its part, so that its end is no loss."""
        for peer in self._peers:
            peer.send(_DONE)

    def failed(self, status: int) -> None:
        """Says that this process ends with an error, which it has told, and the others with it.

        All end with this status, but for those that have an error of their own.
        """
        self._ends_itself = True
        for peer in self._peers:
            peer.silent_is_well = True
            peer.send(_FAILED, self._index, status)
        ends_at = time.monotonic() + _GRACE + _LINGER
        while self._index == 0 and time.monotonic() < ends_at and not self._all_ended():
            time.sleep(0.05)  # the watch listens

    def wait_for_verdict(self) -> None:
        """Gives the watch time to end this process, if what went wrong is that another is gone."""
        time.sleep(_LINGER)
        while self._ends_at is not None:
            time.sleep(0.05)

    def agree_to_stop(self, step: int, asked: bool) -> bool:
        """Whether to stop after this step, which all processes do at the same one.

        Each calls it after every step, and `asked` says whether it was asked to stop. When one was,
        the others' watches say which step they passed last, and all stop at the next that none has
        passed. Until that is known, none passes another.
        """
        with self._changed:
            self._step = step
            if asked and not self._asked:
                self._be_asked()
            self._changed.wait_for(lambda: not self._asked or self._stop_at is not None)
            return self._stop_at is not None and step >= self._stop_at

    def _be_asked(self) -> None:
        """Tells all, or the first to do so, and says where this process is."""
        self._asked = True
        for peer in self._peers:
            peer.send(_ASKED)
        self._report(self._index, self._step)

    def _report(self, index: int, step: int) -> None:
        if self._index > 0:
            self._peers[0].send(_REPORT, index, step)
            return
        self._reports[index] = step
        if len(self._reports) == self._count:
            self._agreed(max(self._reports.values()) + 1)

    def _agreed(self, step: int) -> None:
        self._stop_at = step
        if self._index == 0:
            for peer in self._peers:
                peer.send(_STOP_AT, step=step)
        self._changed.notify_all()

    def _run(self) -> None:
        interval = min(self._timeout / 4, 5.0)
        next_beat = 0.0
        while True:
            watched = [p for p in self._peers if not (p.silent_is_well or p.closed)]
            due = [next_beat, *(peer.heard + self._timeout for peer in watched)]
            due += [] if self._ends_at is None or self._ends_itself else [self._ends_at]
            # What was said while this process itself stood still is read before anyone is judged.
            for key, _ in self._selector.select(max(0.0, min(due) - time.monotonic())):
                self._read(key.data)
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + interval
                for peer in self._peers:
                    peer.send(_ALIVE)
            for peer in watched:
                if now - peer.heard >= self._timeout and not peer.silent_is_well:
                    self._end(_SILENT, peer.index)
            if self._ends_at is not None and now >= self._ends_at:
                self._end(_FAILED, *self._failed)

    def _read(self, peer: _Peer) -> None:
        for kind, index, step in peer.receive():
            if kind in (_LOST, _SILENT):
                self._end(kind, index)
            elif kind == _DONE:
                peer.silent_is_well = True
            elif kind == _FAILED:
                peer.silent_is_well = True
                self._end_soon(index, step)
            elif kind in (_ASKED, _REPORT, _STOP_AT):
                with self._changed:
                    if kind == _ASKED and not self._asked:
                        self._be_asked()
                    elif kind == _REPORT:
                        self._report(index, step)
                    elif kind == _STOP_AT:
                        self._agreed(step)
        if peer.closed:
            self._selector.unregister(peer.connection)
            if not peer.silent_is_well:
                self._end(_LOST, peer.index)

    def _end_soon(self, index: int, status: int) -> None:
        """After a moment, in which this process may tell of an error of its own."""
        if self._ends_at is None and not self._ends_itself:
            self._failed, self._ends_at = (index, status), time.monotonic() + _GRACE
            if self._index == 0:
                for peer in self._peers:
                    peer.send(_FAILED, index, status)

    def _end(self, kind: bytes, index: int, status: int = STATUS) -> None:
        """Tells of it, here and to the others, and ends this process."""
        if self._ends_itself:
            return
        what = {
            _LOST: "ended without a word: its own output may say why, or it was killed",
            _SILENT: f"was silent for {self._timeout:g} s (--heartbeat_timeout): it hangs, or its "
            "machine is gone",
            _FAILED: "ended with an error, which its own output tells",
        }[kind]
        line = (
            f"error: process {index} of {self._count} {what}; end what is left of the others and "
            "start all again: a training goes on from its newest checkpoint\n"
        )
        self._tell(line)
        if self._index > 0 and kind == _FAILED:
            # Or the first process, if it ends a little later, takes this one for lost.
            self._peers[0].send(_DONE)
        if self._index == 0:
            ends_at = time.monotonic() + _LINGER
            for peer in self._peers:
                peer.send(kind, index, status)
            while time.monotonic() < ends_at and not self._all_ended(but=index):
                for key, _ in self._selector.select(0.05):
                    key.data.receive()
                    if key.data.closed:
                        self._selector.unregister(key.fileobj)
        os._exit(status)

    def _all_ended(self, but: int = 0) -> bool:
        """Whether all other processes have ended, that one aside."""
        return all(peer.closed or peer.index == but for peer in self._peers)


def _gather(listener: socket.socket, invitation: Invitation, count: int) -> list[_Peer]:
    """In the first process: a connection to each of the others."""
    token = bytes.fromhex(invitation.token)
    found: dict[int, _Peer] = {}
    ends_at = time.monotonic() + _JOIN_TIMEOUT
    while len(found) < count - 1:
        listener.settimeout(max(0.01, ends_at - time.monotonic()))
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            missing = sorted({*range(1, count)} - {*found})
            raise PodError(
                f"no connection from {', '.join(f'process {index}' for index in missing)} within "
                f"{_JOIN_TIMEOUT:g} s; let the processes of a pod connect to each other"
            ) from None
        connection.settimeout(_CONNECT_TIMEOUT)
        try:
            greeting = _receive_exactly(connection, _TOKEN_BYTES + _FRAME.size)
        except OSError:
            greeting = b""
        # A stranger, such as a port scanner, or a connection that was given up.
        if not hmac.compare_digest(greeting[:_TOKEN_BYTES], token):
            connection.close()
            continue
        _, index, _ = _FRAME.unpack(greeting[_TOKEN_BYTES:])
        connection.sendall(token)
        found[index] = _Peer(index, _ready(connection))
    return list(found.values())


def _join(invitation: Invitation, index: int) -> _Peer:
    """In each other process: its connection to the first one."""
    token = bytes.fromhex(invitation.token)
    for host in invitation.hosts:
        try:
            connection = socket.create_connection((host, invitation.port), _CONNECT_TIMEOUT)
            connection.sendall(token + _FRAME.pack(_ALIVE, index, 0))
            if hmac.compare_digest(_receive_exactly(connection, _TOKEN_BYTES), token):
                return _Peer(0, _ready(connection))
            connection.close()  # not the machine that was meant
        except OSError:
            continue
    raise PodError(
        f"process {index} reaches process 0 at none of {', '.join(invitation.hosts)}, port "
        f"{invitation.port}; let the processes of a pod connect to each other"
    )


def _ready(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data
