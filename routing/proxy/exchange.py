"""One request on its way through the gateway: what is known of it by now, and the one record that it ends in."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from accounting.access.grant import Grant
from accounting.limits.admission import Spent, Ticket
from accounting.limits.terms import nano_of
from accounting.money.entry import Attempt, Entry
from accounting.money.usage import Usage
from gateway_project.metrics import count
from routing.formats.base import BEDROCK, Headers
from routing.proxy.alarm import Alarm
from routing.proxy.drains import Drains
from routing.shadows import Shadowed

MOST_ERROR_TEXT = 2000  # characters of an error's message that a record keeps


class Cause(Enum):
    """Why a running request was cancelled."""

    CLIENT_LEFT = "client_left"
    SHUT_DOWN = "shut_down"
    SILENCE = "silence"


class Reply:
    """The way back to the client, whatever the server. After the client has left, sending does nothing."""

    __slots__ = ("_push", "_send", "complete", "left", "started")

    def __init__(self, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        self._send = send
        # Our own server takes pieces of a stream without a coroutine (routing/cycle.py).
        self._push: Callable[[bytes], bool] | None = getattr(getattr(send, "__self__", None), "push", None)
        self.started = False
        self.left = False
        self.complete = False

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        if not self.left:
            await self._send({"type": "http.response.start", "status": status, "headers": headers})

    @property
    def pushes(self) -> bool:
        """Whether the server can take pieces at once."""
        return self._push is not None

    def push(self, body: bytes) -> bool:
        """Sends a piece of a stream at once. False if it cannot be now: then `send` it."""
        return self.left or (self._push is not None and self._push(body))

    async def send(self, body: bytes, *, more: bool) -> None:
        self.complete = not more
        if not self.left:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


class Call(msgspec.Struct, frozen=True):
    """What a client sent, as the server handed it over: everything but the body."""

    format: str
    operation: str
    method: str
    raw_path: bytes  # percent-encoded, as it was sent
    subject: str  # what the path names beside the operation, such as a model's id
    query: bytes
    headers: Headers
    client_ip: str
    read_body: Callable[[], Awaitable[bytes]]
    action: str = ""  # what is asked of the subject, where an operation has several
    scheme: str = "http"
    insider: Grant | None = (
        None  # who asks, where this process itself vouches for them: a person signed in to the dashboard
    )


class Exchange(msgspec.Struct, eq=False):
    """The state of one request. `record` may be called once; later calls do nothing."""

    call: Call
    reply: Reply
    entry: Entry
    keep: Callable[[Entry], None]
    started: float = msgspec.field(default_factory=time.monotonic)
    drains: bool = False  # goes on when its client leaves
    cause: Cause | None = None
    task: "asyncio.Task[object] | None" = None
    watch: "asyncio.Task[None] | None" = None  # waits for its client to leave
    alarm: Alarm | None = None  # the task's limits of time
    grant: Grant | None = None
    secret: bytes = b""
    betas_sent: tuple[str, ...] = ()
    size: int = 0  # bytes of the request's body
    ticket: Ticket | None = None  # what is reserved of the caller's limits
    limit_headers: Headers = msgspec.field(default_factory=list)  # how the caller's limits stand
    may_spend: Callable[[tuple[str, ...]], Awaitable[None]] | None = (
        None  # raises if nothing may be begun for these models
    )
    recorded: bool = False
    notices: Headers = msgspec.field(default_factory=list)  # that a name is deprecated, for the answer's head
    usage: Usage | None = None  # of the last upstream call
    line_kind: str = "usage"  # what that call was, for the ledger
    free: bool = False  # it failed before it said anything
    settle: "Callable[[Exchange], None] | None" = None  # prices the entry, just before it is kept
    drain_room: Drains | None = None
    shadowed: Shadowed | None = None  # where a draft of its route would have sent it

    @property
    def request_id(self) -> str:
        return self.entry.request_id

    def id_headers(self) -> Headers:
        """What every answer carries: our id of the request, as this client's format names it, that its model's name is
        deprecated, and how the caller's limits stand."""
        value = self.entry.request_id.encode()
        more = (*self.notices, *self.limit_headers)
        if self.call.format == BEDROCK:
            return [(b"request-id", value), (b"x-amzn-requestid", value), *more]
        return [(b"request-id", value), *more]

    def leave(self) -> None:
        """The client has gone; a server says so, too, when the answer is complete."""
        if self.reply.complete:
            return
        self.reply.left = True
        if not self.drains or not self._may_drain():
            self.cancel(Cause.CLIENT_LEFT)

    def _may_drain(self) -> bool:
        """Answers that are no streams always drain; streams while there is room."""
        return self.drain_room is None or not self.entry.stream or self.drain_room.enter(self)

    def end_drain(self) -> None:
        """The time to read on after the client has left is over."""
        self.cancel(Cause.CLIENT_LEFT)

    def cancel(self, cause: Cause) -> None:
        if self.task is not None and not self.task.done() and self.cause is None:
            self.cause = cause
            self.task.cancel()

    def let_go(self) -> None:
        """Its task has ended: nothing points in a circle any more, so all of it is freed at once. What the collector would have
        to find stays for minutes, because full collections are rare (routing/serving.py)."""
        if self.alarm is not None:
            self.alarm.stop()
        if self.watch is not None:
            self.watch.cancel()
        self.task = self.watch = self.alarm = None
        self.may_spend = None

    def milliseconds(self) -> float:
        return round((time.monotonic() - self.started) * 1000, 3)

    def attempted(self, attempt: Attempt) -> None:
        self.entry.attempts.append(attempt)
        self.entry.provider, self.entry.upstream_model = attempt.provider, attempt.model

    def used(self, usage: Usage, *, kind: str = "usage", free: bool = False) -> None:
        """What the last upstream call used; it is priced when the request is recorded."""
        self.usage, self.line_kind, self.free = usage, kind, free

    def failed(self, error_type: str, message: str) -> None:
        self.entry.error_type, self.entry.error_message = error_type, message[:MOST_ERROR_TEXT]

    def record(self, outcome: str, status: int, reason: str = "") -> None:
        """Ends the request's story: the entry is on local disk when this returns."""
        if self.recorded:
            return
        self.recorded = True
        entry = self.entry
        entry.outcome, entry.status = outcome, status
        entry.reason = entry.reason or reason
        entry.duration_ms = self.milliseconds()
        try:
            if self.settle is not None:
                self.settle(self)
        finally:  # a fault in pricing must not lose the record
            self._end_ticket()
            self.keep(entry)
            count(entry)

    def _end_ticket(self) -> None:
        """Charges the caller's limits with what the request came to; what never went upstream is given back."""
        ticket, entry = self.ticket, self.entry
        if ticket is None:
            return
        if not entry.attempts and not entry.cost_usd:
            ticket.release()
            return
        used = entry.tokens_input + entry.tokens_cache_read + entry.tokens_cache_write_5m + entry.tokens_cache_write_1h
        cost, exact = nano_of(entry.cost_usd), entry.outcome == "served" and not entry.estimated
        ticket.settle(Spent(cost, used, entry.tokens_output, entry.upstream_model, exact))
