"""Plays the cases of spec/client with this client: commands on stdin, events on stdout, a JSON object
a line. What they mean is in spec/client/README.md."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from typing import Any

from ringdown import Client, Message, RingdownError, StateChange
from ringdown._line import End, Line, LineEvents, Opening, Transport, Wire, body_items
from ringdown.errors import read_error

PATHS = {"websocket": "/v1/ws", "sse": "/v1/sse", "poll": "/v1/poll"}
SECONDS = {
    "openTimeout": "open_timeout",
    "silence": "silence",
    "backoffBase": "backoff_base",
    "backoffCap": "backoff_cap",
    "betterAfter": "better_after",
    "betterCap": "better_cap",
    "probeTimeout": "probe_timeout",
    "healthy": "healthy",
    "watch": "watch",
}
NUMBERS = {"outboxMessages": "outbox_messages", "outboxBytes": "outbox_bytes", "pipeline": "pipeline"}


def tell(event: str, **more: Any) -> None:
    print(json.dumps({"event": event} | {k: v for k, v in more.items() if v is not None or k in ("token", "value")}), flush=True)


def error_of(error: BaseException) -> dict[str, Any]:
    if isinstance(error, RingdownError):
        return {"code": error.code, "message": error.message, "retryable": error.retryable}
    return {"code": "aborted" if isinstance(error, asyncio.CancelledError) else "raised", "message": str(error), "retryable": False}


class VirtualClock:
    """Time of which the cases decide."""

    def __init__(self, chance: float) -> None:
        self.time = 1_790_000_000_000.0  # ms
        self.chance = chance
        self.order = 0
        self.timers: dict[int, tuple[float, Callable[[], None]]] = {}

    def now(self) -> float:
        return self.time / 1000

    def random(self) -> float:
        return self.chance

    def after(self, delay: float, fn: Callable[[], None]) -> Callable[[], None]:
        self.order += 1
        n = self.order
        self.timers[n] = (round(self.time + delay * 1000, 3), fn)
        return lambda: void(self.timers.pop(n, None))

    async def advance(self, ms: float) -> None:
        end = self.time + ms
        while due := [(at, n) for n, (at, _) in self.timers.items() if at <= end]:
            at, n = min(due)
            fn = self.timers.pop(n)[1]
            self.time = max(self.time, at)
            fn()
            await settle()
        self.time = end

    def jump(self, ms: float) -> None:
        """As in sleep: timers wait as long as before, and find that the clock has jumped."""
        self.time += ms
        self.timers = {n: (at + ms, fn) for n, (at, fn) in self.timers.items()}


def void(_: object) -> None:
    """Makes nothing of an answer."""


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class VirtualLine:
    """A line that tells what it is asked, and does what it is told."""

    def __init__(self, adapter: Adapter, name: str, o: Opening, events: LineEvents) -> None:
        adapter.lines.append(self)
        self.n = len(adapter.lines)
        self.events = events
        self.over = False
        query = o.query | ({"heartbeat": "message"} if name == "websocket" else {})
        url = o.url + PATHS[name] + "?" + "&".join(f"{k}={v}" for k, v in query.items())
        tell("line", line=self.n, transport=name, url=url, token=o.token, channels=None if name == "websocket" else body_items(o))

    def send(self, m: Wire) -> None:
        if not self.over:
            if isinstance(m.get("data"), bytes):
                m = {k: v for k, v in m.items() if k != "data"} | {"data64": base64.b64encode(m["data"]).decode()}
            tell("send", line=self.n, message=m)

    def close(self) -> None:
        if not self.over:
            self.over = True
            tell("drop", line=self.n, code=1000)

    def end(self, end: End) -> None:
        self.over = True
        self.events.ended(end)


class VirtualTransport:
    def __init__(self, adapter: Adapter, name: str) -> None:
        self.adapter = adapter
        self.name = name

    def open(self, o: Opening, events: LineEvents) -> Line:
        return VirtualLine(self.adapter, self.name, o, events)


class Adapter:
    def __init__(self) -> None:
        self.lines: list[VirtualLine] = []
        self.questions: list[asyncio.Future[str | None]] = []
        self.results: dict[str, asyncio.Task[None]] = {}
        self.follows: dict[str, list[Callable[[], None]]] = {}
        self.raising: set[str] = set()
        self.clock = VirtualClock(0.5)
        self.client: Client

    async def do(self, c: dict[str, Any]) -> None:
        what = c["do"]
        if what == "start":
            self.start(c.get("options", {}), c.get("real", False))
        elif what == "connect":
            self.later({}, self.client.connect())
        elif what == "close":
            await self.client.close()
        elif what == "wake":
            self.client.wake()
        elif what == "subscribe":
            self.subscribe(c)
        elif what == "unsubscribe":
            for off in self.follows[c["channel"] + " " + c.get("as", "")]:
                off()
        elif what == "throw":
            self.raising.add(c["channel"])
        elif what == "cancel":
            self.results[c["as"]].cancel()
        elif what == "token":
            question = self.questions.pop(0)
            if "fail" in c:
                question.set_exception(OSError(c["fail"]))
            elif not question.done():
                question.set_result(c["give"])
        elif what == "advance":
            await self.clock.advance(c["ms"])
        elif what == "jump":
            self.clock.jump(c["ms"])
        elif what in ("publish", "call", "history", "enter", "update", "leave"):
            self.ask(what, c)
        else:
            self.on_line(what, c)

    def start(self, options: dict[str, Any], real: bool) -> None:
        self.clock = VirtualClock(options.pop("random", 0.5))
        settings: dict[str, Any] = {} if real else {"clock": self.clock, "open_with": self.transport}
        kind, fixed = options.pop("token", "none"), options.pop("fixed", None)
        options.pop("grace", None)
        url = options.pop("url", "http://example.test")
        for name, value in options.items():
            if name == "transports":
                settings[name] = tuple(value)
            elif name in SECONDS:
                settings[SECONDS[name]] = value / 1000
            else:
                settings[NUMBERS[name]] = value
        self.client = Client(url, token={"none": None, "fixed": fixed, "function": self.token}[kind], **settings)
        tell("started", now=self.clock.time, lacks=["grace"])
        self.client.on_state(self.state)
        self.client.on_error(lambda cause: tell("thrown", message=str(cause)))

    def transport(self, name: str) -> Transport:
        return VirtualTransport(self, name)

    async def token(self, reason: str) -> str | None:
        question: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.questions.append(question)
        tell("token", reason=reason)
        return await question

    def state(self, s: StateChange) -> None:
        retry_in = None if s.retry_in is None else round(s.retry_in * 1000)
        tell("state", state=s.state, reason=s.reason, transport=s.transport, retryIn=retry_in, error=error_of(s.error) if s.error else None)

    def subscribe(self, c: dict[str, Any]) -> None:
        name, as_ = c["channel"], c.get("as")
        channel = self.client.channel(name)
        offs: list[Callable[[], None]] = [
            channel.on_subscribed(lambda recovered, reason: tell("subscribed", channel=name, recovered=recovered, reason=reason, **self.named(as_))),
            channel.on_recovered(lambda count: tell("recovered", channel=name, count=count, **self.named(as_))),
            channel.on_gap(
                lambda gap: tell("gap", channel=name, reason=gap.reason, missed=gap.missed, **{"from": gap.start, "to": gap.end}, **self.named(as_))
            ),
            channel.on_failed(lambda error: tell("failed", channel=name, error=error_of(error), **self.named(as_))),
        ]
        if c.get("state"):
            offs.append(channel.state.on(lambda state: tell("snapshot", channel=name, items=dict(state))))
        if c.get("members"):
            offs.append(
                channel.presence.on(
                    lambda members: tell("members", channel=name, members=[self.member(m) for _, m in sorted(members.items())], **self.named(as_))
                )
            )

        def message(m: Message) -> None:
            tell("message", channel=name, message=self.shown(m), **self.named(as_))
            if name in self.raising:
                raise RuntimeError("raised by a handler")

        offs.append(channel.on("*", message, last=c.get("last"), rate=c.get("rate")))
        self.follows[name + " " + (as_ or "")] = offs

    @staticmethod
    def named(as_: str | None) -> dict[str, str]:
        return {} if as_ is None else {"as": as_}

    @staticmethod
    def member(m: Any) -> dict[str, Any]:
        return {"id": m.id} | ({} if m.data is None else {"data": m.data})

    @staticmethod
    def shown(m: Message) -> dict[str, Any]:
        e = {k: v for k, v in (("type", m.type), ("channel", m.channel), ("key", m.key), ("offset", m.offset)) if v is not None}
        return e | ({"data64": base64.b64encode(m.data).decode()} if isinstance(m.data, bytes) else {"data": m.data})

    def ask(self, what: str, c: dict[str, Any]) -> None:
        channel = self.client.channel(c.get("channel", ""))
        data = base64.b64decode(c["data64"]) if "data64" in c else c.get("data")
        if what == "publish":
            if c.get("ack") is False:
                self.later(c, self.send(channel, c, data))
                return
            timeout = c["timeout"] / 1000 if "timeout" in c else None
            self.later(c, channel.publish(c["type"], data, key=c.get("key"), dedupe=c.get("dedupe"), timeout=timeout), lambda a: vars(a))
        elif what == "call":
            self.later(c, self.client.call(c["type"], data, timeout=c["timeout"] / 1000 if "timeout" in c else None))
        elif what == "history":
            page = channel.page(before=c.get("before"), limit=c.get("limit"))
            self.later(c, page, lambda p: {"messages": [self.shown(m) for m in p.messages], "more": p.more})
        elif what == "enter":
            self.later(c, channel.presence.enter(data, will=c.get("will")))
        elif what == "update":
            self.later(c, channel.presence.update(data))
        else:
            self.later(c, channel.presence.leave())

    @staticmethod
    async def send(channel: Any, c: dict[str, Any], data: Any) -> None:
        channel.send(c["type"], data)

    def later(self, c: dict[str, Any], work: Any, show: Callable[[Any], Any] = lambda v: v) -> None:
        as_ = c.get("as")

        async def run() -> None:
            try:
                value = show(await work)
            except (RingdownError, asyncio.CancelledError) as error:
                if as_ is not None:
                    print(json.dumps({"event": "result", "as": as_, "error": error_of(error)}), flush=True)
                return
            if as_ is not None:
                print(json.dumps({"event": "result", "as": as_, "value": value}), flush=True)

        self.results[as_ or ""] = asyncio.get_running_loop().create_task(run())

    def on_line(self, what: str, c: dict[str, Any]) -> None:
        line = self.lines[c.get("line", len(self.lines)) - 1]
        if line.over:
            return
        if what == "opened":
            line.events.opened()
        elif what == "heard":
            line.events.heard()
        elif what == "receive":
            for m in c["message"] if isinstance(c["message"], list) else [c["message"]]:
                if "data64" in m:
                    m["data"] = base64.b64decode(m.pop("data64"))
                line.events.message(m)
        elif what == "ended":
            line.end(End(code=c.get("code")))
        elif what == "failed":
            line.end(End(status=c.get("status"), error=read_error(c.get("problem")), retry_after=c.get("retryAfter", 0) / 1000))
        else:
            raise ValueError(f"there is no command {what}")


async def main() -> None:
    adapter = Adapter()
    while text := await asyncio.to_thread(sys.stdin.readline):
        await adapter.do(json.loads(text))
        await settle()
        print(json.dumps({"settled": True}), flush=True)
    await adapter.client.close()


asyncio.run(main())
