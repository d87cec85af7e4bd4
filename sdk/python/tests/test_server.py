"""The client against the real server, over each transport."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import proxy, token_of

from ringdown import Client, Gap, Member, Message, RingdownError
from ringdown.sync import Client as SyncClient

each = pytest.mark.parametrize("way", ["websocket", "sse", "poll"])


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test, and looks that it leaves no task behind."""

    async def main() -> None:
        await asyncio.wait_for(work(), 60)
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert not left, left

    asyncio.run(main())


def client(url: str, way: str, user: str | None = None, **more: Any) -> Client:
    return Client(url, token=token_of(user) if user else None, transports=(way,), backoff_base=0.05, **more)


class Collected:
    """What a handler was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._more = asyncio.Event()

    def __call__(self, m: Message) -> None:
        self.messages.append(m)
        self._more.set()

    async def first(self, n: int) -> list[Message]:
        while len(self.messages) < n:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 15)
        return self.messages[:n]


async def followed(channel: Any, **options: Any) -> Collected:
    """Follows a channel, and waits until that is so."""
    got, on = Collected(), asyncio.Event()
    off = channel.on_subscribed(lambda *_: on.set())
    channel.on("*", got, **options)
    await asyncio.wait_for(on.wait(), 15)
    off()
    return got


@each
def test_messages(server: str, way: str) -> None:
    """What is published comes, with what was there before, and can be gone through."""

    async def work() -> None:
        async with client(server, way, "ann") as ann, client(server, way, "bob") as bob:
            to = bob.channel(f"chat:{way}")
            assert (await to.publish("message", 0)).offset == 1
            got = await followed(ann.channel(f"chat:{way}"), last=10)
            await to.publish("message", 1)
            await to.publish("message", 2)
            assert [(m.data, m.user, m.offset) for m in await got.first(3)] == [(0, "bob", 1), (1, "bob", 2), (2, "bob", 3)]
            assert ann.user == "ann"
            assert [m.data async for m in ann.channel(f"chat:{way}").history(limit=2)] == [2, 1, 0]

    run(work)


@each
def test_bytes(server: str, way: str) -> None:
    async def work() -> None:
        async with client(server, way) as c:
            got = await followed(c.channel(f"live:{way}"))
            await c.channel(f"live:{way}").publish("frame", bytes([0, 10, 13, 255]))
            assert (await got.first(1))[0].data == bytes([0, 10, 13, 255])
            await c.channel(f"chat:bytes-{way}").publish("message", bytes([0, 255]))
            assert [m.data for m in (await c.channel(f"chat:bytes-{way}").page()).messages] == [bytes([0, 255])]
            await c.channel(f"trucks:bytes-{way}").publish("position", bytes([0, 255]), key="a")
            assert dict(await c.channel(f"trucks:bytes-{way}").state.ready()) == {"a": bytes([0, 255])}

    run(work)


@each
def test_state(server: str, way: str) -> None:
    async def work() -> None:
        async with client(server, way) as writer, client(server, way) as reader:
            to = writer.channel(f"trucks:{way}")
            await to.publish("position", [1, 2], key="t1")
            await to.publish("position", [3, 4], key="t2")
            state = await reader.channel(f"trucks:{way}").state.ready()
            assert dict(state) == {"t1": [1, 2], "t2": [3, 4]}
            gone = asyncio.Event()
            state.on(lambda s: gone.set() if "t1" not in s else None)
            await to.publish("position", None, key="t1")
            await asyncio.wait_for(gone.wait(), 15)
            assert dict(state) == {"t2": [3, 4]}

    run(work)


@each
def test_members(server: str, way: str) -> None:
    async def work() -> None:
        async with client(server, way, "ann") as ann, client(server, way, "bob") as bob:
            room = f"chat:members-{way}"
            seen: asyncio.Queue[list[str]] = asyncio.Queue()

            def changed(members: dict[str, Member]) -> None:
                seen.put_nowait(sorted(f"{m.user}{m.data}" for m in members.values()))

            ann.channel(room).presence.on(changed)
            await ann.channel(room).presence.enter(1)
            await bob.channel(room).presence.enter(2)
            while await asyncio.wait_for(seen.get(), 15) != ["ann1", "bob2"]:
                pass
            await bob.channel(room).presence.leave()
            while await asyncio.wait_for(seen.get(), 15) != ["ann1"]:
                pass

    run(work)


@each
def test_refusals(server: str, way: str) -> None:
    async def work() -> None:
        async with client(server, way) as c:
            with pytest.raises(RingdownError) as refused:
                await c.channel("mine").publish("e", 1)
            e = refused.value
            assert (e.code, e.rule, e.href, e.retryable) == ("forbidden", "mine.allow.publish", "/v1/errors/forbidden", False)
            with pytest.raises(RingdownError, match="no_backend"):
                await c.call("price")
            with pytest.raises(RingdownError, match="forbidden"):
                async for _ in c.channel("mine").messages():
                    pass

    run(work)


@each
def test_nothing_is_lost(server: str, way: str) -> None:
    """Lines that are cut, and a token that ends every few seconds, lose and double nothing."""

    async def work() -> None:
        asked: list[str] = []

        def token(reason: str) -> str:
            asked.append(reason)
            return token_of("ann", 3)

        async with proxy(server) as between:
            options: dict[str, Any] = {"token": token, "transports": (way,), "backoff_base": 0.05}
            async with Client(between.url, **options) as reader, Client(between.url, **options) as writer:
                gaps: list[Gap] = []
                reader.channel(f"chat:lost-{way}").on_gap(gaps.append)
                got = await followed(reader.channel(f"chat:lost-{way}"))
                said = 0
                while said < 200 or "expiring" not in asked:
                    if said % 50 == 25 and said < 200:
                        between.cut()
                    await writer.channel(f"chat:lost-{way}").publish("message", said)
                    said += 1
                    if said % 10 == 0:
                        await asyncio.sleep(0.2)  # so that the token ends meanwhile
                assert [m.data for m in await got.first(said)] == list(range(said))
                assert not gaps

    run(work)


@each
def test_every_character_comes(server: str, way: str) -> None:
    """Also those at which some libraries end a line."""

    async def work() -> None:
        async with client(server, way) as c:
            got = await followed(c.channel(f"live:odd-{way}"))
            odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\u00e9\U0001f600"
            for text in ("before", odd, "after"):
                await c.channel(f"live:odd-{way}").publish("e", text)
            assert [m.data for m in await got.first(3)] == ["before", odd, "after"]

    run(work)


@each
def test_what_is_no_json_is_refused_and_in_nobodys_way(server: str, way: str) -> None:
    async def work() -> None:
        async with client(server, way) as c:
            for bad in (object(), float("nan"), "\ud800", {1, 2}):
                for attempt in (c.call("price", bad), c.channel("live:bad").publish("e", bad), c.channel("live:bad").presence.enter(bad)):
                    with pytest.raises(RingdownError, match="invalid_data"):
                        await attempt
            await c.channel("live:bad").publish("e", "good")

    run(work)


def test_what_waits_ends_with_the_client(server: str) -> None:
    async def work() -> None:
        c = client(server, "websocket")
        reading = asyncio.create_task(_all(c.channel("chat:ends")))
        await followed(c.channel("chat:ends"))
        state = c.channel("trucks:ends").state
        for _ in range(100):
            await state.ready()
        assert c.channel("trucks:ends")._holds == 1
        state.close()
        assert c.channel("trucks:ends")._holds == 0
        with pytest.raises(RingdownError, match="forbidden"):
            await c.channel("mine").state.ready()
        await c.close()
        assert await asyncio.wait_for(reading, 5) == []

    run(work)


async def _all(channel: Any) -> list[Message]:
    return [m async for m in channel.messages()]


def test_goes_around(server: str) -> None:
    """A WebSocket that is blocked is gone around, and taken when it comes through."""

    async def work() -> None:
        async with proxy(server) as between:
            between.blocked = True
            ways: asyncio.Queue[str] = asyncio.Queue()
            async with Client(between.url, backoff_base=0.05) as c:
                c.on_state(lambda s: ways.put_nowait(s.transport) if s.state == "live" else None)
                await c.channel("chat:way").publish("message", 1)
                assert await ways.get() == "sse"
                between.blocked = False
                c.wake()
                while await asyncio.wait_for(ways.get(), 15) != "websocket":
                    pass
                await c.channel("chat:way").publish("message", 2)

    run(work)


def test_handlers_that_raise(server: str) -> None:
    async def work() -> None:
        async with client(server, "websocket") as c:
            raised: list[str] = []
            c.on_error(lambda cause: raised.append(str(cause)))

            async def bad(_: Message) -> None:
                raise RuntimeError("on purpose")

            c.channel("chat:raise").on("message", bad)
            got = await followed(c.channel("chat:raise"))
            await c.channel("chat:raise").publish("message", 1)
            await got.first(1)
            while raised != ["on purpose"]:
                await asyncio.sleep(0)

    run(work)


def test_a_cancelled_publication_is_taken_back() -> None:
    async def work() -> None:
        async with Client("http://127.0.0.1:1") as c:  # nobody is there
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(c.channel("chat:1").publish("message", 1), 0.05)
            with pytest.raises(RingdownError, match="unavailable"):
                c.channel("chat:1").send("message", 1)
        with pytest.raises(RingdownError, match="closed"):
            await c.channel("chat:1").publish("message", 1)

    run(work)


def test_typing(server: str) -> None:
    async def work() -> None:
        async with client(server, "websocket", "ann") as ann, client(server, "websocket", "ben") as ben:
            told: asyncio.Queue[list[str]] = asyncio.Queue()
            off = ben.channel("chat:typing").typing.on(lambda users: told.put_nowait(sorted(users)))
            subscribed = asyncio.Event()
            ben.channel("chat:typing").on_subscribed(lambda _recovered, _reason: subscribed.set())
            await asyncio.wait_for(subscribed.wait(), 5)
            await ann.connect()
            typing = ann.channel("chat:typing").typing
            typing.stop()  # nobody typed
            typing.active()
            typing.active()
            assert await asyncio.wait_for(told.get(), 5) == ["ann"]
            assert ben.channel("chat:typing").typing.users == {"ann"}
            typing.stop()
            assert await asyncio.wait_for(told.get(), 5) == []
            typing.active()
            assert await asyncio.wait_for(told.get(), 5) == ["ann"]
            assert await asyncio.wait_for(told.get(), 10) == []  # it says no more
            off()

    run(work)


def test_a_thousand_lines(server: str) -> None:
    """They leave nothing behind: no task, no file, no thread."""

    async def work() -> None:
        async with client(server, "websocket") as c:
            await c.connect()
            await c.close()
            gc.collect()
            before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
            tasks, threads = len(asyncio.all_tasks()), threading.active_count()
            for _ in range(1000):
                await c.connect()
                await c.close()
            gc.collect()
            after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
            assert after <= before + 2
            assert len(asyncio.all_tasks()) <= tasks
            assert threading.active_count() <= threads

    run(work)


def test_without_asyncio(server: str) -> None:
    before = threading.active_count()
    with SyncClient(server, token=token_of("ann")) as c:
        room = c.channel("chat:sync")
        assert room.publish("message", {"n": 1}).offset == 1
        for m in room.messages(last=1):
            assert m.data == {"n": 1}
            break
        assert [m.data for m in room.history()] == [{"n": 1}]
        c.channel("trucks:sync").publish("position", 5, key="t1")
        assert c.channel("trucks:sync").state() == {"t1": 5}
        room.enter("here")
        assert [m.user for m in room.members()] == ["ann"]
        room.leave()
        with pytest.raises(RingdownError, match="no_backend"):
            c.call("price")
        assert (c.user, c.state) == ("ann", "live")
    assert threading.active_count() == before
    with pytest.raises(RingdownError, match="closed"):
        c.call("price")
    with pytest.raises(TypeError):
        SyncClient(server, no_such_option=True)
    assert threading.active_count() == before


def test_a_thread_that_iterates_ends_with_the_client(server: str) -> None:
    c = SyncClient(server)
    c.connect()
    thread = threading.Thread(target=lambda: list(c.channel("chat:thread").messages()))
    thread.start()
    c.close()
    thread.join(5)
    assert not thread.is_alive()
