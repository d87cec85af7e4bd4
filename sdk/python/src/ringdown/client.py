"""A client: one line to a server, over which everything goes."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ._channel import Channel
from ._clock import Clock
from ._connection import Connection, StateChange
from ._handlers import Handlers
from ._line import Wire, check_data
from ._outbox import Ack, Outbox
from ._settings import Settings, TokenFunction
from ._subscription import Subscription
from .errors import RingdownError, closed, read_error, unknown

BATCH = 100  # channels of one subscribe

log = logging.getLogger("ringdown")


class _Pending:
    """A request that waits for its answer."""

    def __init__(self, message: Wire, again: bool, take: Callable[[Wire], None] | None) -> None:
        self.message = message
        self.take = take  # is given the answer there and then, before anything that comes behind it
        self.sent = False
        self.again = again  # it may be sent on another line
        self.done: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()

    def settle(self, result: Wire | RingdownError) -> None:
        if self.done.done():
            return
        if isinstance(result, RingdownError):
            self.done.set_exception(result)
            return
        if self.take is not None:
            self.take(result)
        self.done.set_result(result)


class Client:
    """Used within one event loop, best as ``async with Client(url) as client``.

    ``url`` is that of the server: https://host, wss://host, or with the path below which it is served.
    ``token`` is a token, or a function (or coroutine function) that answers with a fresh one; it is told
    why it is asked. Without it the client is anonymous. Other keywords are the fields of ``Settings``.
    """

    def __init__(self, url: str, *, token: str | TokenFunction | None = None, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.tasks: set[asyncio.Task[None]] = set()
        base = re.sub(r"/v1/ws/?$|/$", "", re.sub(r"^ws", "http", url))
        self._connection = Connection(base, token, self.settings, self)
        self._connection.tasks = self.tasks
        self._outbox = Outbox(self._connection, self._send_request)
        self._handlers = Handlers(self.raised, self.tasks)
        self._channels: dict[str, Channel] = {}
        self._followed: dict[str, Subscription] = {}
        self._asking: list[Subscription] = []  # in the next subscribe
        self._batches: dict[int, list[Subscription]] = {}
        self._pending: dict[int, _Pending] = {}
        self._retries: set[Callable[[], None]] = set()  # how to stop those that are to come
        self._last_id = 0  # 0 is the connection's own

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, cause: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def state(self) -> str:
        """Where the connection is: idle, opening, authenticating, live, probing, waiting or closed."""
        return self._connection.state

    @property
    def user(self) -> str | None:
        """Who the server says this is."""
        return self._connection.welcome.get("user")

    def on_state(self, fn: Callable[[StateChange], Any]) -> Callable[[], None]:
        """Calls fn at each change of the connection's state, until the returned function is called."""
        return self._handlers.on("state", fn)

    def on_error(self, fn: Callable[[BaseException], Any]) -> Callable[[], None]:
        """Calls fn with what handlers raised; otherwise it is logged."""
        return self._handlers.on("error", fn)

    async def connect(self) -> None:
        """Opens the line, which else the first thing does that needs one, and waits until it is live. Raises what
        the client was closed for."""
        self._connection.connect()
        if self._connection.live:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def changed(change: StateChange) -> None:
            if done.done():
                return
            if change.state == "live":
                done.set_result(None)
            elif change.state == "closed":
                done.set_exception(change.error or closed())

        off = self.on_state(changed)
        try:
            await done
        finally:
            off()

    async def close(self) -> None:
        """Ends the line and all that waits; nothing of the client runs after it. connect() opens it again."""
        self._connection.close()
        current = asyncio.current_task()
        others = [t for t in self.tasks if t is not current]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def wake(self) -> None:
        """Says that the network or the machine is back: what waits is tried at once."""
        self._connection.wake()

    def channel(self, name: str) -> Channel:
        """The channel of that name: always the same one."""
        found = self._channels.get(name)
        if found is None:
            found = self._channels[name] = Channel(name, self)
        return found

    async def call(self, event: str, data: Any = None, *, timeout: float | None = None) -> Any:
        """Asks the application behind the server. It is sent once: if the line is lost then, ``unknown`` is raised."""
        check_data(data)
        m: Wire = {"type": event} | ({} if data is None else {"data": data})
        answer = await self.request(m, self.settings.call_timeout if timeout is None else timeout, again=False)
        return answer.get("data")

    # Below is for the channels and the connection.

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def raised(self, cause: BaseException) -> None:
        if "error" in self._handlers:
            self._handlers.emit("error", cause)
        else:
            log.error("a handler raised", exc_info=cause)

    async def request(self, m: Wire, timeout: float | None = None, again: bool = True, take: Callable[[Wire], None] | None = None) -> Wire:
        self._connection.need()
        if self._connection.state == "closed":
            raise closed()
        self._last_id += 1
        id = self._last_id
        p = self._pending[id] = _Pending(m, again, take)

        def late() -> None:
            text = "no answer came in time" if p.sent else "there was no line in time"
            p.settle(RingdownError("timeout", text, m.get("channel"), retryable=again or not p.sent))

        stop = self.settings.clock.after(self.settings.request_timeout if timeout is None else timeout, late)
        if self._connection.live:
            self._put(p, id)
        try:
            return await p.done
        finally:
            stop()
            self._pending.pop(id, None)

    def _put(self, p: _Pending, id: int) -> None:
        p.sent = True
        self._connection.send({**p.message, "id": id})

    async def publish(self, m: Wire, timeout: float | None) -> Ack:
        self._connection.need()
        if self._connection.state == "closed":
            raise closed()
        return await self._outbox.add(m, timeout)

    def send_now(self, m: Wire) -> None:
        self._connection.need()
        if not self._connection.live:
            raise RingdownError("unavailable", "there is no line just now, and it was not to wait for one", m["channel"], retryable=True)
        self._connection.send(m)

    def _send_request(self, m: Wire) -> int:
        self._last_id += 1
        self._connection.send({**m, "id": self._last_id})
        return self._last_id

    def follow(self, s: Subscription) -> None:
        self._followed[s.name] = s
        if s.phase == "failed":
            s.phase = "off"  # the application asks again
        self._connection.need()
        self._ask(s)

    def unfollow(self, s: Subscription) -> None:
        self._followed.pop(s.name, None)
        if self._connection.live and s.phase in ("on", "asked"):
            self._connection.send({"type": "unsubscribe", "channel": s.name})

    def _ask(self, s: Subscription) -> None:
        """Subscribes with the others of this turn of the loop."""
        if not self._connection.live or s.phase != "off" or s in self._asking:
            return
        self._asking.append(s)
        if len(self._asking) == 1:
            asyncio.get_running_loop().call_soon(self._subscribe)

    def _subscribe(self) -> None:
        asking, self._asking = self._asking, []
        if not self._connection.live:
            return
        room = self._connection.welcome.get("max_message", 65_536) - 100
        batch: list[Subscription] = []
        size = 0

        def send() -> None:
            if batch:
                self._batches[self._send_request({"type": "subscribe", "channels": [s.item() for s in batch]})] = list(batch)
                batch.clear()

        for s in asking:
            if s.phase != "off" or self._followed.get(s.name) is not s:
                continue
            n = len(s.name) + 160  # with names of fields, epoch and offset
            if len(batch) == BATCH or size + n > room:
                send()
                size = 0
            s.phase = "asked"
            batch.append(s)
            size += n
        send()

    def _hand(self, s: Subscription, m: Wire) -> None:
        if s.receive(m):
            self._connection.send({"type": "unsubscribe", "channel": s.name})
            s.phase = "off"
            self._ask(s)
        elif s.phase == "failed":
            self._retry_later([s])

    def _retry_later(self, failed: list[Subscription]) -> None:
        """Tries those that failed together again, together, as far as that may help."""
        again = [s for s in failed if s.phase == "failed" and s.error is not None and s.error.retryable]
        if again:
            delay = max(max(s.error.retry_after if s.error else 0.0, self._connection.delay(s.failures - 1)) for s in again)

            def retry() -> None:
                self._retries.discard(stop)
                for s in again:
                    self._retry(s)

            stop = self.settings.clock.after(delay, retry)
            self._retries.add(stop)

    def _retry(self, s: Subscription) -> None:
        if s.phase == "failed" and self._followed.get(s.name) is s:
            s.phase = "off"
            self._ask(s)

    # What the connection tells.

    def items(self) -> list[Wire]:
        return [s.item() for s in self._followed.values() if s.phase != "failed"]

    def up(self, begun: list[Wire]) -> None:
        there = {i["channel"] for i in begun}
        for name in there - self._followed.keys():
            self._connection.send({"type": "unsubscribe", "channel": name})
        for s in list(self._followed.values()):
            if s.name in there:
                s.phase = "asked"
            elif callable(self._connection.token):
                self._retry(s)  # the token is a new one
            self._ask(s)
        self._subscribe()  # before what is published
        for id, p in list(self._pending.items()):
            if not p.sent:
                self._put(p, id)
        self._outbox.start()

    def down(self) -> None:
        for s in self._followed.values():
            s.lost()
        for c in self._channels.values():
            c._lost()
        self._batches.clear()
        self._asking.clear()
        self._outbox.stop()
        for p in list(self._pending.values()):
            if p.sent:
                p.sent = False
                if not p.again:
                    p.settle(unknown(p.message.get("channel")))

    def renewed(self) -> None:
        for s in list(self._followed.values()):
            self._retry(s)

    def changed(self, change: StateChange) -> None:
        if change.state == "closed":
            why = change.error or closed()
            for p in list(self._pending.values()):
                p.settle(unknown() if p.sent and not p.again else why)
            self._outbox.clear(why)
            for c in self._channels.values():
                c._closed(change.error)
            for stop in list(self._retries):
                stop()
            self._retries.clear()
        self._handlers.emit("state", change)

    @property
    def clock(self) -> Clock:
        return self.settings.clock

    def received(self, m: Wire) -> None:
        error = None
        if m["type"] == "error":
            error = read_error(m.get("data"), m.get("channel")) or RingdownError("internal", "an error without a code", m.get("channel"))
        id = m.get("id")
        if isinstance(id, int):
            if id in self._pending:
                self._pending[id].settle(error or m)
                return
            if self._outbox.answer(id, m, error):
                return
            batch = self._batches.pop(id, [])
            if "channel" not in m:
                for s in batch:
                    s.receive(m)
                self._retry_later(batch)
                return
            rest = [s for s in batch if s.name != m["channel"]]
            if rest:
                self._batches[id] = rest
            if self._followed.get(m["channel"]) not in batch:
                return  # it is the answer to something of an earlier time
        s_or_none = self._followed.get(m.get("channel", ""))
        if s_or_none is not None:
            self._hand(s_or_none, m)
        elif error is not None:
            log.warning("an error that nobody waited for: %s", error)
