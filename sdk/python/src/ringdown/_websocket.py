"""The best transport."""

from __future__ import annotations

import asyncio
from collections import deque
from urllib.parse import urlencode

import websockets
from websockets.asyncio.client import ClientConnection, connect

from ._http import read_problem
from ._line import End, Life, Line, LineEvents, Opening, Wire, decode, encode


class WebSocketTransport:
    name = "websocket"

    def open(self, o: Opening, events: LineEvents) -> Line:
        return _WebSocketLine(o, events)


class _WebSocketLine:
    def __init__(self, o: Opening, events: LineEvents) -> None:
        self._life = Life(events)
        self._queue: deque[Wire] = deque()
        self._ready = asyncio.Event()
        o.start(self._run(o), self._life)

    def send(self, m: Wire) -> None:
        self._queue.append(m)
        self._ready.set()

    def close(self) -> None:
        self._life.close()

    async def _run(self, o: Opening) -> None:
        url = f"{o.url}/v1/ws?{urlencode({**o.query, 'heartbeat': 'message'})}".replace("http", "ws", 1)
        headers = {"Authorization": f"Bearer {o.token}"} if o.token else {}
        try:
            # The server has a heartbeat of its own, and what it sends is bounded by what it lets in.
            async with connect(
                url,
                additional_headers=headers,
                subprotocols=[websockets.Subprotocol("ringdown.v1.json")],
                max_size=None,
                ping_interval=None,
                open_timeout=None,
                close_timeout=2,
            ) as socket:
                if self._life.over:
                    return
                self._life.events.opened()
                writer = asyncio.create_task(self._write(socket))
                try:
                    await self._read(socket)
                finally:
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
        except websockets.InvalidStatus as refused:
            self._life.end(read_problem(refused.response.status_code, dict(refused.response.headers), bytes(refused.response.body or b"")))
        except (OSError, websockets.WebSocketException):
            self._life.end(End())

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                m = decode(frame)
                if m is None:
                    self._life.events.heard()
                else:
                    self._life.events.message(m)
                if self._life.over:
                    return
            code = socket.close_code
        except websockets.ConnectionClosed as gone:
            code = gone.rcvd.code if gone.rcvd else None
        self._life.end(End(code=code if code != 1006 else None))

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while True:
                await self._ready.wait()
                self._ready.clear()
                while self._queue:
                    await socket.send(encode(self._queue.popleft()))
        except websockets.ConnectionClosed:
            return  # reading finds it too, and says why
