"""What the small fakes of token services share: a plain function answers, ASGI carries it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx

Answer = tuple[int, dict[str, str], bytes]


class Endpoint:
    """An ASGI application whose `answer` sees a request as it came: raw target, raw headers, whole body."""

    async def answer(self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        raise NotImplementedError

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        target = scope["raw_path"].partition(b"?")[0]
        if scope.get("query_string"):
            target += b"?" + scope["query_string"]
        status, headers, answer = await self.answer(scope["method"], target, list(scope["headers"]), body)
        head = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    async def fetch(self, request: httpx.Request) -> httpx.Response:
        """This endpoint as an authorizer's `Fetch`, without a socket."""
        return await httpx.ASGITransport(self).handle_async_request(request)
