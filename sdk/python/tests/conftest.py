"""The real server, and a proxy in front of it that can be made worse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-of-at-least-thirty-two-bytes!"
DECLARED = f"""
store: {{memory: true}}
auth:
  jwt: {{secret: {SECRET}, algorithm: HS256, leeway: 1s}}
  anonymous: true
channels:
  - name: chat:{{room}}
    history: {{messages: 100000, for: 1h}}
    presence: true
    show_from: true
    allow: {{subscribe: anyone, publish: anyone, presence: anyone}}
  - name: trucks:{{region}}
    state: {{for: 1h}}
    allow: {{subscribe: anyone, publish: anyone}}
  - name: live:{{name}}
    allow: {{subscribe: anyone, publish: anyone}}
  - name: mine
    history: {{messages: 100}}
    allow: {{subscribe: signed_in, publish: signed_in}}
limits:
  connection: {{messages_per_second: 100000, messages_burst: 100000}}
"""


def token_of(user: str, seconds: int = 600) -> str:
    """A token of user for so many seconds."""

    def part(v: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(v).encode()).rstrip(b"=").decode()

    text = part({"alg": "HS256", "typ": "JWT"}) + "." + part({"sub": user, "exp": int(time.time()) + seconds})
    signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("RINGDOWN"):
        return Path(given)
    path = tmp_path_factory.mktemp("program") / "ringdown"
    subprocess.run(["go", "build", "-o", path, "./cmd/ringdown"], cwd=ROOT, check=True)
    return path


def start(program: Path, *flags: str) -> tuple[subprocess.Popen[str], str]:
    """Starts a server, and answers with its process and address."""
    process = subprocess.Popen([program, "serve", *flags, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"url=ws://([^/]+)", line):
            return process, "http://" + found[1]
    raise RuntimeError("".join(said))


@pytest.fixture(scope="session")
def server(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = tmp_path_factory.mktemp("server") / "ringdown.yaml"
    config.write_text(DECLARED)
    process, url = start(program, "--config", str(config))
    yield url
    process.terminate()
    process.communicate()


@pytest.fixture
def dev_server(program: Path) -> Iterator[str]:
    process, url = start(program, "--dev")
    yield url
    process.terminate()
    process.communicate()


class Proxy:
    """Carries bytes both ways, until it cuts them."""

    def __init__(self, to: str) -> None:
        host, port = to.removeprefix("http://").split(":")
        self.host, self.port = host, int(port)
        self.blocked = False  # no WebSocket comes through
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self.writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.blocked and b"upgrade: websocket" in head.lower():
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            far_reader, far = await asyncio.open_connection(self.host, self.port)
            self.writers.add(far)
            far.write(head)
            await asyncio.gather(self.carry(reader, far), self.carry(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            self.writers.discard(writer)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in list(self.writers):
            writer.transport.abort()
        self.writers.clear()


@asynccontextmanager
async def proxy(to: str) -> AsyncIterator[Proxy]:
    p = Proxy(to)
    listening = await asyncio.start_server(p.serve, "127.0.0.1", 0)
    p.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield p
    finally:
        listening.close()
        p.cut()
        for task in list(p.tasks):
            task.cancel()
        await asyncio.gather(*p.tasks, return_exceptions=True)
