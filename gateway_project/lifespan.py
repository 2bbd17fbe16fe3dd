"""Start and stop of a server process, and the two addresses by which others see how it is doing."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gateway_project.telemetry import logger

log = logger(__name__)

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class Process(Protocol):
    """What starts with the server and stops with it."""

    @property
    def ready(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Lifespan:
    """The ASGI lifespan protocol (uvicorn): starts the process before the first request, stops it after the last."""

    def __init__(self, process: Callable[[], Process]) -> None:
        self._process = process

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        try:
            await self._process().start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._process().stop()
        await send({"type": "lifespan.shutdown.complete"})


async def _say(send: Any, status: int, word: str) -> None:
    body = json.dumps({"status": word}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/healthz`: the process answers."""
    await _say(send, 200, "ok")


def ready(process: Callable[[], Process]) -> App:
    """`/readyz`: whether new requests are served here; 503 while draining, before the first configuration, or with a
    full disk."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        able = process().ready
        await _say(send, 200 if able else 503, "ready" if able else "not ready")

    return answer
