"""Long-poll in a session, which owns presence and what is ephemeral."""

from __future__ import annotations

import asyncio
import json

import httpx

from ._http import Uplink, headers, http_client, read_problem, take
from ._line import End, Life, Line, LineEvents, Opening, Wire, body_items, unpack

WAIT = 25  # seconds


class PollTransport:
    name = "poll"

    def open(self, o: Opening, events: LineEvents) -> Line:
        return _PollLine(o, events)


class _PollLine:
    def __init__(self, o: Opening, events: LineEvents) -> None:
        self._life = Life(events)
        self._client = http_client()
        self._up = Uplink(self._client, o, self._life)
        self._channels = {c["channel"]: c for c in body_items(o)}  # said with every request
        o.start(self._run(o), self._life)

    def send(self, m: Wire) -> None:
        # What is subscribed to joins the cursor, and is said with every request from now on.
        if m["type"] == "subscribe":
            for c in m["channels"]:
                self._channels[c["channel"]] = {"channel": c["channel"], **c.get("data", {})}
        if m["type"] == "unsubscribe":
            self._channels.pop(m["channel"], None)
        self._up.send(m)

    def close(self) -> None:
        self._life.close()

    async def _run(self, o: Opening) -> None:
        async with self._client:
            up = asyncio.create_task(self._up.run())
            try:
                self._life.end(await self._read(o))
            except (httpx.HTTPError, ValueError, KeyError):
                self._life.end(End())
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)

    async def _read(self, o: Opening) -> End:
        cursor: str | None = None
        session: str | None = None
        while not self._life.over:
            body = {"channels": list(self._channels.values())} | ({"cursor": cursor} if cursor else {}) | ({"session": session} if session else {})
            params = {**o.query, "wait": "0" if cursor is None else str(WAIT)}
            answer = await self._client.post(f"{o.url}/v1/poll", params=params, content=json.dumps(body), headers=headers(o))
            if self._life.over:
                break
            if answer.status_code != 200:
                return read_problem(answer.status_code, answer.headers, answer.content)
            page = answer.json()
            if cursor is None:
                self._life.events.opened()
            cursor = page["cursor"]
            for item in page["messages"]:
                m = unpack(item)
                if m is None:
                    continue
                if m["type"] == "welcome":
                    if session is not None:
                        return End()  # the session was lost, and with it what was entered
                    session = m["data"].get("session")
                take(self._life, self._up, m)
                if self._life.over:
                    return End()
            self._life.events.heard()
        return End()
