"""How the client goes about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ._clock import Clock, RealClock
from ._line import Transport
from ._poll import PollTransport
from ._sse import SSETransport
from ._websocket import WebSocketTransport

TokenFunction = Callable[[str], "str | None | Awaitable[str | None]"]
"""Answers with a token. It is told why it is asked: connect, reconnect, expiring, expired or refused."""


@dataclass
class Settings:
    """All times are seconds. The figures are those of docs/writing-a-client.md."""

    transports: tuple[str, ...] = ("websocket", "sse", "poll")  # to use, the best first
    open_timeout: float = 10.0
    token_timeout: float = 10.0
    buffered_timeout: float = 5.0
    probe_timeout: float = 3.0
    silence: float = 15.0
    watch: float = 5.0
    backoff_base: float = 0.5
    backoff_cap: float = 20.0
    healthy: float = 30.0
    better_after: float = 60.0
    better_cap: float = 600.0
    outbox_messages: int = 1_000
    outbox_bytes: int = 1 << 20
    publish_timeout: float = 120.0
    ack_timeout: float = 10.0
    call_timeout: float = 10.0
    request_timeout: float = 10.0
    pipeline: int = 1

    clock: Clock = field(default_factory=RealClock)
    open_with: Callable[[str], Transport] = field(default=lambda name: _TRANSPORTS[name]())


_TRANSPORTS: dict[str, Callable[[], Transport]] = {"websocket": WebSocketTransport, "sse": SSETransport, "poll": PollTransport}
