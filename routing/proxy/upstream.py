"""The only way to an upstream: a pool for each provider, the credential, the time limits, and what a failure means.

Everything here raises `Fault`, which says whether another target may be tried; nothing here decides that.
"""

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import httpx
import zstandard
from django.conf import settings

from routing.formats.base import Headers, Outbound, header
from routing.proxy.alarm import Alarm
from routing.proxy.credentials import (
    Authorizer,
    CredentialStatus,
    CredentialUnavailable,
    authorizer_for,
    token_refused,
)
from routing.proxy.transports import REPEATABLE, MakeTransport, TlsContext, tls_context, transport_named
from routing.proxy.transports.body import Body, Sink
from routing.proxy.transports.connection import Limits
from routing.proxy.transports.lean import Address, LeanTransport, origin_of
from routing.targets import ProviderConf

ERROR_SECONDS = 3.0  # for the whole text of an error whose status is known; another target may be waiting
MOST_ERROR_BYTES = 1024 * 1024  # of an error answer's body; the rest is not read
MOST_ANSWER_BYTES = 128 * 1024 * 1024  # of an answer that is not a stream


@dataclass(slots=True)
class Fault(Exception):
    """An upstream call that did not succeed.

    `kind` is what a route's `retry_on` lists: `connect`, `timeout` or a status. `status` is 0 when there was no answer;
    otherwise `headers` and `body` are the upstream's own. `detail` is for records and logs, never for clients.
    """

    kind: str | int
    detail: str
    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    format: str = ""  # the upstream's
    betas: tuple[str, ...] = ()  # that were sent to it

    def __str__(self) -> str:
        return self.detail

    @property
    def retry_after(self) -> float | None:
        """Seconds the upstream asks to wait, from `retry-after-ms` or `retry-after`."""
        for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
            try:
                seconds = float(header(self.headers, name)) / unit
            except ValueError:
                continue
            if 0 <= seconds < 86_400 * 31:
                return seconds
        return None


Decode = Callable[[bytes], bytes]


def decoder(coding: bytes) -> Decode | None:
    """What undoes a content-encoding, chunk by chunk; nothing for none, and for one that is not known."""
    match coding.strip().lower():
        case b"gzip" | b"x-gzip" | b"deflate":
            return zlib.decompressobj(wbits=47).decompress
        case b"zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress
    return None


def _media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


class _Pool:
    """The connections to one address, closed once nobody needs them: no provider of the snapshot and no running call."""

    __slots__ = ("busy", "closing", "lean", "transport")

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport
        self.lean = transport if isinstance(transport, LeanTransport) else None
        self.busy = 0
        self.closing = False

    async def given_back(self) -> None:
        self.busy -= 1
        await self.close_if_idle()

    async def close_if_idle(self) -> None:
        if self.closing and not self.busy:
            await self.transport.aclose()


class Answer:
    """An upstream's open response with a status of 2xx. Must be closed."""

    __slots__ = ("_decode", "_pool", "_stream", "content_type", "headers", "status", "told")

    def __init__(self, status: int, headers: Headers, stream: httpx.AsyncByteStream, pool: _Pool) -> None:
        self.status = status
        self.told = headers  # as they came
        self._decode = decoder(header(headers, b"content-encoding"))
        # No coding was asked for. One that comes all the same is undone here: beside coded bytes nothing can be read.
        self.headers = [pair for pair in headers if pair[0] != b"content-encoding"] if self._decode else headers
        self.content_type = _media_type(header(headers, b"content-type"))
        self._stream = stream
        self._pool: _Pool | None = pool

    @property
    def length(self) -> int | None:
        """How many bytes `chunks` will give, if the upstream has said so."""
        declared = b"" if self._decode else header(self.headers, b"content-length")
        return int(declared) if declared.isdigit() else None

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises httpx's transport errors."""
        return self._decoded(self._decode) if self._decode else self._stream.__aiter__()

    def pass_to(self, sink: Sink) -> None:
        """What comes goes straight to `sink` while somebody waits for the next chunk, if the transport can do that."""
        if self._decode is None and isinstance(self._stream, Body):
            self._stream.sink = sink

    async def _decoded(self, decode: Decode) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            try:
                plain = decode(chunk)
            except (zlib.error, zstandard.ZstdError) as error:
                raise httpx.RemoteProtocolError("the upstream's answer is not coded as it says") from error
            if plain:
                yield plain

    async def read(self, limit: int, idle: float, alarm: Alarm | None = None) -> bytes:
        """The whole body; at most one chunk more than `limit` bytes. TimeoutError after `idle` s of silence."""
        if isinstance(self._stream, Body) and self._decode is None and (here := self._stream.whole()) is not None:
            return here
        own = None if alarm is not None else Alarm()
        alarm = alarm or own
        assert alarm is not None
        parts: list[bytes] = []
        size = 0
        alarm.set(idle)
        try:
            async for chunk in self.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > limit:
                    break
                alarm.set(idle)
        except asyncio.CancelledError:
            if alarm.rang():
                raise TimeoutError from None
            raise
        finally:
            alarm.off()
            if own is not None:
                own.stop()
        return b"".join(parts) if len(parts) != 1 else parts[0]

    async def close(self) -> None:
        """Gives the connection back, or closes it if the body was not read to its end. May be called again."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await self._stream.aclose()
        except httpx.HTTPError:
            pass  # a connection that fails while it is closed is closed
        finally:
            pool.busy -= 1
            if pool.closing:
                await pool.close_if_idle()


@dataclass(frozen=True, slots=True)
class _Line:
    """What one provider of one snapshot is reached with."""

    provider: ProviderConf
    pool: _Pool
    authorizer: Authorizer
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Place:
    """Where requests of one kind go, and their `host` header."""

    url: httpx.URL
    host: bytes
    address: Address


class UpstreamClient:
    """Pools and credentials of all providers, kept while what they depend on stays the same. One per event loop.

    `transport` makes a pool; by default the one that the settings name.
    """

    def __init__(self, transport: MakeTransport | None = None) -> None:
        self._transport = transport or transport_named(settings.GATEWAY_UPSTREAM_TRANSPORT)
        self._lines: dict[int, _Line] = {}  # by the identity of the snapshot's ProviderConf, which the line keeps alive
        self._pools: dict[tuple[str, str], _Pool] = {}
        self._places: dict[str, _Place] = {}
        self._tls: TlsContext | None = None

    async def open(
        self, provider: ProviderConf, outbound: Outbound, *, within: float = math.inf, alarm: Alarm | None = None
    ) -> Answer:
        """Sends the request and returns the answer once its head is here. Raises `Fault` for anything but 2xx.

        Nothing takes longer than the provider's own limits or `within` seconds, whichever is less. `alarm`: the task's own.
        A fetched token that the upstream refuses early is fetched anew once, and the request repeated once.
        """
        line = self._lines.get(id(provider)) or self._connect(provider)
        if line.authorizer.static_headers is not None:
            return await self._send(line, outbound, line.authorizer.static_headers, within, alarm)
        credential = await self._credential(line, outbound)
        try:
            return await self._send(line, outbound, credential, within, alarm)
        except Fault as fault:
            if not token_refused(fault.status, fault.headers):
                raise
        line.authorizer.expire(credential)
        return await self._send(line, outbound, await self._credential(line, outbound), within, alarm)

    async def _send(
        self, line: _Line, outbound: Outbound, credential: Headers, within: float, alarm: Alarm | None
    ) -> Answer:
        provider, pool = line.provider, line.pool
        place = self._place(provider.base_url + outbound.path)
        headers = _headers(place.host, outbound, credential)
        own = None if alarm is not None else Alarm()
        alarm = alarm or own
        assert alarm is not None
        stream: httpx.AsyncByteStream
        pool.busy += 1
        alarm.set(min(within, provider.connect_timeout + provider.first_byte_timeout))
        try:
            if pool.lean is not None:
                status, raw, stream = await pool.lean.ask(
                    outbound.method, place.address, headers, outbound.body, line.limits, repeatable=outbound.repeatable
                )
            else:
                request = _request(place.url, headers, outbound, provider.connect_timeout)
                status, raw, stream = _parts(await pool.transport.handle_async_request(request))
        except BaseException as error:
            late = isinstance(error, TimeoutError) or (isinstance(error, asyncio.CancelledError) and alarm.rang())
            alarm.off()
            await pool.given_back()
            if late:
                raise Fault("timeout", f"no answer within {min(within, provider.first_byte_timeout):.4g} s") from None
            if isinstance(error, httpx.TransportError):
                raise fault_of(error) from error
            raise
        finally:
            alarm.off()
            if own is not None:
                own.stop()
        return await _checked(Answer(status, raw, stream, pool), provider, opaque=outbound.opaque)

    async def _credential(self, line: _Line, outbound: Outbound) -> Headers:
        url = str(self._place(line.provider.base_url + outbound.path).url)
        try:
            return await line.authorizer.authorize(
                method=outbound.method, url=url, headers=outbound.headers, body=outbound.body
            )
        except CredentialUnavailable as error:
            raise Fault("connect", f"credential: {error}") from error

    def _place(self, text: str) -> _Place:
        found = self._places.get(text)
        if found is None:
            if len(self._places) > 1000:  # Bedrock puts model names into its paths
                self._places.clear()
            url = httpx.URL(text)
            try:
                address = Address(origin_of(url), url.raw_path)
            except httpx.UnsupportedProtocol as error:
                raise fault_of(error) from error
            found = self._places[text] = _Place(url, url.netloc, address)
        return found

    def _connect(self, provider: ProviderConf) -> _Line:
        if self._tls is None:
            self._tls = tls_context()
        key = (provider.name, provider.revision_tag)
        pool = self._pools.get(key)
        if pool is None or pool.closing:
            pool = self._pools[key] = _Pool(self._transport(provider, self._tls))
        authorizer = self._authorizer_like(provider) or authorizer_for(provider, pool.transport.handle_async_request)
        limits = Limits(connect=provider.connect_timeout, pool=provider.connect_timeout)
        line = self._lines[id(provider)] = _Line(provider, pool, authorizer, limits)
        return line

    def _authorizer_like(self, provider: ProviderConf) -> Authorizer | None:
        """The authorizer of the same provider in an earlier snapshot: its tokens are still good."""
        for line in self._lines.values():
            if line.provider == provider:
                return line.authorizer
        return None

    def refreshes(self) -> dict[int, CredentialStatus]:
        """How fetching went for the providers whose tokens are fetched, by the provider's id. Any thread may ask."""
        return {
            line.provider.id: line.authorizer.status
            for line in list(self._lines.values())
            if line.authorizer.static_headers is None and line.authorizer.status.ok is not None
        }

    async def keep_only(self, providers: Iterable[ProviderConf]) -> None:
        """Lets go of what belongs to providers that are gone or have changed. Running calls finish first."""
        known = {line.provider.name for line in self._lines.values()}
        for provider in (listed := list(providers)):
            if provider.name in known and id(provider) not in self._lines:
                self._connect(provider)  # takes over the pool and the tokens of the line before it
        current = {id(provider) for provider in listed}
        kept = {key: line for key, line in self._lines.items() if key in current}
        dropped = [line for key, line in self._lines.items() if key not in current]
        self._lines = kept
        pools = {id(line.pool) for line in kept.values()}
        authorizers = {id(line.authorizer) for line in kept.values()}
        for line in dropped:
            if id(line.authorizer) not in authorizers:
                await line.authorizer.close()
            if id(line.pool) not in pools and not line.pool.closing:
                line.pool.closing = True
                await line.pool.close_if_idle()
        self._pools = {key: pool for key, pool in self._pools.items() if not pool.closing}

    async def close(self) -> None:
        await self.keep_only(())


def _headers(host: bytes, outbound: Outbound, credential: Headers) -> Headers:
    headers = [(b"host", host), *outbound.headers, *credential]
    if outbound.body or outbound.method == "POST":
        headers.append((b"content-length", b"%d" % len(outbound.body)))
    return headers


def _request(url: httpx.URL, headers: Headers, outbound: Outbound, patience: float) -> httpx.Request:
    """The request as it goes out. httpx would look through the headers a dozen times to add some of its own."""
    extensions = {"timeout": {"connect": patience, "pool": patience}, REPEATABLE: outbound.repeatable}
    stream = httpx.ByteStream(outbound.body)
    request = httpx.Request(outbound.method, url, headers=headers, stream=stream, extensions=extensions)
    request.read()
    return request


def _parts(response: httpx.Response) -> tuple[int, Headers, httpx.AsyncByteStream]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.status_code, [(name.lower(), value) for name, value in response.headers.raw], response.stream


async def _checked(answer: Answer, provider: ProviderConf, *, opaque: bool) -> Answer:
    """The answer if it is a good one; else its `Fault`."""
    status, raw = answer.status, answer.told
    good = 200 <= status < 300
    if good and (opaque or answer.content_type != "text/html"):
        return answer
    body = b""
    try:
        patience = min(ERROR_SECONDS, provider.idle_timeout)
        async with asyncio.timeout(patience):
            body = await answer.read(MOST_ERROR_BYTES, patience)
    except (TimeoutError, httpx.TransportError):
        pass  # the status is the news; its text never came
    finally:
        await answer.close()
    if good:
        raise Fault(502, "the upstream answered with a web page", status, raw)
    raise Fault(status, f"upstream answered {status}", status, raw, body)


def fault_of(error: httpx.TransportError) -> Fault:
    """A transport's failure before an answer, in the words of `retry_on`."""
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ConnectError | httpx.UnsupportedProtocol):
        return Fault("connect", f"no connection: {text}")
    if isinstance(error, httpx.TimeoutException):
        return Fault("timeout", f"no answer: {text}")
    return Fault("connect", f"the connection broke: {text}")
