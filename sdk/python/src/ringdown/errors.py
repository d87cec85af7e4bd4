"""Why something was refused or could not be done."""

from __future__ import annotations

from typing import Any


class RingdownError(Exception):
    """An error with a code of the server's, or of the client's own: ``unknown`` (it was sent, and
    whether it was done is not known), ``timeout``, ``closed``, ``unavailable``.

    ``retryable`` says whether the same request may succeed later, and not before ``retry_after``
    seconds. At most one of ``rule``, ``limit`` and ``reason`` names what refused.
    """

    def __init__(self, code: str, message: str, channel: str | None = None, *, retryable: bool = False, retry_after: float = 0.0, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.channel = channel
        self.retryable = retryable
        self.retry_after = retry_after
        self.href: str = more.get("href") or f"/v1/errors/{code}"
        self.rule: str | None = more.get("rule")
        self.limit: str | None = more.get("limit")
        self.reason: str | None = more.get("reason")
        self.did_you_mean: str | None = more.get("did_you_mean")

    def __str__(self) -> str:
        where = f"{self.channel}: " if self.channel else ""
        return f"{where}{self.code}: {self.message}"


def read_error(data: Any, channel: str | None = None) -> RingdownError | None:
    """Reads the data of an error message, or a problem document; None if it is neither."""
    if not isinstance(data, dict) or not isinstance(data.get("code"), str):
        return None
    more = {k: data.get(k) for k in ("href", "rule", "limit", "reason", "did_you_mean")}
    message = data.get("message") or data.get("detail") or data["code"]
    return RingdownError(data["code"], message, channel, retryable=bool(data.get("retryable")), retry_after=float(data.get("retry_after") or 0), **more)


def unknown(channel: str | None = None) -> RingdownError:
    return RingdownError("unknown", "it was sent, and no answer came: whether it was done is not known", channel)


def closed() -> RingdownError:
    return RingdownError("closed", "the client is closed")
