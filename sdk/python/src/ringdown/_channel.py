"""A channel as an application sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ._clock import Clock
from ._handlers import Handlers
from ._line import Wire, check_data
from ._outbox import Ack
from ._presence import Presence
from ._state import SharedState
from ._subscription import Gap, Subscription
from ._typing import Typing
from .errors import RingdownError, closed


@dataclass(frozen=True)
class Message:
    """An event. ``data`` is what its JSON is, or bytes."""

    type: str
    channel: str
    data: Any = None
    key: str | None = None
    offset: int | None = None  # None where nothing is kept
    time: float | None = None  # when the server accepted it, in seconds since 1970
    user: str | None = None  # who published it, on channels that show it


def message_of(m: Wire) -> Message:
    time = m.get("time")
    return Message(m["type"], m["channel"], m.get("data"), m.get("key"), m.get("offset"), None if time is None else time / 1000, m.get("from"))


@dataclass(frozen=True)
class Page:
    """A page of what a channel keeps, oldest first."""

    messages: list[Message]
    more: bool


class Host(Protocol):
    """What a channel needs of its client."""

    tasks: set[asyncio.Task[None]]

    @property
    def clock(self) -> Clock: ...
    def follow(self, s: Subscription) -> None: ...
    def unfollow(self, s: Subscription) -> None: ...
    def request(self, m: Wire, timeout: float | None = None, again: bool = True, take: Callable[[Wire], None] | None = None) -> Awaitable[Wire]: ...
    def publish(self, m: Wire, timeout: float | None) -> Awaitable[Ack]: ...
    def send_now(self, m: Wire) -> None: ...
    def raised(self, cause: BaseException) -> None: ...
    def spawn(self, work: Any) -> None: ...


class Channel:
    """Followed while anybody listens: a handler, an iterator, or one of its parts."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.subscription: Subscription | None = None
        self._host = host
        self._last: int | None = None
        self._rate: float | None = None
        self._holds = 0
        self._handlers = Handlers(host.raised, host.tasks)
        self._lifecycle = Handlers(host.raised, host.tasks)
        self._state: SharedState | None = None
        self._presence: Presence | None = None
        self._typing: Typing | None = None
        self._readers: set[Callable[[RingdownError | None], None]] = set()  # iterators, to be ended with the client

    # Listening.

    def on(self, event: str, fn: Callable[[Message], Any], *, last: int | None = None, rate: float | None = None) -> Callable[[], None]:
        """Calls fn (which may be a coroutine) with each event of that name, or with all for ``*``, until the
        returned function is called. ``last`` and ``rate`` are those of whoever follows the channel first."""
        return self._handlers.on(event, fn, self._hold(last, rate))

    def on_subscribed(self, fn: Callable[[bool | None, str | None], Any]) -> Callable[[], None]:
        """Calls fn(recovered, reason) when delivery begins."""
        return self._lifecycle.on("subscribed", fn)

    def on_recovered(self, fn: Callable[[int], Any]) -> Callable[[], None]:
        """Calls fn(count) when what was missed over a break has come."""
        return self._lifecycle.on("recovered", fn)

    def on_gap(self, fn: Callable[[Gap], Any]) -> Callable[[], None]:
        """Calls fn(gap) when messages are missing for good."""
        return self._lifecycle.on("gap", fn)

    def on_failed(self, fn: Callable[[RingdownError], Any]) -> Callable[[], None]:
        """Calls fn(error) when the subscription was refused, or is not allowed any more."""
        return self._lifecycle.on("failed", fn)

    async def messages(self, *, last: int | None = None, rate: float | None = None, buffer: int = 1_000) -> AsyncIterator[Message]:
        """All events, one after the other, for as long as the loop goes on, or until the client is closed. Of what it does not take in
        time the last ``buffer`` are kept; that others were left out is told as a gap with the reason slow."""
        queue: deque[Message] = deque()
        ready = asyncio.Event()
        missed = 0
        ended: list[RingdownError | None] = []

        def put(m: Message) -> None:
            nonlocal missed
            if len(queue) >= buffer:
                queue.popleft()
                missed += 1
            queue.append(m)
            ready.set()

        def end(error: RingdownError | None) -> None:
            if error is None or not error.retryable:
                ended.append(error)
                ready.set()

        self._readers.add(end)
        offs = [lambda: self._readers.discard(end), self.on_failed(end), self.on("*", put, last=last, rate=rate)]
        try:
            while True:
                if missed:
                    self._lifecycle.emit("gap", Gap("slow", missed=missed))
                    missed = 0
                if queue:
                    yield queue.popleft()
                elif ended and ended[0] is not None:
                    raise ended[0]
                elif ended:
                    return
                else:
                    ready.clear()
                    await ready.wait()
        finally:
            for off in offs:
                off()

    # Saying.

    async def publish(
        self,
        event: str,
        data: Any = None,
        *,
        key: str | None = None,
        dedupe: str | None = None,
        trace: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Publishes, and answers when the message is stored as durably as the channel promises. Over breaks it
        is kept and sent again, so that it is stored once. ``timeout`` is how long it may wait to be sent."""
        return await self._host.publish(self._message(event, data, key=key, dedupe=dedupe, traceparent=trace), timeout)

    def send(self, event: str, data: Any = None, *, key: str | None = None) -> None:
        """Publishes what is out of date at once: sent if there is a line, and forgotten; otherwise ``unavailable`` is raised."""
        self._host.send_now(self._message(event, data, key=key))

    def _message(self, event: str, data: Any, **more: str | None) -> Wire:
        check_data(data, self.name)
        m: Wire = {"type": event, "channel": self.name} | {k: v for k, v in more.items() if v is not None}
        if data is not None or more.get("key") is not None:
            m["data"] = data
        return m

    # What was, and who and what is there.

    async def page(self, *, before: int | None = None, limit: int | None = None) -> Page:
        """The newest messages before an offset, oldest first; up to 1,000, and 100 if nothing is said."""
        data = {k: v for k, v in (("before", before), ("limit", limit)) if v is not None}
        answer = (await self._host.request({"type": "history", "channel": self.name, "data": data}))["data"]
        return Page([message_of(m) for m in answer["messages"]], answer.get("more") is True)

    async def history(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Message]:
        """What is kept, newest first, page by page as far as the loop goes."""
        while True:
            page = await self.page(before=before, limit=limit)
            for m in reversed(page.messages):
                yield m
            if not page.more or not page.messages:
                return
            before = page.messages[0].offset

    @property
    def state(self) -> SharedState:
        """The latest value of each key, of a state channel."""
        if self._state is None:
            self._state = SharedState(self._hold_state, Handlers(self._host.raised, self._host.tasks))
        return self._state

    @property
    def presence(self) -> Presence:
        """Who is there."""
        if self._presence is None:
            on = self.subscription is not None and self.subscription.phase == "on"
            handlers = Handlers(self._host.raised, self._host.tasks)
            self._presence = Presence(self._ask, lambda: self._hold(), handlers, self._host.spawn, on)
        return self._presence

    @property
    def typing(self) -> Typing:
        """Who types, on a channel that declares it."""
        if self._typing is None:

            def say(active: bool) -> None:
                try:
                    self.send("typing", {"active": active})
                except RingdownError:
                    pass  # there is no line just now, and then it is out of date

            self._typing = Typing(self._host.clock, say, self._hold, Handlers(self._host.raised, self._host.tasks))
        return self._typing

    async def _ask(self, data: Wire, take: Callable[[Wire], None] | None = None) -> Wire:
        return await self._host.request({"type": "presence", "channel": self.name, "data": data}, take=take)

    def _hold_state(self) -> Callable[[], None]:
        if self.subscription is not None and self.subscription.phase != "off" and self._state is not None and not self._state.is_ready:
            # It is followed already, and nobody has kept what it was given: from the beginning, then.
            self._host.unfollow(self.subscription)
            self.subscription = None
        return self._hold()

    def _hold(self, last: int | None = None, rate: float | None = None) -> Callable[[], None]:
        """Has the channel followed until the returned function is called."""
        self._holds += 1
        if self.subscription is None:
            self.subscription = Subscription(self.name, _Follower(self), last, rate)
            self.subscription.keyed = self._state is not None
        self._host.follow(self.subscription)
        held = [True]

        def release() -> None:
            if held:
                held.clear()
                self._holds -= 1
                if self._holds == 0:
                    self._end()

        return release

    def _end(self) -> None:
        """Nobody listens any more: the position is forgotten too."""
        if self.subscription is not None:
            self._host.unfollow(self.subscription)
            self.subscription = None
        if self._state is not None:
            self._state.is_ready = False
        if self._presence is not None:
            self._presence._down()
        if self._typing is not None:
            self._typing._clear()

    def _closed(self, error: RingdownError | None) -> None:
        """The client is closed: by the application, or for this."""
        for end in list(self._readers):
            end(error)
        why = error or closed()
        if self._presence is not None:
            self._presence._down(why)
        if self._state is not None:
            self._state._fail(why)

    def _lost(self) -> None:
        if self._presence is not None:
            self._presence._down()


class _Follower:
    """What a channel is told by its subscription."""

    def __init__(self, channel: Channel) -> None:
        self._c = channel

    def message(self, m: Wire) -> None:
        if self._c._state is not None:
            self._c._state._apply(m)
        if m["type"] == "typing" and self._c._typing is not None:
            self._c._typing._told(m)
        told = message_of(m)
        self._c._handlers.emit(told.type, told)
        self._c._handlers.emit("*", told)

    def subscribed(self, recovered: bool | None, reason: str | None) -> None:
        if self._c._presence is not None:
            self._c._presence._up()
        self._c._lifecycle.emit("subscribed", recovered, reason)

    def recovered(self, count: int) -> None:
        self._c._lifecycle.emit("recovered", count)

    def gap(self, gap: Gap) -> None:
        self._c._lifecycle.emit("gap", gap)

    def failed(self, error: RingdownError) -> None:
        if self._c._presence is not None:
            self._c._presence._down(error)
        if self._c._state is not None and not error.retryable:
            self._c._state._fail(error)
        self._c._lifecycle.emit("failed", error)

    def snapshot(self, items: list[Wire]) -> None:
        if self._c._state is not None:
            self._c._state._replace(items)

    def told(self, m: Wire) -> None:
        if self._c._presence is not None:
            self._c._presence._told(m)
