"""What streams and polls have in common."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from ._line import End, Life, Opening, Wire, encode_text
from .errors import read_error

READ_TIMEOUT = 40.0  # seconds: longer than any heartbeat or poll


def http_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=httpx.Timeout(10.0, read=READ_TIMEOUT), limits=httpx.Limits(max_connections=None))


def headers(o: Opening, **more: str) -> dict[str, str]:
    h = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in more.items()}}
    if o.token:
        h["Authorization"] = f"Bearer {o.token}"
    return h


def read_problem(status: int, header: Mapping[str, str], body: bytes) -> End:
    """Reads what an answer that is no success says."""
    text = {k.lower(): v for k, v in header.items()}.get("retry-after", "")
    try:
        error = read_error(json.loads(body))
    except ValueError:
        error = None  # not the server's word, then
    return End(status=status, error=error, retry_after=float(text) if text.isdigit() else 0.0)


class Uplink:
    """Speaks for a stream or a poll: one message after the other, in their order."""

    def __init__(self, client: httpx.AsyncClient, o: Opening, life: Life) -> None:
        self._client = client
        self._opening = o
        self._life = life
        self._queue: deque[Wire] = deque()
        self._ready = asyncio.Event()
        self._connection: str | None = None
        self._secret = ""

    def welcomed(self, m: Wire) -> None:
        """Takes from welcome whom it speaks for."""
        data: Any = m.get("data") or {}
        self._connection, self._secret = data.get("connection"), data.get("secret") or ""
        self._ready.set()

    def send(self, m: Wire) -> None:
        if m["type"] == "auth":
            self._opening.token = m["token"]  # for the requests from now on
        self._queue.append(m)
        self._ready.set()

    async def run(self) -> None:
        while not self._life.over:
            await self._ready.wait()
            self._ready.clear()
            while self._queue and self._connection and not self._life.over:
                await self._post(self._queue.popleft())

    async def _post(self, m: Wire) -> None:
        url = f"{self._opening.url}/v1/connections/{quote(self._connection or '', safe='')}/messages"
        try:
            answer = await self._client.post(url, content=encode_text(m), headers=headers(self._opening, Ringdown_Stream=self._secret))
        except httpx.HTTPError:
            self._life.end(End())
            return
        if answer.is_success or self._life.over:
            return
        end = read_problem(answer.status_code, answer.headers, answer.content)
        if end.error is None or end.status == 404:
            self._life.end(End())  # the connection is no more
            return
        if end.status == 401:
            self._life.end(end)  # the token is over, and so is the line; what is said here is said on the next
            return
        if "id" not in m and "channel" not in m:
            self._life.events.heard()  # a ping of ours: somebody is there
            return
        e = end.error
        data = {
            "code": e.code,
            "message": e.message,
            "retryable": e.retryable,
            "retry_after": max(e.retry_after, end.retry_after),
            "href": e.href,
        }
        data |= {k: v for k, v in (("rule", e.rule), ("limit", e.limit), ("reason", e.reason)) if v}
        told = {"type": "error", "data": data} | {k: m[k] for k in ("id", "channel") if k in m}
        self._life.events.message(told)


def take(life: Life, up: Uplink, m: Wire) -> None:
    """Hands a message of a stream or a poll on; one that closes is the last."""
    data = m.get("data")
    if m["type"] == "error" and isinstance(data, dict) and data.get("close"):
        life.end(End(code=data["close"], error=read_error(data)))
        return
    if m["type"] == "welcome":
        up.welcomed(m)
    life.events.message(m)
