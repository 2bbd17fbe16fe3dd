"""A request to the gateway from within its own process: the whole path, in memory, for somebody whom the process knows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from accounting.access.grant import Grant
from routing.proxy.edge import INSIDER, Gateway
from routing.proxy.runtime import started_runtime

MOST_WAITING = 64  # pieces of the answer that wait for a slow reader; then the upstream waits
HEADERS = [
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"user-agent", b"gateway-dashboard"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer."""

    status: int
    request_id: str


async def ask(grant: Grant, body: bytes, client_ip: str) -> AsyncIterator[Answer | bytes]:
    """The answer to an Anthropic Messages request: its head, then its bytes. Who stops reading has left."""
    call = _Call(body)
    task = asyncio.get_running_loop().create_task(call.run(grant, client_ip))
    try:
        while (part := await call.parts.get()) is not None:
            yield part
        await task
    finally:
        call.leave()


class _Call:
    """One request as an ASGI server would bring it: `parts` are what comes back, None at the end."""

    def __init__(self, body: bytes) -> None:
        self.parts: asyncio.Queue[Answer | bytes | None] = asyncio.Queue(MOST_WAITING)
        self._body: bytes | None = body
        self._left = False
        self._over = asyncio.Event()  # the reader has left, or the answer is complete

    def leave(self) -> None:
        self._left = True
        self._over.set()
        while not self.parts.empty():  # so that what waits for room goes on, and sees that nobody is there
            self.parts.get_nowait()

    async def run(self, grant: Grant, client_ip: str) -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/v1/messages", "raw_path": b"/v1/messages", "query_string": b"",
            "headers": HEADERS, "client": (client_ip, 0), "scheme": "http", INSIDER: grant,
        }  # fmt: skip
        try:
            await Gateway(started_runtime)(scope, self._receive, self._send)
        finally:
            if not self._left:
                await self.parts.put(None)

    async def _receive(self) -> dict[str, Any]:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self._left:
            return
        if message["type"] == "http.response.start":
            ids = [value for name, value in message["headers"] if name == b"request-id"]
            await self.parts.put(Answer(message["status"], ids[0].decode() if ids else ""))
            return
        await self.parts.put(message.get("body", b""))
        if not message.get("more_body", False):
            self._over.set()
