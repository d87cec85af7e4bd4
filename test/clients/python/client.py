"""The program for Python: client.py LIBRARY. It says of each step "ok STEP" or
"FAIL STEP: why". BASE, CONTROL, TOKEN and API_KEY come by the environment."""
import asyncio
import json
import os
import sys
import threading
import time
import urllib.request

BASE, CONTROL, TOKEN, API_KEY = (os.environ[n] for n in ("BASE", "CONTROL", "TOKEN", "API_KEY"))
LIBRARY = sys.argv[1]
CHANNEL = "lab:" + LIBRARY
TEXTS = ["x" * 40000 if i == 10 else f"nº {i} ✓ 日本語 🚀 \"\\\n\u2028" for i in range(20)]
failed = False


def step(name, work):
    global failed
    try:
        work()
        print("ok", name, flush=True)
    except Exception as e:
        failed = True
        print(f"FAIL {name}: {type(e).__name__} {e}".replace("\n", " ")[:900], flush=True)


def same(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {str(got)[:400]} instead of {str(want)[:400]}")


def ask(method, url, body=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    request = urllib.request.Request(url, method=method, data=data, headers={"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=15) as answer:
        return answer.status


class Inbox:
    """What came. A line of it is read by a thread of its own."""

    def __init__(self):
        self.all, self.trouble, self.empty, self.code, self.stop = [], [], 0, None, False
        self.more = threading.Condition()

    def take(self, text):
        with self.more:
            if text:
                self.all.append(json.loads(text))
            else:
                self.empty += 1
            self.more.notify_all()

    def note(self, **what):
        with self.more:
            self.trouble.append(what.get("trouble"))
            self.code = what.get("code", self.code)
            self.more.notify_all()

    def of(self, kind):
        return [m for m in self.all if m["type"] == kind]

    def until(self, what, done):
        with self.more:
            if not self.more.wait_for(done, 15):
                raise TimeoutError(f"waited for {what} in vain, after {str(self.all[-5:])[:400]} {self.trouble}")


# A socket is opened by a function of (url, inbox) that returns how to say something.


def open_websocket_client(url, inbox):
    import websocket

    def closed(app, code, reason):
        inbox.note(code=code)

    app = websocket.WebSocketApp(url, on_message=lambda app, text: inbox.take(text), on_close=closed, on_error=lambda app, e: None)
    ready = threading.Event()
    app.on_open = lambda app: ready.set()
    # It says an Origin as if it were a page, which the server would have to list.
    threading.Thread(target=app.run_forever, kwargs={"suppress_origin": True}, daemon=True).start()
    ready.wait(15)
    return app.send


def open_async(url, inbox, talk):
    """Runs talk(say-queue) on an event loop in a thread."""
    loop, box = asyncio.new_event_loop(), {}
    ready = threading.Event()

    def run():
        async def main():
            box["queue"] = asyncio.Queue()
            ready.set()
            await talk(box["queue"])

        loop.run_until_complete(main())

    threading.Thread(target=run, daemon=True).start()
    ready.wait(15)
    return lambda text: loop.call_soon_threadsafe(box["queue"].put_nowait, text)


def open_websockets(url, inbox):
    import websockets

    async def talk(to_say):
        async with websockets.connect(url) as line:
            async def speak():
                while True:
                    await line.send(await to_say.get())

            speaking = asyncio.ensure_future(speak())
            try:
                async for text in line:
                    inbox.take(text)
            except websockets.ConnectionClosed:
                pass
            speaking.cancel()
            inbox.note(code=line.close_code)

    return open_async(url, inbox, talk)


def open_aiohttp(url, inbox):
    import aiohttp

    async def talk(to_say):
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as line:
            async def speak():
                while True:
                    await line.send_str(await to_say.get())

            speaking = asyncio.ensure_future(speak())
            async for message in line:
                if message.type == aiohttp.WSMsgType.TEXT:
                    inbox.take(message.data)
            speaking.cancel()
            inbox.note(code=int(line.close_code))

    return open_async(url, inbox, talk)


SOCKETS = {"websockets": open_websockets, "websocket-client": open_websocket_client, "aiohttp": open_aiohttp}


class Line(Inbox):
    def __init__(self, query, subscribe=None):
        super().__init__()
        self.send = SOCKETS[LIBRARY](BASE.replace("http", "ws") + "/v1/ws?" + query, self)
        if subscribe:
            self.say(**subscribe)

    def say(self, **message):
        self.send(json.dumps(message, ensure_ascii=False))

    def ended(self):
        self.until("the end", lambda: self.code is not None or self.trouble)
        return self.code


def sockets():
    subscribe = {"type": "subscribe", "channel": CHANNEL, "id": 1}
    lines = [Line("token=" + TOKEN, subscribe)]

    def order():
        line = lines[0]
        line.until("subscribed", lambda: line.of("subscribed"))
        same("user", line.of("welcome")[0]["data"]["user"], "ann")
        for i, text in enumerate(TEXTS):
            line.say(type="n", channel=CHANNEL, id=100 + i, data={"i": i, "text": text})
        line.until("the messages", lambda: len(line.of("n")) == 20 and len(line.of("ack")) == 20)
        same("messages", [m["data"] for m in line.of("n")], [{"i": i, "text": t} for i, t in enumerate(TEXTS)])

    def resume():
        line = lines[0]
        since = {"epoch": line.of("subscribed")[0]["epoch"], "offset": line.of("n")[9]["offset"]}
        ask("POST", f"{CONTROL}/cut?channel={CHANNEL}&n=3")
        line.ended()
        line = Line("token=" + TOKEN, {**subscribe, "since": since})
        lines.append(line)
        line.until("what was missed", lambda: len(line.of("missed")) == 3)
        same("recovered", line.of("subscribed")[0]["data"]["recovered"], True)
        same("messages", [m["data"]["i"] for m in line.of("n") + line.of("missed")], [*range(10, 20), 0, 1, 2])

    def bad():
        line = Line("token=a.bad.token")
        same("code", line.ended(), 4001)
        same("error", line.of("error")[0]["data"]["code"], "unauthorized")

    def kicked():
        line = Line("token=" + TOKEN)
        line.until("welcome", lambda: line.of("welcome"))
        ask("DELETE", BASE + "/v1/connections/" + line.of("welcome")[0]["data"]["connection"], Authorization="Bearer " + API_KEY)
        same("code", line.ended(), 4005)

    def drained():
        ask("POST", CONTROL + "/drain")
        same("code", lines[-1].ended(), 4200)
        same("reconnect", len(lines[-1].of("reconnect")), 1)

    for name, work in (("order", order), ("resume", resume), ("4001", bad), ("4005", kicked), ("4200", drained)):
        step(name, work)


# A stream is read by a function of (url, headers, inbox) that returns when it ends.


def read_httpx_sse(url, headers, inbox):
    import httpx
    import httpx_sse

    with httpx.Client(timeout=httpx.Timeout(5, read=20)) as client, httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
        source.response.raise_for_status()
        for event in source.iter_sse():
            inbox.last = event.id or inbox.last
            inbox.take(event.data)


def read_sseclient(url, headers, inbox):
    import requests
    import sseclient

    answer = requests.get(url, stream=True, timeout=20, headers={"Accept": "text/event-stream", **headers})
    answer.raise_for_status()
    for event in sseclient.SSEClient(answer).events():
        inbox.last = event.id or inbox.last
        inbox.take(event.data)


STREAMS = {"httpx-sse": read_httpx_sse, "sseclient-py": read_sseclient}


def follow(token):
    inbox = Inbox()
    inbox.last = ""

    def run():
        while not inbox.stop:
            headers = {"Authorization": "Bearer " + token, **({"Last-Event-ID": inbox.last} if inbox.last else {})}
            try:
                STREAMS[LIBRARY](f"{BASE}/v1/sse?channel={CHANNEL}", headers, inbox)
            except Exception as e:
                inbox.note(trouble=str(e))
            time.sleep(0.05)

    threading.Thread(target=run, daemon=True).start()
    return inbox


def streams():
    inbox = follow(TOKEN)

    def order():
        inbox.until("subscribed", lambda: inbox.of("subscribed"))
        me = inbox.of("welcome")[0]["data"]
        same("user", me["user"], "ann")
        for i, text in enumerate(TEXTS):
            status = ask("POST", f"{BASE}/v1/connections/{me['connection']}/messages", {"type": "n", "channel": CHANNEL, "id": i, "data": {"i": i, "text": text}},
                         Ringdown_Stream=me["secret"])
            same("status", status, 202)
            if i == 0:  # one alone is shown at once, not with the next that comes
                began = time.monotonic()
                inbox.until("the first message", lambda: inbox.of("n"))
                if time.monotonic() - began > 0.9:
                    raise AssertionError("it was shown with the next heartbeat")
        inbox.until("the messages", lambda: len(inbox.of("n")) == 20 and len(inbox.of("ack")) == 20)
        same("messages", [m["data"] for m in inbox.of("n")], [{"i": i, "text": t} for i, t in enumerate(TEXTS)])

    def quiet():
        time.sleep(1.5)
        same("empty events and errors", [inbox.empty, inbox.trouble], [0, []])

    def resume():
        ask("POST", f"{CONTROL}/cut?channel={CHANNEL}&n=3")
        inbox.until("what was missed", lambda: len(inbox.of("missed")) == 3)
        same("messages", [len(inbox.of("n")), [m["data"]["i"] for m in inbox.of("missed")]], [20, [0, 1, 2]])
        same("recovered", inbox.of("subscribed")[-1]["data"]["recovered"], True)

    def bad():
        refused = follow("a.bad.token")
        refused.until("an error", lambda: refused.trouble)
        refused.stop = True
        same("401 is told", "401" in refused.trouble[0], True)

    def end():
        before = len(inbox.trouble)
        ask("POST", CONTROL + "/drain")
        inbox.until("reconnect", lambda: inbox.of("reconnect"))
        inbox.stop = True
        # The stream ended in order; what came after that is that nobody listens.
        same("an end in order", [t for t in inbox.trouble[before:] if "incomplete" in t.lower() or "chunked" in t.lower()], [])

    for name, work in (("order", order), ("quiet", quiet), ("resume", resume), ("401", bad), ("end", end)):
        step(name, work)


(sockets if LIBRARY in SOCKETS else streams)()
sys.stdout.flush()
os._exit(1 if failed else 0)
