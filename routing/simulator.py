"""A simulated provider: answers the Messages format without any model, so that a fresh installation can be tried.

A plain ASGI callable. The development server mounts it at `/-/simulator`; the production server never does. Whatever it
says is labelled as simulated: in the text, in the ids (`msg_sim_…`) and in the header `x-simulated`.
It keeps nothing and calls nobody. What it answers is decided in `routing.simulated`.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from routing.simulated import Answer, Ask, Refused, answer, input_tokens, read_ask

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOUNT = "/-/simulator"
MOST_BYTES = 32 * 1024 * 1024


class ClientLeft(Exception):
    """The client went away; nothing more needs to be sent."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """`pace` is the pause between two deltas of a stream, in seconds."""

    pace: float = 0.02

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except Refused as refusal:
            await _send_json(send, refusal.status, refusal.body(_request_id()))
        except ClientLeft:
            return

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        path = str(scope["path"]).removeprefix(MOUNT)
        if path not in {"/v1/messages", "/v1/messages/count_tokens"}:
            raise Refused(404, "not_found_error", "The simulator serves /v1/messages and /v1/messages/count_tokens.")
        if scope["method"] != "POST":
            raise Refused(405, "invalid_request_error", "This address takes POST only.")
        body = await _read_body(receive)
        if path.endswith("/count_tokens"):
            await _send_json(send, 200, {"input_tokens": input_tokens(body)})
            return
        ask = read_ask(body)
        token = secrets.token_hex(12)
        reply, message_id = answer(ask, token), f"msg_sim_{token}"
        if ask.stream:
            await self._stream(ask, reply, message_id, receive, send)
        else:
            await _send_json(send, 200, reply.message(ask, message_id))

    async def _stream(self, ask: Ask, reply: Answer, message_id: str, receive: Receive, send: Send) -> None:
        """Sends the events one by one, at the simulator's pace, until the end or until the client has left."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send(_head(200, b"text/event-stream; charset=utf-8"))
            for event in reply.events(ask, message_id):
                text = f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
                await send({"type": "http.response.body", "body": text.encode(errors="replace"), "more_body": True})
                if event["type"] == "content_block_delta":
                    await asyncio.wait({gone}, timeout=self.pace)
                if gone.done():
                    raise ClientLeft
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise Refused(413, "request_too_large", "The request is larger than 32 MB.")
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request_id() -> str:
    return f"req_sim_{secrets.token_hex(12)}"


def _head(status: int, content_type: bytes) -> Message:
    headers = [
        (b"content-type", content_type),
        (b"cache-control", b"no-cache"),
        (b"request-id", _request_id().encode()),
        (b"x-simulated", b"true"),
    ]
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _send_json(send: Send, status: int, value: object) -> None:
    await send(_head(status, b"application/json"))
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


simulator = Simulator()
