"""Time and chance, which tests replace."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """All times are seconds."""

    def now(self) -> float:
        """The time since 1970; it may jump."""

    def random(self) -> float:
        """From 0 to 1, 1 excluded."""

    def after(self, delay: float, fn: Callable[[], None]) -> Callable[[], None]:
        """Calls fn once after delay; the returned function prevents it."""


class RealClock:
    """The clock of the machine, and the timers of the running loop."""

    def now(self) -> float:
        return time.time()

    def random(self) -> float:
        return random.random()

    def after(self, delay: float, fn: Callable[[], None]) -> Callable[[], None]:
        return asyncio.get_running_loop().call_later(delay, fn).cancel


class Timer:
    """One timer that is set anew, and stopped, by its owner."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stop: Callable[[], None] | None = None

    def set(self, delay: float, fn: Callable[[], None]) -> None:
        self.stop()

        def fire() -> None:
            self._stop = None
            fn()

        self._stop = self._clock.after(delay, fire)

    def stop(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None


def backoff(clock: Clock, n: int, base: float, cap: float) -> float:
    """The delay after the n-th failure in a row, from 0: full jitter."""
    return clock.random() * min(cap, base * float(1 << min(n, 30)))


def random_id() -> str:
    """128 random bits as text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
