"""One channel on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ._line import Wire
from .errors import RingdownError, read_error


@dataclass(frozen=True)
class Gap:
    """Messages are missing: those of the offsets from ``start`` to ``end``, or so many where nothing is kept."""

    reason: str
    start: int | None = None
    end: int | None = None
    missed: int | None = None


class Follower(Protocol):
    """Who follows the channel."""

    def message(self, m: Wire) -> None: ...
    def subscribed(self, recovered: bool | None, reason: str | None) -> None: ...
    def recovered(self, count: int) -> None: ...
    def gap(self, gap: Gap) -> None: ...
    def failed(self, error: RingdownError) -> None: ...
    def snapshot(self, items: list[Wire]) -> None: ...
    def told(self, m: Wire) -> None: ...


class Subscription:
    """Its position lives as long as it does, whatever becomes of lines.

    phase is off (nothing was asked of this line), asked, on, or failed (it waits for another token,
    a time, or the application). receive answers with what is to be done: subscribe again, or nothing.
    """

    def __init__(self, name: str, follower: Follower, last: int | None, rate: float | None) -> None:
        self.name = name
        self.phase = "off"
        self.position: dict[str, Any] | None = None
        self.error: RingdownError | None = None  # why it failed
        self.failures = 0  # in a row
        self.keyed = False  # it is a state channel, as far as is known
        self._follower = follower
        self._last = last
        self._rate = rate
        self._parts: list[Wire] | None = None  # of a state that is being given
        self._due: dict[str, Any] | None = None  # becomes the position when the state is whole
        self._head: int | None = None  # the offset with which what was missed is there
        self._caught_up = 0
        self._hole_at: int | None = None  # a hole that was asked about already

    def item(self) -> Wire:
        item: Wire = {"channel": self.name}
        if self.position:
            item["since"] = dict(self.position)
        data = ({"last": self._last} if self._last and not self.position else {}) | ({"rate": self._rate} if self._rate else {})
        return item | ({"data": data} if data else {})

    def lost(self) -> None:
        """The line is gone."""
        if self.phase != "failed":
            self.phase = "off"
        self._parts = self._due = self._head = self._hole_at = None

    def receive(self, m: Wire) -> bool:
        """Takes a message; True if the channel has to be unsubscribed from and subscribed to again."""
        kind = m["type"]
        if kind == "subscribed":
            self._subscribed(m)
        elif kind == "unsubscribed":
            if self.phase == "on":  # otherwise it is the answer to an unsubscribe of ours
                self._fail(self.error or RingdownError("forbidden", "the server ended the subscription", self.name))
        elif kind == "error":
            return self._refused(read_error(m.get("data"), self.name) or RingdownError("internal", "an error without a code", self.name))
        elif self.phase != "on":
            return False  # what comes before the answer is of an earlier time
        elif kind == "state":
            self._state(m)
        elif kind == "gap":
            self._gap(m)
        elif kind == "presence":
            self._follower.told(m)
        else:
            return self._event(m)
        return False

    def _subscribed(self, m: Wire) -> None:
        data = m.get("data") or {}
        recovered, reason = data.get("recovered"), data.get("reason")
        self.phase, self.error, self.failures = "on", None, 0
        if recovered:
            self._head, self._caught_up = data.get("head"), 0
        else:
            self._restart(m)
        self._follower.subscribed(recovered, reason)
        if recovered is False:
            self._follower.gap(Gap(reason or "unknown"))
        self._check_head()

    def _restart(self, m: Wire) -> None:
        """Delivery goes on behind the position that m names; of a state, when all of it is there."""
        position = {"epoch": m["epoch"], "offset": m["offset"]} if "epoch" in m and "offset" in m else None
        self._due = position
        self.position = None if self.keyed or position is None else dict(position)
        self._parts = self._head = None

    def _state(self, m: Wire) -> None:
        self.keyed = True
        data = m.get("data") or {}
        if self._parts is None:
            self._parts = []
            self._due = self._due or self.position
            self.position = None
        self._parts += data.get("items") or []
        if data.get("more"):
            return
        items, self._parts = self._parts, None
        self.position, self._due = self._due, None
        self._follower.snapshot(items)

    def _gap(self, m: Wire) -> None:
        data = m.get("data") or {}
        if "epoch" in m:
            self._restart(m)
        elif "to" in data and self.position:
            self.position["offset"] = max(self.position["offset"], data["to"])
        self._follower.gap(Gap(data.get("reason") or "unknown", data.get("from"), data.get("to"), data.get("missed")))
        self._check_head()

    def _event(self, m: Wire) -> bool:
        if self._due:  # no state came, so it is none of those
            self.position = self.position or self._due
            self._due, self.keyed = None, False
        offset, at = m.get("offset"), self.position
        if offset is not None and at:
            if offset <= at["offset"]:
                return False
            prev = m.get("prev", offset - 1)
            if prev > at["offset"] and not self.keyed:
                if self._hole_at != at["offset"]:
                    self._hole_at = at["offset"]
                    return True
                # It is still there after asking again: so be it, but not in silence.
                self._follower.gap(Gap("unknown", at["offset"], prev))
            at["offset"] = offset
        if not m["type"].startswith("_"):
            self._caught_up += 1
            self._follower.message(m)
        self._check_head()
        return False

    def _check_head(self) -> None:
        """Tells when all is there that was missed."""
        if self._head is not None and self.position and self.position["offset"] >= self._head:
            self._head = None
            self._follower.recovered(self._caught_up)

    def _refused(self, error: RingdownError) -> bool:
        if self.phase == "on":
            self.error = error  # why it will be ended, perhaps
        elif self.phase == "asked":
            if error.code == "conflict" and self.failures == 0:
                self.failures += 1
                return True
            self._fail(error)
        return False

    def _fail(self, error: RingdownError) -> None:
        self.phase, self.error = "failed", error
        self.failures += 1
        self._follower.failed(error)
