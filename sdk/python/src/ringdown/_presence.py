"""Who is there on one channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ._handlers import Handlers
from ._line import Wire, check_data
from .errors import RingdownError


@dataclass(frozen=True)
class Member:
    """Somebody who is there. The id tells members apart, and is good for nothing else."""

    id: str
    user: str | None = None
    data: Any = None


def _member(m: dict[str, Any]) -> Member:
    return Member(m["id"], m.get("user"), m.get("data"))


class Presence:
    """What was entered is entered again after each return, until leave()."""

    def __init__(
        self,
        ask: Callable[..., Awaitable[Wire]],
        hold: Callable[[], Callable[[], None]],
        handlers: Handlers,
        spawn: Callable[[Any], None],
        is_on: bool,
    ) -> None:
        self._ask = ask
        self._hold = hold
        self._handlers = handlers
        self._spawn = spawn
        self._is_on = is_on  # the channel is subscribed to
        self._table: dict[str, Member] = {}
        self._fresh: dict[str, Member] | None = None  # a table that is being read, page by page
        self._reading = 0
        self._entered: Wire | None = None
        self._release: Callable[[], None] | None = None
        self._watchers = 0
        self._waiting: list[asyncio.Future[None]] = []  # who entered before the channel was subscribed to

    @property
    def members(self) -> dict[str, Member]:
        """Who is there by id, while anybody watches."""
        return dict(self._table)

    def on(self, fn: Callable[[dict[str, Member]], Any]) -> Callable[[], None]:
        """Watches who is there; fn is called after each change, until the returned function is."""
        release = self._hold()
        self._watchers += 1
        if self._watchers == 1 and self._is_on:
            self._spawn(self._read())

        def ended() -> None:
            self._watchers -= 1
            release()

        return self._handlers.on("change", fn, ended)

    async def enter(self, data: Any = None, *, will: Wire | None = None) -> None:
        """Makes this client a member. ``will`` ({"type", "key", "data"}) is what the server publishes when
        it is gone without having said so."""
        check_data([data, will])
        if self._release is None:
            self._release = self._hold()
        self._entered = {"action": "enter"} | ({} if data is None else {"data": data}) | ({} if will is None else {"will": will})
        if self._is_on:
            await self._ask(self._entered)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    async def update(self, data: Any) -> None:
        """Changes what this member says of itself."""
        await self.enter(data, will=(self._entered or {}).get("will"))

    async def leave(self) -> None:
        if self._entered is None:
            return
        # Whoever enters again meanwhile takes a hold of its own.
        release, self._release, self._entered = self._release, None, None
        try:
            if self._is_on:
                await self._ask({"action": "leave"})
        finally:
            if release is not None:
                release()

    def _up(self) -> None:
        self._is_on = True
        waiting, self._waiting = self._waiting, []
        if self._watchers:
            self._spawn(self._read())
        if self._entered is not None:
            self._spawn(self._enter_again(self._entered, waiting))

    async def _enter_again(self, entered: Wire, waiting: list[asyncio.Future[None]]) -> None:
        error: RingdownError | None = None
        try:
            await self._ask(entered)
        except RingdownError as cause:
            error = cause
        for w in waiting:
            if w.done():
                continue
            if error is None:
                w.set_result(None)
            else:
                w.set_exception(error)

    def _down(self, error: RingdownError | None = None) -> None:
        self._is_on = False
        self._fresh = None
        self._reading += 1
        if error is None:
            return
        waiting, self._waiting = self._waiting, []
        for w in waiting:
            if not w.done():
                w.set_exception(error)

    def _told(self, m: Wire) -> None:
        data = m.get("data") or {}
        if data.get("action") == "members":
            self._fresh = None
            self._reading += 1
            self._table = {x["id"]: _member(x) for x in data["members"]}
            if data.get("more") and self._watchers:
                self._spawn(self._read())
        else:
            for table in (self._table, self._fresh):
                if table is None:
                    continue
                if data.get("action") == "leave":
                    table.pop(data["member"]["id"], None)
                else:
                    table[data["member"]["id"]] = _member(data["member"])
        self._handlers.emit("change", self.members)

    async def _read(self) -> None:
        """Reads the whole table, and takes part meanwhile in what is told."""
        self._reading += 1
        turn = self._reading
        fresh: dict[str, Member] = {}
        self._fresh = fresh
        after: dict[str, str] = {}

        def take(m: Wire) -> None:
            fresh.update({member["id"]: _member(member) for member in m["data"]["members"]})

        try:
            while True:
                data = (await self._ask({"action": "get", **after}, take))["data"]
                if turn != self._reading:
                    return
                if not data.get("more") or not data["members"]:
                    break
                after = {"after": data["members"][-1]["id"]}
        except RingdownError:
            return  # not allowed, or the line is gone: then it is read again
        self._table, self._fresh = fresh, None
        self._handlers.emit("change", self.members)
