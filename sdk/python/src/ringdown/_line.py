"""Lines to the server, and how messages go over them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import RingdownError

Wire = dict[str, Any]
"""A message as the protocol has it. A payload of bytes is bytes in ``data``."""


@dataclass
class Opening:
    """What a line is opened with."""

    url: str  # http: or https:, without a slash at its end
    query: dict[str, str]
    token: str | None
    channels: list[Wire]  # what a stream or a poll begins with, as in a subscribe
    tasks: set[asyncio.Task[None]] = field(default_factory=set)  # of all lines, which the client waits for when it closes

    def start(self, work: Coroutine[Any, Any, None], life: Life) -> None:
        """Starts the task of a line, which its close() ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        # A line that is closed by what it told itself ends by looking at life.over.
        life.on_close.append(lambda: None if task is asyncio.current_task() else void(task.cancel()))


@dataclass
class End:
    """How a line ended. With neither code nor status, it broke."""

    code: int | None = None
    status: int | None = None
    error: RingdownError | None = None  # what the server said; without it, somebody in between may have answered
    retry_after: float = 0.0


class LineEvents(Protocol):
    """What a line tells. After ended, and after its close(), it tells nothing more."""

    def opened(self) -> None: ...
    def message(self, m: Wire) -> None: ...
    def heard(self) -> None: ...
    def ended(self, end: End) -> None: ...


class Line(Protocol):
    """One line to the server, of one transport. It ends once."""

    def send(self, m: Wire) -> None: ...
    def close(self) -> None: ...


class Transport(Protocol):
    name: str

    def open(self, o: Opening, events: LineEvents) -> Line: ...


@dataclass
class Life:
    """Makes sure that a line ends once, and that nothing is heard of it then."""

    events: LineEvents
    over: bool = False
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def end(self, end: End) -> None:
        if not self.over:
            self.close()
            self.events.ended(end)

    def close(self) -> None:
        self.over = True
        for fn in self.on_close:
            fn()
        self.on_close.clear()


def void(_: object) -> None:
    """Makes nothing of an answer."""


def check_data(data: Any, channel: str | None = None) -> None:
    """Refuses what cannot be sent, before it is in anybody's way."""
    if isinstance(data, bytes):
        return
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as cause:  # half a surrogate pair is a ValueError too
        raise RingdownError("invalid_data", f"this is no JSON: {cause}", channel) from cause


def encode(m: Wire) -> str | bytes:
    """Writes a message: as text, or as a binary frame if its data is bytes."""
    data = m.get("data")
    if not isinstance(data, bytes):
        return encode_text(m)
    head = {k: v for k, v in m.items() if k != "data"}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + data


def encode_text(m: Wire) -> str:
    """Writes a message for transports that carry text alone."""
    data = m.get("data")
    if isinstance(data, bytes):
        m = {k: v for k, v in m.items() if k != "data"} | {"data64": base64.b64encode(data).decode()}
    return json.dumps(m, separators=(",", ":"), ensure_ascii=False)


def decode(frame: str | bytes) -> Wire | None:
    """Reads a frame; None if it cannot be read, for a client passes that over."""
    try:
        if isinstance(frame, str):
            return unpack(json.loads(frame))
        head, newline, data = frame.partition(b"\n")
        m = unpack(json.loads(head))
        if m is not None and newline:
            m["data"] = data
        return m
    except ValueError:
        return None


def unpack(m: Any) -> Wire | None:
    """Puts what came as base64 into data, of a message and of those in it: a page of a history, a part of a state."""
    if not isinstance(m, dict) or not isinstance(m.get("type"), str):
        return None
    if isinstance(m.get("data64"), str):
        m["data"] = base64.b64decode(m.pop("data64"))
    if m["type"] in ("history", "state") and isinstance(m.get("data"), dict):
        for inner in m["data"].get("messages") or m["data"].get("items") or []:
            unpack(inner)
    return m


def body_items(o: Opening) -> list[Wire]:
    """The channels of an opening in the form of a body."""
    items = []
    for c in o.channels:
        item = {"channel": c["channel"], **c.get("data", {})}
        if "since" in c:
            item["since"] = c["since"]
        items.append(item)
    return items
