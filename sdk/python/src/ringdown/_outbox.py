"""Where a publication is kept until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ._clock import Timer, random_id
from ._connection import Connection
from ._line import Wire, encode_text
from .errors import RingdownError, unknown


@dataclass(frozen=True)
class Ack:
    """Where a publication is; None where the message is not kept."""

    epoch: str | None = None
    offset: int | None = None


class _Entry:
    def __init__(self, message: Wire, size: int, connection: Connection) -> None:
        self.message = message
        self.size = size
        self.first_sent: float | None = None
        self.failures = 0
        self.due = 0.0  # not to be sent before
        self.id: int | None = None  # under which it is on the line
        self.late = Timer(connection.settings.clock)
        self.again = Timer(connection.settings.clock)
        self.done: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()


class Outbox:
    def __init__(self, connection: Connection, send: Callable[[Wire], int]) -> None:
        self._connection = connection
        self._send = send  # answers with the id that it was given
        self._channels: dict[str, list[_Entry]] = {}
        self._sent: dict[int, _Entry] = {}
        self._count = 0
        self._bytes = 0
        self._up = False

    async def add(self, message: Wire, timeout: float | None) -> Ack:
        """Waits for the acknowledgement. A cancelled wait takes the publication back."""
        settings = self._connection.settings
        data = message.get("data")
        size = len(data) if isinstance(data, bytes) else len(encode_text({"data": data})) - len('{"data":}')
        channel = message["channel"]
        if self._count >= settings.outbox_messages or self._bytes + size > settings.outbox_bytes:
            text = f"{self._count} publications with {self._bytes} bytes wait for an acknowledgement, and there is room for no more"
            raise RingdownError("limit_exceeded", text, channel, retryable=True, limit="outbox")
        entry = _Entry({"dedupe": random_id(), **message}, size, self._connection)

        def late() -> None:
            if entry.first_sent is None:
                self._settle(entry, RingdownError("timeout", "it was not sent in time, and will not be", channel, retryable=True))

        entry.late.set(settings.publish_timeout if timeout is None else timeout, late)
        self._channels.setdefault(channel, []).append(entry)
        self._count += 1
        self._bytes += size
        self._flush(channel)
        try:
            return await entry.done
        finally:
            self._remove(entry)

    def start(self) -> None:
        """A line is there."""
        self._up = True
        for channel in list(self._channels):
            self._flush(channel)

    def stop(self) -> None:
        """The line is gone: what was under way is sent again on the next."""
        self._up = False
        for entry in self._sent.values():
            entry.id = None
        self._sent.clear()

    def clear(self, why: RingdownError) -> None:
        """Ends all that waits."""
        self.stop()
        for entries in list(self._channels.values()):
            for entry in list(entries):
                self._settle(entry, why if entry.first_sent is None else unknown(entry.message["channel"]))

    def answer(self, id: int, m: Wire, error: RingdownError | None) -> bool:
        """Takes an answer; False if it is not one to a publication."""
        entry = self._sent.pop(id, None)
        if entry is None:
            return False
        entry.id = None
        if error is None:
            self._settle(entry, Ack(m.get("epoch"), m.get("offset")))
        elif not error.retryable:
            self._settle(entry, error)
        else:
            delay = max(error.retry_after, self._connection.delay(entry.failures))
            entry.failures += 1
            entry.due = self._connection.settings.clock.now() + delay
            entry.again.set(delay, lambda: self._flush(entry.message["channel"]))
        return True

    def _settle(self, entry: _Entry, result: Ack | RingdownError) -> None:
        self._remove(entry)
        if entry.done.done():
            return
        if isinstance(result, Ack):
            entry.done.set_result(result)
        else:
            entry.done.set_exception(result)

    def _flush(self, channel: str) -> None:
        """Sends of a channel what may be sent, in its order."""
        if not self._up:
            return
        settings = self._connection.settings
        now = settings.clock.now()
        window = self._connection.welcome.get("dedupe_window", 120_000) / 1000 - 5
        for entry in self._channels.get(channel, [])[: settings.pipeline]:
            if entry.id is not None:
                continue
            if entry.first_sent is not None and now - entry.first_sent > window:
                self._settle(entry, unknown(channel))  # which flushes the rest
                return
            if entry.due > now + 1e-6:
                return
            if entry.first_sent is None:
                entry.first_sent = now
            entry.id = self._send(entry.message)
            self._sent[entry.id] = entry
            self._await_answer(entry, entry.id)

    def _await_answer(self, entry: _Entry, id: int) -> None:
        def overdue() -> None:
            if entry.id == id:
                self._connection.test("silent")
                entry.again.set(self._connection.settings.probe_timeout, again)

        def again() -> None:
            if entry.id == id:
                self._sent.pop(id, None)
                entry.id = None
                self._flush(entry.message["channel"])

        entry.again.set(self._connection.settings.ack_timeout, overdue)

    def _remove(self, entry: _Entry) -> None:
        channel = entry.message["channel"]
        entries = self._channels.get(channel, [])
        if entry not in entries:
            return
        entry.late.stop()
        entry.again.stop()
        if entry.id is not None:
            self._sent.pop(entry.id, None)
        entries.remove(entry)
        self._count -= 1
        self._bytes -= entry.size
        if entries:
            self._flush(channel)
        else:
            self._channels.pop(channel)
