"""The client for scripts, without asyncio: a loop in a thread of its own.

from ringdown.sync import Client

with Client("http://127.0.0.1:8000") as client:
    client.channel("chat:42").publish("message", {"text": "hello"})
    for message in client.channel("chat:42").messages(last=20):
        print(message.data)
        break
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

from . import client as _client
from ._channel import Channel as _Channel
from ._channel import Message, Page
from ._outbox import Ack
from ._presence import Member
from .errors import RingdownError, closed

__all__ = ["Channel", "Client", "RingdownError"]

T = TypeVar("T")


class Client:
    """Like ringdown.Client, and may be used by several threads. It ends with close(), best by ``with``."""

    def __init__(self, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon: a script that forgets to close ends all the same.
        self._thread = threading.Thread(target=self._loop.run_forever, name="ringdown", daemon=True)
        self._thread.start()

        async def make() -> _client.Client:
            return _client.Client(url, **options)

        self._closed = False
        try:
            self._client = self._run(make())
        except BaseException:  # an option that does not exist, say: nothing is to be left behind
            self._end()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, cause: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise closed()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except (KeyboardInterrupt, concurrent.futures.CancelledError):
            future.cancel()
            raise

    @property
    def state(self) -> str:
        return self._client.state

    @property
    def user(self) -> str | None:
        return self._client.user

    def connect(self) -> None:
        self._run(self._client.connect())

    def call(self, event: str, data: Any = None, *, timeout: float | None = None) -> Any:
        return self._run(self._client.call(event, data, timeout=timeout))

    def channel(self, name: str) -> Channel:
        return Channel(self, self._client.channel(name))

    def close(self) -> None:
        """Ends the line, the loop and its thread."""
        if self._closed:
            return
        self._run(self._client.close())
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Channel:
    """A channel of such a client."""

    def __init__(self, client: Client, channel: _Channel) -> None:
        self._client = client
        self._channel = channel

    @property
    def name(self) -> str:
        return self._channel.name

    def publish(self, event: str, data: Any = None, *, key: str | None = None, dedupe: str | None = None, timeout: float | None = None) -> Ack:
        return self._client._run(self._channel.publish(event, data, key=key, dedupe=dedupe, timeout=timeout))

    def messages(self, *, last: int | None = None, rate: float | None = None, buffer: int = 1_000) -> Iterator[Message]:
        """What comes, for as long as the loop goes on. It follows the channel from the first message that is asked for."""
        return self._iterate(self._channel.messages(last=last, rate=rate, buffer=buffer))

    def history(self, *, before: int | None = None, limit: int | None = None) -> Iterator[Message]:
        return self._iterate(self._channel.history(before=before, limit=limit))

    def page(self, *, before: int | None = None, limit: int | None = None) -> Page:
        return self._client._run(self._channel.page(before=before, limit=limit))

    def state(self) -> dict[str, Any]:
        """The latest value of each key, as of now."""

        async def ready() -> dict[str, Any]:
            return dict(await self._channel.state.ready())

        return self._client._run(ready())

    def enter(self, data: Any = None, *, will: dict[str, Any] | None = None) -> None:
        self._client._run(self._channel.presence.enter(data, will=will))

    def leave(self) -> None:
        self._client._run(self._channel.presence.leave())

    def members(self) -> list[Member]:
        """Who is there now."""

        async def read() -> list[Member]:
            changed: asyncio.Future[list[Member]] = asyncio.get_running_loop().create_future()
            off = self._channel.presence.on(lambda members: None if changed.done() else changed.set_result(list(members.values())))
            try:
                return await changed
            finally:
                off()

        return self._client._run(read())

    def _iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T:
            return await source.__anext__()

        async def end() -> None:
            await source.aclose()  # type: ignore[attr-defined]

        try:
            while True:
                try:
                    yield self._client._run(following())
                except StopAsyncIteration:
                    return
        finally:
            if not self._client._closed:
                self._client._run(end())
