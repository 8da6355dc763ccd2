"""What a server takes on, and how it says no.

Whoever can reach the port can send anything, so that everything a request makes the server keep is
bounded before it is kept: `requests` bodies of `body_bytes`, and `waiting` texts of `characters`.
"""

from __future__ import annotations

import dataclasses
import threading

from grel.errors import UsageError
from grel.files.parsing import MAX_LINE_BYTES


class Refused(Exception):
    """A request that is not answered: the status of HTTP, and one line that says why.

    Attributes:
        retry_after: seconds after which the same request may well be answered, or None.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None):
        super().__init__(reason)
        self.status, self.reason, self.retry_after = status, reason, retry_after


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is taken on; the defaults are those of the command.

    Attributes:
        body_bytes: of the body of a request.
        texts: of a request.
        characters: of a text.
        seconds: for a request, from its headers until its answer is ready; and for its client to
            send these headers, and to take the answer.
        requests: under way at once, those whose bodies are still coming in included.
        waiting: texts that wait for the device; more are refused.

    Raises UsageError where nothing could be served.
    """

    body_bytes: int = 1 << 20
    texts: int = 64
    characters: int = 20_000
    seconds: float = 60.0
    requests: int = 128
    waiting: int = 512

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"--max_{name} is {value}; it must be more than 0")
        if self.seconds > (longest := threading.TIMEOUT_MAX):
            raise UsageError(
                f"--max_seconds is {self.seconds:g}; it must be at most {longest:,.0f}"
            )
        if self.body_bytes > MAX_LINE_BYTES:
            raise UsageError(
                f"--max_body_bytes is {self.body_bytes:,}; it must be at most {MAX_LINE_BYTES:,}"
            )
        if self.texts > self.waiting:
            raise UsageError(
                f"--max_texts is {self.texts} and --max_waiting {self.waiting}: a request of as "
                "many texts as it may have could never wait"
            )
