"""Handlers of the application. One that raises costs the others nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


class Handlers:
    def __init__(self, raised: Callable[[BaseException], None], tasks: set[asyncio.Task[None]]) -> None:
        self._lists: dict[str, list[Callable[..., Any]]] = {}
        self._raised = raised
        self._tasks = tasks  # of handlers that are coroutines

    def __contains__(self, event: str) -> bool:
        return bool(self._lists.get(event))

    def on(self, event: str, fn: Callable[..., Any], ended: Callable[[], None] | None = None) -> Callable[[], None]:
        """Adds a handler, until the returned function is called."""
        handlers = self._lists.setdefault(event, [])
        handlers.append(fn)
        held = [True]

        def off() -> None:
            if held:
                held.clear()
                handlers.remove(fn)
                if ended is not None:
                    ended()

        return off

    def emit(self, event: str, *details: Any) -> None:
        for fn in list(self._lists.get(event, ())):
            try:
                result = fn(*details)
            except Exception as cause:
                self._raised(cause)
                continue
            if inspect.iscoroutine(result):
                task = asyncio.get_running_loop().create_task(self._watched(result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _watched(self, work: Any) -> None:
        try:
            await work
        except Exception as cause:
            self._raised(cause)
