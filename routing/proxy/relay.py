"""Brings an upstream's answer to the client and meters it on the way. Never buffers a stream, never changes its bytes."""

import asyncio
from collections.abc import Callable

import httpx

from accounting.money.usage import CHARACTERS_PER_TOKEN, Usage, estimated_tokens
from routing.formats.base import ANTHROPIC, BEDROCK, MESSAGES, Headers, header
from routing.formats.errors import stream_error
from routing.formats.faults import FormatError, StreamFailure
from routing.formats.headers import for_client
from routing.formats.meter import StreamMeter, characters_of, usage_of
from routing.formats.response import translate_response
from routing.formats.stream import StreamTranslator, ping, stream_headers, stream_translator
from routing.formats.wording import scrub
from routing.proxy.errors import upstream_failed
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.upstream import MOST_ANSWER_BYTES, Answer
from routing.targets import ProviderConf

STREAM_TYPES = ("text/event-stream", "application/vnd.amazon.eventstream")
BROKE = "The upstream's connection broke before the answer was complete."
AFTER_END = 5.0  # seconds an upstream may keep a stream open after its last event


class Silence:
    """Watches how long an upstream says nothing: pings the client, and gives up after `idle` seconds.

    One timer per stream that looks at a time stamp; the loop that relays only writes the stamp.
    """

    __slots__ = ("_handle", "_idle", "_loop", "_pause", "_ping", "_pinged", "expired", "pinging", "since", "waiting")

    def __init__(self, idle: float, pause: float, ping: Callable[[], "asyncio.Task[None] | None"]) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle, self._pause = idle, pause
        self._ping: Callable[[], asyncio.Task[None] | None] | None = ping
        self.since = self._pinged = self._loop.time()
        self.waiting = False  # for the upstream; time spent on a slow client does not count
        self.expired: Callable[[], None] | None = None
        self.pinging: asyncio.Task[None] | None = None
        self._handle = self._loop.call_later(min(idle, pause), self._look)

    def heard(self) -> None:
        self.since = self._loop.time()
        self.waiting = True

    def limit(self, idle: float) -> None:
        self._idle = idle
        self._handle.cancel()
        self._handle = self._loop.call_later(idle, self._look)

    def stop(self) -> None:
        """Ends the watch, and lets go of the stream that it belongs to, so that both are freed without the collector."""
        self._handle.cancel()
        self._ping = self.expired = None

    def _look(self) -> None:
        now = self._loop.time()
        silent = now - self.since if self.waiting else 0.0
        if silent >= self._idle and self.expired is not None:
            self.expired()
            return
        unpinged = min(silent, now - self._pinged)
        if unpinged >= self._pause and self._ping is not None:
            self._pinged = now
            self.pinging = self._ping()
            unpinged = 0.0
        self._handle = self._loop.call_later(max(0.01, min(self._idle - silent, self._pause - unpinged)), self._look)


class StreamRelay:
    """One stream, from its head to the client's last byte and the record.

    Between Anthropic's format and itself the bytes pass as they come, cut as they come. On every other pair a translator
    stands between, and what reaches the client are whole events or frames.
    """

    def __init__(self, exchange: Exchange, answer: Answer, provider: ProviderConf, *, ping: float) -> None:
        self.exchange = exchange
        self.answer = answer
        self.meter = StreamMeter()
        self._client = exchange.call.format
        self._upstream = provider.format
        self._read = 0  # bytes of the next chunk that were read already, and what came of them
        self._made: list[bytes] = []
        self._translator: StreamTranslator | None = None
        if not self._client == self._upstream == ANTHROPIC:
            self._translator = stream_translator(
                self._upstream, self._client, on_event=self.meter.saw, betas=exchange.betas_sent
            )
        self.silence = Silence(provider.idle_timeout, ping, self._ping)
        self.silence.expired = lambda: exchange.cancel(Cause.SILENCE)

    async def run(self) -> None:
        """Raises CancelledError after having settled, if the request was cancelled."""
        exchange = self.exchange
        try:
            await exchange.reply.start(200, self._head())
            await self._pump()
        except httpx.TransportError:
            await self._broken("stream_broken", BROKE)
        except asyncio.CancelledError:
            await self._cancelled()
        finally:
            self.silence.stop()
            await self.answer.close()  # which lets go of `_direct`, too

    def _head(self) -> Headers:
        headers = stream_headers(self._client)
        if self._client == self._upstream:
            headers = _same_headers(self.answer)
        return [*headers, (b"x-accel-buffering", b"no"), *self.exchange.id_headers()]

    async def _pump(self) -> None:
        exchange, silence = self.exchange, self.silence
        reply = exchange.reply
        silence.heard()
        async for chunk in self.answer.chunks():
            silence.waiting = False
            if exchange.entry.ttft_ms is None:
                exchange.entry.ttft_ms = exchange.milliseconds()
            pieces = self._passed(chunk)
            if self._over and not exchange.recorded:
                self._ended()
            if silence.pinging is not None:
                await silence.pinging
                silence.pinging = None
            for piece in pieces:
                await reply.send(piece, more=True)
            if self._failure is not None:
                break
            if exchange.recorded:
                silence.waiting = True  # all has been said: what still comes does not keep the connection open
            else:
                silence.heard()
                if reply.pushes:
                    self.answer.pass_to(self._direct)
        if self._over:
            await reply.send(b"", more=False)
        else:
            await self._broken("stream_truncated", "The upstream's answer ended before it was complete.")

    def _direct(self, data: bytes) -> bool:
        """Passes on what has just arrived, from the upstream's socket to the client's, while the stream's task waits. False
        where the task is needed: something ends, fails, or has to be waited for; it then goes on from here."""
        silence = self.silence
        if self._read or self.exchange.recorded or (silence.pinging is not None and not silence.pinging.done()):
            return False
        self._made = made = self._passed(data)
        self._read = len(data)  # the task goes on from here, unless all of it is sent
        if not self._over and (self._translator is None or self._translator.failure is None):
            push = self.exchange.reply.push
            for piece in made:
                if not push(piece):
                    break
            else:
                self._read = 0
                silence.heard()
                return True
        silence.waiting = False
        return False

    def _passed(self, chunk: bytes) -> list[bytes]:
        """What the client gets for a chunk: itself, or what a translator makes of it; one piece at most."""
        if self._read:
            read, self._read = self._read, 0
            return [*self._made, *(self._passed(chunk[read:]) if len(chunk) > read else ())]
        if self._translator is None:
            self.meter.feed(chunk)
            return [chunk]
        pieces = self._translator.feed(chunk)
        return [b"".join(pieces)] if len(pieces) > 1 else pieces

    @property
    def _failure(self) -> StreamFailure | None:
        return self._translator.failure if self._translator is not None else None

    @property
    def _over(self) -> bool:
        """Whether the stream's last event has passed."""
        return self.meter.ended or (self._translator is not None and self._translator.ended)

    def _ended(self) -> None:
        """The last event is here: the record is written before the client gets it."""
        exchange, meter = self.exchange, self.meter
        self.silence.limit(AFTER_END)
        failure = meter.error or self._failure
        if failure is not None:
            self._estimate(counted=True, kind="failed", free=self._silent)
            exchange.failed(failure.type, scrub(failure.message))
            exchange.record("upstream_error", self.answer.status, "error_event")
            return
        self._use()
        if exchange.reply.left:
            exchange.record("client_left", self.answer.status, "drained")
        else:
            exchange.record("served", self.answer.status)

    @property
    def _silent(self) -> bool:
        """Whether the model has said nothing; an upstream does not bill for an error that comes first."""
        return not self.meter.characters and not self.meter.blind

    def _use(self) -> None:
        usage = self.meter.usage
        usage.complete(size=self.exchange.size, characters=self.meter.characters)
        self.exchange.used(usage)

    def _estimate(self, *, counted: bool, kind: str = "usage", free: bool = False) -> None:
        """What is billed of a stream that was not heard to its end. `counted`: the input is as reported, or nothing."""
        usage, entry = self.meter.usage, self.exchange.entry
        entry.estimated = True
        if not usage.input_known and (not counted or self.meter.characters):
            usage.input = max(usage.input, estimated_tokens(self.exchange.size) - (usage.prompt - usage.input))
        usage.output = max(usage.output, self.meter.characters // CHARACTERS_PER_TOKEN)
        self.exchange.used(usage, kind=kind, free=free)

    async def _broken(self, reason: str, message: str) -> None:
        """Ends a stream that failed: the record, the format's error event, the end."""
        if self.exchange.recorded:
            await self.exchange.reply.send(b"", more=False)
            return
        self._estimate(counted=True, kind="failed")
        kind = "timeout_error" if reason == "idle_timeout" else "api_error"
        self.exchange.failed(kind, message)
        self.exchange.record("upstream_error", self.answer.status, reason)
        await self._say_error(kind, message)

    async def _say_error(self, kind: str, message: str) -> None:
        # An event that was cut off cannot be taken back, but it can be renamed before it ends: the last `event` line
        # counts, and clients pass over names they do not know.
        cut = b"" if self._between_events else b"\nevent: truncated\n\n"
        await self.exchange.reply.send(cut + stream_error(self._client, kind, message), more=False)

    async def _cancelled(self) -> None:
        exchange = self.exchange
        if exchange.cause is Cause.SILENCE:
            _swallow_cancellation()
            if exchange.recorded:
                await exchange.reply.send(b"", more=False)
            else:
                await self._broken("idle_timeout", "The upstream has been silent for too long.")
            return
        if not exchange.recorded:
            self._estimate(counted=False)
            left = exchange.cause is Cause.CLIENT_LEFT
            exchange.record("client_left" if left else "shut_down", self.answer.status)
            if not left:
                await self._say_error("api_error", "The gateway is restarting; send the request again.")
        if exchange.cause is None:
            raise asyncio.CancelledError
        _swallow_cancellation()

    def _ping(self) -> "asyncio.Task[None] | None":
        if not self._between_events or self._over:
            return None
        return asyncio.get_running_loop().create_task(self.exchange.reply.send(ping(self._client), more=True))

    @property
    def _between_events(self) -> bool:
        return self._translator is not None or self.meter.at_boundary


def _swallow_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def upstream_id(answer: Answer) -> str:
    """The upstream's own id of the request, for its support."""
    found = header(answer.headers, b"request-id") or header(answer.headers, b"x-amzn-requestid")
    return found.decode("latin-1")[:200]


async def relay_whole(exchange: Exchange, answer: Answer, provider: ProviderConf) -> None:
    """An answer that is not a stream: read whole, metered, recorded, sent. Raises `GatewayError` if it never came."""
    body = await _whole(exchange, answer, provider.idle_timeout)
    entry, client = exchange.entry, exchange.call.format
    if entry.operation == MESSAGES:
        usage = usage_of(body, answer.headers if provider.format == BEDROCK else [])
        told = usage.output_known and usage.output
        usage.complete(size=exchange.size, characters=0 if told else characters_of(body))
        exchange.used(usage)
    if entry.stream and client == BEDROCK and answer.content_type:
        raise upstream_failed("The upstream's answer was not a stream.", "upstream_answer")
    entry.ttft_ms = exchange.milliseconds()
    try:
        reply = translate_response(
            provider.format, client, entry.operation, body, latency_ms=round(entry.attempts[-1].duration_ms)
        )
    except FormatError:
        raise upstream_failed("The upstream's answer was not one of its API.", "upstream_answer") from None
    headers = _same_headers(answer) if client == provider.format else reply.headers
    headers = [*headers, (b"content-length", str(len(reply.body)).encode()), *exchange.id_headers()]
    exchange.record("client_left" if exchange.reply.left else "served", answer.status)
    await exchange.reply.start(answer.status, headers)
    await exchange.reply.send(reply.body, more=False)


def _same_headers(answer: Answer) -> Headers:
    """The upstream's headers that pass to a client of its format; what they carry is for that client alone."""
    headers = [pair for pair in for_client(answer.headers) if pair[0] != b"cache-control"]
    return [*headers, (b"cache-control", b"no-cache")]


async def _whole(exchange: Exchange, answer: Answer, idle: float) -> bytes:
    try:
        body = await answer.read(MOST_ANSWER_BYTES, idle, exchange.alarm)
    except TimeoutError:
        _unheard(exchange)
        text = "The upstream did not finish its answer in time."
        raise upstream_failed(text, "idle_timeout", status=504, type="timeout_error") from None
    except httpx.TransportError:
        _unheard(exchange)
        raise upstream_failed(BROKE, "answer_broken") from None
    finally:
        await answer.close()
    if len(body) > MOST_ANSWER_BYTES:
        raise upstream_failed("The upstream's answer is too large.", "answer_too_large")
    return body


def _unheard(exchange: Exchange) -> None:
    """An answer that had begun, and whose usage stands at its end: the model has worked on the prompt at least."""
    exchange.entry.estimated = True
    if exchange.entry.operation == MESSAGES:
        exchange.used(Usage(input=estimated_tokens(exchange.size)), kind="failed")
