"""What a state channel keeps: the latest value of each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._handlers import Handlers
from ._line import Wire
from .errors import RingdownError


class SharedState(Mapping[str, Any]):
    """Kept up to date while anybody listens to it, or waits for it to be ready."""

    def __init__(self, hold: Callable[[], Callable[[], None]], handlers: Handlers) -> None:
        self.is_ready = False
        self._values: dict[str, Any] = {}
        self._hold = hold
        self._handlers = handlers
        self._kept: Callable[[], None] | None = None  # since ready()
        self._waiting: list[asyncio.Future[None]] = []

    def on(self, fn: Callable[[SharedState], Any]) -> Callable[[], None]:
        """Follows the state; fn is called after each change, until the returned function is."""
        off = self._handlers.on("change", fn, self._hold())
        return off

    async def ready(self) -> SharedState:
        """Follows the state from now on, until close(), and answers when all of it is there. Raises why it may not be followed."""
        if self._kept is None:
            self._kept = self._hold()
        if not self.is_ready:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            try:
                await done
            finally:
                self._waiting.remove(done)
        return self

    def close(self) -> None:
        """Ends what ready() began; others who listen go on."""
        if self._kept is not None:
            self._kept()
            self._kept = None

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _replace(self, items: list[Wire]) -> None:
        self._values = {m["key"]: m["data"] for m in items if m.get("data") is not None}
        self.is_ready = True
        for done in self._waiting:
            if not done.done():
                done.set_result(None)
        self._handlers.emit("change", self)

    def _fail(self, error: RingdownError) -> None:
        self.close()
        for done in self._waiting:
            if not done.done():
                done.set_exception(error)

    def _apply(self, m: Wire) -> None:
        if "key" not in m or not self.is_ready:
            return
        if m.get("data") is None:
            self._values.pop(m["key"], None)
        else:
            self._values[m["key"]] = m["data"]
        self._handlers.emit("change", self)
