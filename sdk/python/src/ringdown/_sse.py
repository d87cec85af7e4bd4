"""Server-Sent Events over a POST, which can bring positions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from ._http import Uplink, headers, http_client, read_problem, take
from ._line import End, Life, Line, LineEvents, Opening, Wire, body_items, decode


class SSETransport:
    name = "sse"

    def open(self, o: Opening, events: LineEvents) -> Line:
        return _SSELine(o, events)


class _SSELine:
    def __init__(self, o: Opening, events: LineEvents) -> None:
        self._life = Life(events)
        self._client = http_client()
        self._up = Uplink(self._client, o, self._life)
        o.start(self._run(o), self._life)

    def send(self, m: Wire) -> None:
        self._up.send(m)

    def close(self) -> None:
        self._life.close()

    async def _run(self, o: Opening) -> None:
        async with self._client:
            up = asyncio.create_task(self._up.run())
            try:
                self._life.end(await self._read(o))
            except httpx.HTTPError:
                self._life.end(End())
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)

    async def _read(self, o: Opening) -> End:
        body = json.dumps({"channels": body_items(o)})
        async with self._client.stream("POST", f"{o.url}/v1/sse", params=o.query, content=body, headers=headers(o, Accept="text/event-stream")) as answer:
            if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("text/event-stream"):
                return read_problem(answer.status_code, answer.headers, await answer.aread())
            self._life.events.opened()
            data: list[str] = []
            async for line in _lines(answer):
                if self._life.over:
                    break
                if line == "" and data:
                    m = decode("\n".join(data))
                    data = []
                    if m is None:
                        self._life.events.heard()
                    else:
                        take(self._life, self._up, m)
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif line.startswith(":"):
                    self._life.events.heard()
        return End()


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream, which end at a line feed and at nothing else: U+2028 and its like stand in messages."""
    rest = b""
    async for piece in answer.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
