"""A few devices in Python: clients that report, obey commands once and leave a will.

Against the demo:          python fleet.py http://127.0.0.1:8000
Against your own server:   python fleet.py https://rt.example.com --tokens 'https://example.com/token?device={}'

--tokens answers {"token": "…"} for a device. What each has done is in --data, and outlives the process.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import httpx
from ringdown import Client, Message, RingdownError


class Journal:
    """What a device does, on the disk before it is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = json.loads(path.read_text()) if path.exists() else {}

    def note(self, command: dict, **what: object) -> None:
        forget = time.time() * 1000 - 25 * 3600_000  # the channel keeps commands for a day
        self.entries[command["id"]] = {"deadline": command["deadline"], **self.entries.get(command["id"], {}), **what}
        self.entries = {k: e for k, e in self.entries.items() if e["deadline"] > forget or k == command["id"]}
        with open(self.path.with_suffix(".new"), "w") as file:
            json.dump(self.entries, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path.with_suffix(".new"), self.path)  # the old one or the new one, and never half of it


class Device:
    def __init__(self, name: str, address: str, tokens: str, data: Path) -> None:
        self.name, self.tokens, self.journal = name, tokens, Journal(data / f"{name}.json")
        self.client = Client(address, token=self.token)
        self.measured = {"site": "Python", "temperature": 20.0, "target": 21, "moisture": 50, "battery": 80, "signal": -60, "valve": False}

    async def token(self, reason: str) -> str:
        async with httpx.AsyncClient() as http:
            answer = await http.get(self.tokens.format(self.name))
            return answer.raise_for_status().json()["token"]

    async def run(self) -> None:
        status = self.client.channel("devices:status")
        try:
            will = {"type": "status", "key": self.name, "data": {"status": "offline", "reason": "gone without a word"}}
            await status.presence.enter(will=will)
            # After each return, too: the server may have published the will meanwhile.
            status.on_subscribed(lambda *_: status.publish("status", {"status": "online"}, key=self.name))
            await status.publish("status", {"status": "online"}, key=self.name)
            await asyncio.gather(self.report(), self.obey())
        finally:
            with contextlib.suppress(RingdownError):  # without a line the will says it
                await status.publish("status", {"status": "offline", "reason": "switched off"}, key=self.name, timeout=2)
                await status.presence.leave()
            await self.client.close()

    async def report(self) -> None:
        m, telemetry = self.measured, self.client.channel("devices:telemetry")
        while True:
            m["temperature"] = round(m["temperature"] + (m["target"] - m["temperature"]) * 0.05 + random.uniform(-0.2, 0.2), 1)
            m["moisture"] = max(20, min(95, m["moisture"] + (1 if m["valve"] else random.choice([0, 0, 0, -1]))))
            if self.client.state == "live":  # the next report is newer: none is worth waiting for
                telemetry.send("telemetry", m, key=self.name)
            await asyncio.sleep(2)

    async def obey(self) -> None:
        replies = self.client.channel(f"devices:{self.name}:replies")
        async for message in self.client.channel(f"devices:{self.name}:commands").messages(last=100):
            reply = self.answer(message)
            if reply and not self.journal.entries[reply["id"]].get("told"):
                await replies.publish("reply", reply, dedupe="reply-" + reply["id"])
                self.journal.note(message.data, told=True)

    def answer(self, message: Message) -> dict:
        """Does what a command says, at most once, and returns what came of it."""
        c = message.data
        before = self.journal.entries.get(c["id"])
        if before is None:
            self.journal.note(c)  # before it begins
            late = time.time() - c["deadline"] / 1000
            why = f"it came {late:.0f} s after its deadline" if late > 0 else self.do(c["verb"], c["value"])
            self.journal.note(c, outcome="refused" if why else "done", reason=why)
        elif "outcome" not in before:
            self.journal.note(c, outcome="unknown", reason="the power failed in the middle of it: look before you try again")
        entry = self.journal.entries[c["id"]]
        return {"id": c["id"], "outcome": entry["outcome"], "reason": entry["reason"]}

    def do(self, verb: str, value: object) -> str:
        """Returns why not, or nothing."""
        if verb == "valve" and isinstance(value, bool):
            self.measured["valve"] = value
        elif verb == "target" and type(value) is int and 5 <= value <= 35:
            self.measured["target"] = value
        else:
            return "it cannot do that"
        print(self.name, verb, value, flush=True)
        return ""


async def main() -> None:
    p = argparse.ArgumentParser(description="A few devices that report and obey.")
    p.add_argument("address")
    p.add_argument("--tokens", help="where tokens are, with {} for the device; by default the demo's")
    p.add_argument("--names", nargs="+", default=["device-py1", "device-py2", "device-py3"])
    p.add_argument("--data", type=Path, default=Path("fleet-data"))
    a = p.parse_args()
    a.data.mkdir(parents=True, exist_ok=True)
    tokens = a.tokens or a.address.rstrip("/") + "/demo/token?user={}"
    fleet = asyncio.gather(*(Device(name, a.address, tokens, a.data).run() for name in a.names))
    for s in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(s, fleet.cancel)
    try:
        await fleet
    except asyncio.CancelledError:
        print("switched off", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
