"""Keeps one line to the server, by whatever transport comes through.

idle → opening → authenticating → live ⇄ probing
          ↑              │           │
          └── waiting ←──┴───────────┘        closed ← from everywhere
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ._clock import Timer, backoff, random_id
from ._line import End, Line, Opening, Wire
from ._settings import Settings, TokenFunction
from .errors import RingdownError, read_error


@dataclass(frozen=True)
class StateChange:
    """Told at each change. ``reason`` says why: connect, close, lost, refused, token, silent, drain,
    blocked, better, wake, welcome, opened or retry."""

    state: str  # idle, opening, authenticating, live, probing, waiting or closed
    previous: str
    reason: str
    transport: str
    retry_in: float | None = None  # in waiting: seconds to the next attempt
    error: RingdownError | None = None


class Owner(Protocol):
    """What goes on above the line."""

    def items(self) -> list[Wire]: ...
    def up(self, begun: list[Wire]) -> None: ...
    def down(self) -> None: ...
    def received(self, m: Wire) -> None: ...
    def changed(self, change: StateChange) -> None: ...
    def renewed(self) -> None: ...


RENEWAL_ID = 0  # of the requests that renew the token


class _Attempt:
    """A line that is being opened, or is used."""

    def __init__(self, c: Connection, rank: int, token: str | None) -> None:
        self.c = c
        self.rank = rank
        self.token = token
        self.line: Line | None = None
        self.begun: list[Wire] = []
        self.welcomed = False
        self.buffered = False  # its welcome is overdue on an open stream
        self.error: RingdownError | None = None  # what the server said was wrong, before it ended the line
        self.timer = Timer(c.settings.clock)

    @property
    def mine(self) -> bool:
        """Whether anybody still wants to hear of it."""
        return self is self.c.current or self is self.c.trial

    def close(self) -> None:
        self.timer.stop()
        if self.line is not None:
            self.line.close()

    def opened(self) -> None:
        if not self.mine:
            return
        stream = self.c.transports[self.rank] == "sse"

        def overdue() -> None:
            self.buffered = stream
            self.ended(End())

        self.timer.set(self.c.settings.buffered_timeout if stream else self.c.settings.open_timeout, overdue)
        if self is self.c.current:
            self.c.set("authenticating", "opened")

    def message(self, m: Wire) -> None:
        if self.mine:
            self.c.received(self, m)

    def heard(self) -> None:
        if self.mine:
            self.c.heard(self)

    def ended(self, end: End) -> None:
        if self.mine:
            self.c.ended(self, end)


class Connection:
    def __init__(self, url: str, token: str | TokenFunction | None, settings: Settings, owner: Owner) -> None:
        self.url = url
        self.token = token
        self.settings = settings
        self.owner = owner
        self.transports = settings.transports
        self.state = "idle"
        self.welcome: dict[str, Any] = {}
        self.current: _Attempt | None = None
        self.trial: _Attempt | None = None
        self.tasks: set[asyncio.Task[None]] = set()

        self._turn = 0  # of attempts; an answer to an older one is too late
        self._failures = 0  # in a row
        self._rank = 0  # of the transport in use
        self._misses = 0  # attempts in a row that ended without a word of the server's
        self._proven: set[int] = set()
        self._once42 = False  # 42xx was met by coming back at once, and no welcome came since
        self._asked_refused = False
        self._last_token: str | None = None
        self._renew_failed = 0
        self._name = random_id()  # of an anonymous client
        self._last_heard = 0.0
        self._last_watch = 0.0
        self._better_after = settings.better_after
        self._better_since: float | None = None

        clock = settings.clock
        self._retry = Timer(clock)
        self._watch, self._health, self._better, self._renewal, self._drain, self._probe = (Timer(clock) for _ in range(6))

    @property
    def live(self) -> bool:
        return self.state in ("live", "probing")

    def connect(self) -> None:
        if self.state in ("idle", "closed"):
            self._failures = 0
            self._asked_refused = self._once42 = False
            self._begin("connect", "connect")

    def need(self) -> None:
        """Something needs a line."""
        if self.state == "idle":
            self.connect()

    def close(self, reason: str = "close", error: RingdownError | None = None) -> None:
        if self.state == "closed":
            return
        self._leave()
        self._retry.stop()
        self._turn += 1
        self.set("closed", reason, error=error)

    def send(self, m: Wire) -> None:
        if self.current is not None and self.current.line is not None:
            self.current.line.send(m)

    def wake(self) -> None:
        """Somebody is back: there is no time to lose."""
        self._rank = self._misses = 0
        self._proven.clear()
        if self.state == "waiting":
            self._failures = 0
            self._begin("wake", "reconnect")
        elif self.live and self.current is not None:
            self.test("wake")
            if self.current.rank > 0:
                self._try_better()

    def test(self, reason: str) -> None:
        """Looks whether anybody is there."""
        if self.state != "live":
            return
        self.set("probing", reason)
        self.send({"type": "ping"})

        def nobody() -> None:
            self._leave()
            self._wait("silent")

        self._probe.set(self.settings.probe_timeout, nobody)

    # Opening.

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _begin(self, reason: str, why: str) -> None:
        self._leave()
        self._retry.stop()
        self._turn += 1
        turn = self._turn
        self.set("opening", reason)

        def then(token: str | RingdownError | None) -> None:
            if turn != self._turn or self.state != "opening":
                return
            if isinstance(token, RingdownError):
                self._wait("token", error=token)
            elif why == "refused" and token is not None and token == self._last_token:
                # It would be refused again.
                self._wait("token", error=RingdownError("unauthorized", "the token function answered with the token that was refused"))
            else:
                self._last_token = token
                self.current = self._attempt(self._rank, token)
                self._open(self.current)

        self._ask_token(why, then)

    def _ask_token(self, why: str, then: Callable[[str | RingdownError | None], None]) -> None:
        """Calls then with a token, with None for an anonymous client, or with why there is none."""
        source = self.token
        if not callable(source):
            then(source)
            return
        self._spawn(self._answer(source, why, then))

    async def _answer(self, source: TokenFunction, why: str, then: Callable[[str | RingdownError | None], None]) -> None:
        def none(message: str) -> RingdownError:
            return RingdownError("unauthorized", message, retryable=True)

        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stop = self.settings.clock.after(self.settings.token_timeout, lambda: None if late.done() else late.set_result(None))
        asked = asyncio.ensure_future(_asked(source, why))
        try:
            waits: set[asyncio.Future[Any]] = {asked, late}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop()
            if not asked.done():
                asked.cancel()
        if late.done():
            then(none("the token function has not answered in time"))
        elif (failed := asked.exception()) is not None:
            then(none(f"the token function failed: {failed}"))
        else:
            then(asked.result() or none("the token function answered with no token"))

    def _attempt(self, rank: int, token: str | None) -> _Attempt:
        return _Attempt(self, rank, token)

    def _open(self, a: _Attempt) -> None:
        name = self.transports[a.rank]
        query = {"client": self._name} if self.token is None else {"expect": "user"}
        if name != "websocket":
            a.begun = self.owner.items()
        a.timer.set(self.settings.open_timeout, lambda: a.ended(End()))
        a.line = self.settings.open_with(name).open(Opening(self.url, query, a.token, a.begun, self.tasks), a)

    # Living.

    def received(self, a: _Attempt, m: Wire) -> None:
        self.heard(a)
        kind = m["type"]
        if kind == "welcome" and not a.welcomed:
            self._welcomed(a, m)
            return
        if kind == "error" and "id" not in m and not m.get("channel"):
            a.error = read_error(m.get("data"))
            if a.error is not None and a.error.code == "unauthorized":
                return  # the end of the line comes behind it
        if not a.welcomed or a.line is None:
            return
        if kind == "ping":
            a.line.send({"type": "pong"})
        elif kind == "pong":
            return
        elif kind == "welcome":
            self._remember(m)
        elif kind == "reconnect":
            window = m.get("data") or {}
            delay = (window.get("after", 0) + self.settings.clock.random() * window.get("within", 0)) / 1000
            self._drain.set(delay, lambda: self._begin("drain", "reconnect"))
        elif m.get("id") == RENEWAL_ID:
            self._renewed(m)
        else:
            self.owner.received(m)

    def heard(self, a: _Attempt) -> None:
        if a is not self.current:
            return
        self._last_heard = self.settings.clock.now()
        if self.state == "probing":
            self._probe.stop()
            self.set("live", "welcome")

    def _welcomed(self, a: _Attempt, m: Wire) -> None:
        a.welcomed = True
        a.timer.stop()
        now = self.settings.clock.now()
        reason = "welcome"
        if a is self.trial:
            self.trial = None
            self._leave()
            self.current, self._better_since, reason = a, now, "better"
        self._rank, self._misses, self._last_token = a.rank, 0, a.token
        self._proven.add(a.rank)
        self._asked_refused = self._once42 = False
        self._remember(m)
        self._last_heard = self._last_watch = now
        self._watch.set(self.settings.watch, self._look)
        self._health.set(self.settings.healthy, self._healthy)
        if a.rank > 0:
            self._better.set(self._better_after, self._try_better)
        self.set("live", reason)
        self.owner.up(a.begun)

    def _healthy(self) -> None:
        self._failures = 0
        self._better_since = None

    def _remember(self, m: Wire) -> None:
        self.welcome = m.get("data") or {}
        self._schedule_renewal(self.welcome.get("expires"))

    def _look(self) -> None:
        """Looks at the clock: after sleep it has jumped, and no timer has told of it."""
        now = self.settings.clock.now()
        slept = now - self._last_watch > self.settings.watch + self.settings.silence
        self._last_watch = now
        self._watch.set(self.settings.watch, self._look)
        if slept:
            self.test("wake")
        elif now - self._last_heard >= self.welcome.get("ping", 25_000) / 1000 + self.settings.silence - 1e-6:
            self.test("silent")

    # Renewing the token.

    def _schedule_renewal(self, expires: int | None) -> None:
        self._renewal.stop()
        if expires is None or not callable(self.token):
            return
        left = expires / 1000 - self.settings.clock.now()
        early = min(60.0, max(5.0, left / 10))
        self._renewal.set(max(1.0, left / 2, left - early), lambda: self._renew(0))

    def _renew(self, failed: int) -> None:
        a = self.current

        def then(token: str | RingdownError | None) -> None:
            if a is None or a is not self.current or not self.live:
                return
            if isinstance(token, RingdownError):
                self._renew_later(failed)
                return
            a.token = token
            self._renew_failed = failed
            self.send({"type": "auth", "id": RENEWAL_ID, "token": token})

        self._ask_token("expiring", then)

    def _renew_later(self, failed: int) -> None:
        self._renewal.set(max(1.0, self.delay(failed)), lambda: self._renew(failed + 1))

    def _renewed(self, m: Wire) -> None:
        if m["type"] == "ack" and self.current is not None:
            self._last_token = self.current.token
            self._schedule_renewal((m.get("data") or {}).get("expires"))
            self.owner.renewed()
        elif (m.get("data") or {}).get("code") == "conflict":
            # Somebody else's token: nobody turns into somebody else on a line.
            self._leave()
            self._wait_for("token", 0.0)
        else:
            self._renew_later(self._renew_failed)

    # Ending.

    def _leave(self) -> None:
        """Gives up the line that there is, and what goes with it."""
        self._drop_trial()
        for timer in (self._watch, self._health, self._better, self._renewal, self._drain, self._probe):
            timer.stop()
        a, self.current = self.current, None
        if a is None:
            return
        a.close()
        if a.welcomed:
            self.owner.down()

    def ended(self, a: _Attempt, end: End) -> None:
        if a is self.trial:
            self._drop_trial()
            self._worse()
            return
        error = end.error or a.error
        self._leave()
        lasted = None if self._better_since is None else self.settings.clock.now() - self._better_since
        if a.welcomed and lasted is not None and lasted < self.settings.healthy:
            self._worse()
        self._better_since = None
        code = end.code or 0
        own_word = code >= 4000 or end.error is not None
        least = max(error.retry_after if error else 0.0, end.retry_after)
        if code in (4000, 4003, 4005) or (end.error is not None and end.status in (400, 403, 404)):
            self.close("refused", error)
        elif code == 4001 or end.status == 401:
            self._refused(error)
        elif code == 4004:
            self._begin("token", "expired")
        elif 4200 <= code < 4300 and not self._once42:
            self._once42 = True
            self._wait_for("drain" if code == 4200 else "lost", 0.0, error)
        elif not a.welcomed and not own_word:
            self._missed(a, least, error)
        else:
            self._wait("refused" if own_word and code != 4200 else "lost", least, error)

    def _refused(self, error: RingdownError | None) -> None:
        if not callable(self.token):
            self.close("refused", error)
        elif self._asked_refused:
            self._wait("token", error=error)
        else:
            self._asked_refused = True
            self._begin("token", "refused")

    def _missed(self, a: _Attempt, least: float, error: RingdownError | None) -> None:
        """An attempt ended without a word of the server's: is it the transport?"""
        self._misses += 1
        if not a.buffered and self._misses < (4 if a.rank in self._proven else 2):
            self._wait("lost", least, error)
            return
        self._misses = 0
        if len(self.transports) == 1:
            self._wait("lost", least, error)
            return
        self._failures += 1
        self._rank = (a.rank + 1) % len(self.transports)
        self._begin("blocked", "reconnect")

    def delay(self, n: int) -> float:
        return backoff(self.settings.clock, n, self.settings.backoff_base, self.settings.backoff_cap)

    def _wait(self, reason: str, least: float = 0.0, error: RingdownError | None = None) -> None:
        delay = max(least, self.delay(self._failures))
        self._failures += 1
        self._wait_for(reason, delay, error)

    def _wait_for(self, reason: str, delay: float, error: RingdownError | None = None) -> None:
        why = "refused" if reason == "token" and self._asked_refused else "reconnect"
        self.set("waiting", reason, retry_in=delay, error=error)
        self._retry.set(delay, lambda: self._begin("retry", why))

    # A better transport, beside the one in use.

    def _try_better(self) -> None:
        a = self.current
        if self.trial is not None or not self.live or a is None or a.rank == 0:
            return

        def then(token: str | RingdownError | None) -> None:
            if a is not self.current or not self.live or self.trial is not None:
                return
            if isinstance(token, RingdownError):
                self._worse()
                return
            self.trial = self._attempt(0, token)
            self._open(self.trial)

        self._ask_token("reconnect", then)

    def _drop_trial(self) -> None:
        a, self.trial = self.trial, None
        if a is not None:
            a.close()

    def _worse(self) -> None:
        """A better transport did not come through, or not for long."""
        self._better_after = min(2 * self._better_after, self.settings.better_cap)
        if self.current is not None and self.current.welcomed and self.current.rank > 0:
            self._better.set(self._better_after, self._try_better)

    def set(self, state: str, reason: str, retry_in: float | None = None, error: RingdownError | None = None) -> None:
        previous, self.state = self.state, state
        self.owner.changed(StateChange(state, previous, reason, self.transports[self._rank], retry_in, error))


async def _asked(source: TokenFunction, why: str) -> str | None:
    answer = source(why)
    return await answer if inspect.isawaitable(answer) else answer
