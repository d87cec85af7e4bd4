"""Who types on one channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._clock import Clock
from ._handlers import Handlers
from ._line import Wire

AGAIN = 3.0  # seconds between two of who goes on
OVER = 5.0  # after the last of who says no more


class Typing:
    """On a channel that declares it (``typing: true``). People are told apart by ``user``, so the channel has to show it."""

    def __init__(self, clock: Clock, say: Callable[[bool], None], hold: Callable[[], Callable[[], None]], handlers: Handlers) -> None:
        self._clock = clock
        self._say = say
        self._hold = hold
        self._handlers = handlers
        self._until: dict[str, Callable[[], None]] = {}
        self._said: float | None = None  # when this client said so last

    @property
    def users(self) -> frozenset[str]:
        """The users who type now, while anybody listens."""
        return frozenset(self._until)

    def on(self, fn: Callable[[frozenset[str]], Any]) -> Callable[[], None]:
        """Calls fn with the users after each change, until the returned function is called."""
        return self._handlers.on("change", fn, self._hold())

    def active(self) -> None:
        """To be called at each key: it is told at most every 3 seconds."""
        now = self._clock.now()
        if self._said is None or now - self._said >= AGAIN:
            self._said = now
            self._say(True)

    def stop(self) -> None:
        """To be called when the text is sent or taken back; otherwise it is over for others after 5 seconds."""
        if self._said is not None:
            self._said = None
            self._say(False)

    def _told(self, m: Wire) -> None:
        user = m.get("from")
        if user is None:
            return
        stop = self._until.pop(user, None)
        if stop is not None:
            stop()
        data = m.get("data")
        active = isinstance(data, dict) and data.get("active") is True
        if active:

            def over() -> None:
                self._until.pop(user, None)
                self._handlers.emit("change", self.users)

            self._until[user] = self._clock.after(OVER, over)
        if active != (stop is not None):
            self._handlers.emit("change", self.users)

    def _clear(self) -> None:
        for stop in self._until.values():
            stop()
        self._until.clear()
