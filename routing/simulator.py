"""A simulated provider: answers all three formats without any model, so that a fresh installation can be tried.

A plain ASGI callable. The development server mounts it at `/-/simulator`; the production server never does. Whatever it
says is labelled as simulated: in the text, in the ids (`msg_sim_…`) and in the header `x-simulated`.
It keeps nothing and calls nobody. What it answers is decided in `routing.simulated`, how that is put in
`routing.simulated_formats`.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, Headers
from routing.formats.names import Address
from routing.simulated import Refused, answer, input_tokens, read_ask
from routing.simulated_formats import address_of, counted, framed, plain_body, refusal, stream_type

Message = MutableMapping[str, Any]
Event = dict[str, Any]
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
        spoken = ANTHROPIC
        try:
            address = address_of(str(scope["path"]).removeprefix(MOUNT))
            spoken = address.format
            await self._serve(address, str(scope["method"]), receive, send)
        except Refused as refused:
            status, headers, body = refusal(spoken, refused, _request_id())
            await send(_head(status, spoken, headers))
            await send({"type": "http.response.body", "body": body})
        except ClientLeft:
            return

    async def _serve(self, address: Address, method: str, receive: Receive, send: Send) -> None:
        if method != "POST":
            raise Refused(405, "invalid_request_error", "This address takes POST only.")
        body = plain_body(address, await _read_body(receive))
        if address.operation == COUNT_TOKENS:
            await _send_json(send, address.format, counted(address, input_tokens(body)))
            return
        ask = read_ask(body)
        token = secrets.token_hex(12)
        reply, message_id = answer(ask, token), f"msg_sim_{token}"
        if ask.stream:
            await self._stream(address, reply.events(ask, message_id), receive, send)
        else:
            await _send_json(send, address.format, reply.message(ask, message_id))

    async def _stream(self, address: Address, events: Iterator[Event], receive: Receive, send: Send) -> None:
        """Sends the events one by one, at the simulator's pace, until the end or until the client has left."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            kind = [(b"content-type", stream_type(address)), (b"cache-control", b"no-cache")]
            await send(_head(200, address.format, kind))
            for event in events:
                await send({"type": "http.response.body", "body": framed(address, event), "more_body": True})
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


def _head(status: int, spoken: str, headers: Headers) -> Message:
    name = b"x-amzn-requestid" if spoken == BEDROCK else b"request-id"
    more = [(name, _request_id().encode()), (b"x-simulated", b"true")]
    return {"type": "http.response.start", "status": status, "headers": [*headers, *more]}


async def _send_json(send: Send, spoken: str, value: object) -> None:
    kind = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache")]
    await send(_head(200, spoken, kind))
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


simulator = Simulator()
