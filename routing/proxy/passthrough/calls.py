"""One call to the provider that keeps a batch or a file, and its answer's way back. Never repeated, never sent elsewhere."""

import asyncio
import time
from collections.abc import Callable

import httpx

from accounting.money.entry import Attempt
from routing.formats.anthropic import DEFAULT_VERSION
from routing.formats.base import Headers, Outbound, header, joined
from routing.formats.headers import for_client, for_upstream
from routing.proxy.errors import upstream_failed
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.relay import upstream_id
from routing.proxy.upstream import MOST_ANSWER_BYTES, Answer, Fault, UpstreamClient
from routing.targets import ProviderConf

_BROKEN = "The upstream's connection broke before the answer was complete."
_SILENT = "The upstream did not finish its answer in time."


def outbound(exchange: Exchange, method: str, path: str, body: bytes = b"", *, opaque: bool = False) -> Outbound:
    """The request for the provider, with what of the client's headers may pass."""
    call = exchange.call
    headers = for_upstream(call.headers, exchange.secret)
    if method != "POST":
        headers = [pair for pair in headers if pair[0] != b"content-type"]
    elif body and not header(headers, b"content-type"):
        headers.append((b"content-type", b"application/json"))
    headers.append((b"anthropic-version", header(call.headers, b"anthropic-version") or DEFAULT_VERSION.encode()))
    if beta := joined(call.headers, b"anthropic-beta"):
        headers.append((b"anthropic-beta", beta))
    headers.append((b"accept-encoding", b"identity"))
    suffix = "?beta=true" if b"beta=true" in call.query.split(b"&") else ""
    return Outbound(path=path + suffix, headers=headers, body=body, method=method, opaque=opaque, repeatable=False)


async def ask(
    exchange: Exchange, upstreams: UpstreamClient, provider: ProviderConf, request: Outbound, model: str = ""
) -> Answer:
    """The answer, open. Raises `Fault`; the call is on the record either way."""
    begin = time.monotonic()
    error, status = "cancelled", 0
    try:
        answer = await upstreams.open(provider, request)
        error, status = "", answer.status
    except Fault as fault:
        error, status, fault.format = fault.detail, fault.status, provider.format
        raise
    finally:
        spent = round((time.monotonic() - begin) * 1000, 3)
        exchange.attempted(Attempt(provider.name, model, status, error[:300], spent))
    exchange.entry.upstream_request_id = upstream_id(answer)
    return answer


async def whole(answer: Answer, provider: ProviderConf) -> bytes:
    """The answer's body; the answer is closed. Raises `GatewayError` if it does not come whole."""
    try:
        body = await answer.read(MOST_ANSWER_BYTES, provider.idle_timeout)
    except TimeoutError:
        raise upstream_failed(_SILENT, "idle_timeout", status=504) from None
    except httpx.TransportError:
        raise upstream_failed(_BROKEN, "answer_broken") from None
    finally:
        await answer.close()
    if len(body) > MOST_ANSWER_BYTES:
        raise upstream_failed("The upstream's answer is too large.", "answer_too_large")
    return body


async def reply_whole(exchange: Exchange, answer: Answer, body: bytes) -> None:
    """Records the request and sends the client this body under the upstream's headers."""
    headers = [*_headers(answer), (b"content-length", str(len(body)).encode()), *exchange.id_headers()]
    exchange.entry.ttft_ms = exchange.milliseconds()
    exchange.record("client_left" if exchange.reply.left else "served", answer.status)
    await exchange.reply.start(answer.status, headers)
    await exchange.reply.send(body, more=False)


async def reply_stream(
    exchange: Exchange,
    answer: Answer,
    provider: ProviderConf,
    *,
    passed: Callable[[bytes], None],
    ended: Callable[[], None],
) -> None:
    """Sends the client the bytes as they come; `passed` sees each chunk, `ended` is called before the end is sent.

    An answer that does not come whole is not ended towards the client either: the server cuts its connection.
    """
    try:
        await exchange.reply.start(answer.status, _stream_headers(exchange, answer))
        await _pump(exchange, answer, provider.idle_timeout, passed)
        ended()
        exchange.record("client_left" if exchange.reply.left else "served", answer.status)
        await exchange.reply.send(b"", more=False)
    except TimeoutError:
        _failed(exchange, answer, "idle_timeout", _SILENT)
    except httpx.TransportError:
        _failed(exchange, answer, "answer_broken", _BROKEN)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        exchange.record("client_left" if exchange.cause is Cause.CLIENT_LEFT else "shut_down", answer.status)
        if exchange.cause is None or task is None:
            raise
        task.uncancel()
    finally:
        await answer.close()


async def _pump(exchange: Exchange, answer: Answer, idle: float, passed: Callable[[bytes], None]) -> None:
    async for chunk in chunks(answer, idle):
        if exchange.entry.ttft_ms is None:
            exchange.entry.ttft_ms = exchange.milliseconds()
        passed(chunk)
        await exchange.reply.send(chunk, more=True)


class chunks:  # noqa: N801  used as a function
    """The pieces of an answer; TimeoutError when the upstream is silent for `idle` seconds."""

    def __init__(self, answer: Answer, idle: float) -> None:
        self._pieces = answer.chunks()
        self._idle = idle

    def __aiter__(self) -> "chunks":
        return self

    async def __anext__(self) -> bytes:
        async with asyncio.timeout(self._idle):
            return await anext(self._pieces)


def _failed(exchange: Exchange, answer: Answer, reason: str, message: str) -> None:
    exchange.failed("timeout_error" if reason == "idle_timeout" else "api_error", message)
    exchange.record("client_left" if exchange.reply.left else "upstream_error", answer.status, reason)


def _headers(answer: Answer) -> Headers:
    headers = [pair for pair in for_client(answer.headers) if pair[0] != b"cache-control"]
    return [*headers, (b"cache-control", b"no-cache")]


def _stream_headers(exchange: Exchange, answer: Answer) -> Headers:
    length = answer.length
    sized = [] if length is None else [(b"content-length", str(length).encode())]
    return [*_headers(answer), *sized, (b"x-accel-buffering", b"no"), *exchange.id_headers()]
