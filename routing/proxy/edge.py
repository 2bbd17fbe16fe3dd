"""The gateway's ASGI application: one plain callable, mounted before Django (see gateway_project/asgi.py).

Here a request gets its id, its alarm and its record; here is the only catch-all. The work goes on in the server's own task;
beside one that lasts, another waits for the client to leave.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Any

from accounting.money.entry import Entry
from accounting.money.usage import Usage, estimated_tokens
from gateway_project.telemetry import logger
from routing.formats.base import MESSAGES, Headers
from routing.formats.errors import render_error
from routing.formats.wording import scrub
from routing.proxy import pipeline
from routing.proxy.alarm import Alarm
from routing.proxy.bodies import Body, ClientGone
from routing.proxy.errors import GatewayError, invalid, method_not_allowed, not_found
from routing.proxy.exchange import Call, Cause, Exchange, Reply
from routing.proxy.faults import rendered, told_type, understood
from routing.proxy.ids import new_request_id
from routing.proxy.paths import HELLO, Destination, destination
from routing.proxy.runtime import Runtime
from routing.proxy.upstream import Fault

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

INSIDER = (
    "gateway.insider"  # in the scope of a call from within this process: a Grant. No client can put anything there.
)

LASTING = (
    0.05  # seconds after which it is worth waiting for the client to leave: few requests without a stream last longer
)
log = logger(__name__)


class Gateway:
    """Serves the gateway's own paths. `runtime` gives the process's runtime, started."""

    def __init__(self, runtime: Callable[[], Awaitable[Runtime]]) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        where = destination(scope.get("raw_path") or scope["path"].encode())
        if where.operation == HELLO and scope["method"] in where.methods:
            await _hello(scope, send)
            return
        runtime = await self._runtime()
        body = Body(receive, scope["headers"], runtime.max_body, runtime.body_seconds)
        exchange = _exchange(scope, send, where, body, runtime)
        if exchange.reply.pushes:  # our own server, which leaves us alone when the client has left
            await _run(exchange, where, body, runtime, lambda: _accompany(exchange, body, receive))
            return
        task = exchange.task = asyncio.get_running_loop().create_task(_run(exchange, where, body, runtime))
        await _beside(task, exchange, body, receive)


async def _run(
    exchange: Exchange, where: Destination, body: Body, runtime: Runtime, lasting: Callable[[], None] | None = None
) -> None:
    alarm = body.alarm = exchange.alarm = Alarm(lasting, LASTING)
    exchange.task = alarm.task
    runtime.running.add(exchange)
    try:
        await _work(exchange, where, body, runtime)
    finally:
        runtime.running.discard(exchange)
        exchange.let_go()


async def _beside(task: "asyncio.Task[None]", exchange: Exchange, body: Body, receive: Receive) -> None:
    """Waits for the work, or for the client to leave: then an answer that is still wanted is read to its end without us, as
    daphne cancels an application ten seconds after its client has left."""
    watch = asyncio.get_running_loop().create_task(_until_gone(exchange, body, receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if exchange.cause is not None:
            await asyncio.wait({task})
    except asyncio.CancelledError:  # the server itself wants this request to end
        exchange.cancel(Cause.SHUT_DOWN)
        raise
    finally:
        watch.cancel()


def _accompany(exchange: Exchange, body: Body, receive: Receive) -> None:
    exchange.watch = asyncio.get_running_loop().create_task(_until_gone(exchange, body, receive))


async def _until_gone(exchange: Exchange, body: Body, receive: Receive) -> None:
    """Waits for the client to leave."""
    await body.finished.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.leave()


async def _work(exchange: Exchange, where: Destination, body: Body, runtime: Runtime) -> None:
    """The whole life of one request: whatever happens, one answer and one record."""
    try:
        try:
            if where.problem:
                raise invalid(where.problem, "bad_path")
            if not where.methods:
                raise not_found("There is nothing at this address.")
            if exchange.call.method not in where.methods:
                raise method_not_allowed(", ".join(where.methods))
            await pipeline.serve(exchange, runtime.house)
        except GatewayError as error:
            await _refuse(exchange, body, error)
        except Fault as fault:
            await _pass_on(exchange, fault)
    except ClientGone:
        exchange.reply.left = True
        exchange.record("client_left", 499, "left_while_sending")
    except asyncio.CancelledError:
        if exchange.cause is None:
            _estimate(exchange)
            exchange.record("shut_down", 503)
            raise
        await _cancelled(exchange)
    except Exception as error:
        log.exception("request failed inside the gateway", request_id=exchange.request_id, kind=type(error).__name__)
        await _internal(exchange)
    finally:
        body.finished.set()


async def _cancelled(exchange: Exchange) -> None:
    """The client left before an answer was under way, or the process stops."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if exchange.cause is Cause.CLIENT_LEFT:
        _estimate(exchange)
        exchange.record("client_left", 499)
        return
    _estimate(exchange)
    error = GatewayError(503, "api_error", "The gateway is restarting; try again in a second.", "", retry_after=1)
    exchange.record("shut_down", 503)
    await _say(exchange, error)


def _estimate(exchange: Exchange) -> None:
    """A request that an upstream may have begun to work on, and whose usage nobody will tell."""
    entry = exchange.entry
    if exchange.recorded or entry.operation != MESSAGES or not entry.attempts:
        return
    if entry.attempts[-1].error in ("", "cancelled"):  # others have failed, and an error costs nothing
        entry.estimated = True
        exchange.used(Usage(input=estimated_tokens(exchange.size)))


async def _refuse(exchange: Exchange, body: Body, error: GatewayError) -> None:
    exchange.failed(error.type, error.message)
    status = render_error(exchange.call.format, error, exchange.request_id)[0]  # Bedrock's clients know fewer
    exchange.record("client_left" if exchange.reply.left else error.outcome, status, error.reason)
    if error.status not in (408, 413):
        await body.discard()
    await _say(exchange, error)
    if error.status != 408:
        await body.discard()


async def _pass_on(exchange: Exchange, fault: Fault) -> None:
    """The last upstream's failure, in its own words where that helps the client."""
    problem = understood(fault)
    status, headers, body = rendered(fault, problem, exchange)
    exchange.failed(problem.type or told_type(problem), scrub(problem.message) or fault.detail)
    outcome = "client_left" if exchange.reply.left else "upstream_error"
    exchange.record(outcome, status, f"upstream_{fault.kind}")
    if fault.status:
        log.warning(
            "upstream refused",
            request_id=exchange.request_id,
            provider=exchange.entry.provider,
            status=fault.status,
            text=problem.message[:500],
        )
    await _answer(exchange, status, headers, body)


async def _say(exchange: Exchange, error: GatewayError) -> None:
    await _answer(exchange, *render_error(exchange.call.format, error, exchange.request_id))


async def _internal(exchange: Exchange) -> None:
    exchange.failed("api_error", "internal error")
    exchange.record("upstream_error" if exchange.entry.attempts else "refused", 500, "internal_error")
    if not exchange.reply.started:
        error = GatewayError(
            500, "api_error", "The gateway failed on this request; its log says more.", "internal_error"
        )
        await _say(exchange, error)


async def _answer(exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
    headers = [
        *headers,
        (b"content-length", str(len(body)).encode()),
        *exchange.id_headers(),
    ]
    await exchange.reply.start(status, headers)
    await exchange.reply.send(body, more=False)


async def _hello(scope: Scope, send: Send) -> None:
    """Connection warm-up of clients, without credentials: anything, fast."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _exchange(scope: Scope, send: Send, where: Destination, body: Body, runtime: Runtime) -> Exchange:
    headers: Headers = scope["headers"]
    agent = session = b""
    for name, value in headers:
        if name == b"user-agent":
            agent = value
        elif name == b"x-claude-code-session-id":
            session = value  # here already, so that a refusal is found by its session too
    address = _client_address(scope, runtime)
    call = Call(
        format=where.format,
        operation=where.operation,
        method=scope["method"],
        raw_path=scope.get("raw_path") or scope["path"].encode(),
        subject=where.subject,
        query=scope.get("query_string", b""),
        headers=headers,
        client_ip=address,
        read_body=body.read,
        action=where.action,
        scheme=_scheme(scope, runtime),
        insider=scope.get(INSIDER),
    )
    entry = Entry(
        request_id=new_request_id(),
        started_at=time.time(),
        client_format=where.format,
        operation=where.operation,
        client_ip=address,
        user_agent=agent[:300].decode("latin-1"),
        session_id=session[:200].decode("latin-1"),
    )
    return Exchange(
        call=call,
        reply=Reply(send),
        entry=entry,
        keep=runtime.house.recorder.finished,
        settle=runtime.settle,
        drain_room=runtime.house.drains,
    )


def _client_address(scope: Scope, runtime: Runtime) -> str:
    """The peer's address, or the last one that a trusted proxy did not add itself."""
    client = scope.get("client")
    address: str = client[0] if client else ""
    if not runtime.trusted_proxies or not _trusted(address, runtime):
        return address
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            for hop in reversed(value.decode("latin-1").split(",")):
                address = hop.strip()[:45]
                if not _trusted(address, runtime):
                    return address
    return address


def _scheme(scope: Scope, runtime: Runtime) -> str:
    """`http` or `https`, as the client spoke it to a trusted proxy or to this server."""
    client = scope.get("client")
    if runtime.trusted_proxies and client and _trusted(client[0], runtime):
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto" and value in (b"http", b"https"):
                return "https" if value == b"https" else "http"
    return "https" if scope.get("scheme") == "https" else "http"


def _trusted(address: str, runtime: Runtime) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in runtime.trusted_proxies)
