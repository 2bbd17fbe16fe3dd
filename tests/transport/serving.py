"""An upstream of bare sockets, each of whose connections runs a script, and the means to ask it through a transport."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Self

import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from routing.proxy.transports import TlsContext, tls_context, transport_named
from routing.proxy.transports.lean import LeanTransport
from routing.targets import CredentialConf, ProviderConf

PLAIN = ProviderConf(
    1, "tested", "anthropic", "http://127.0.0.1:1", CredentialConf("none"), allow_private_addresses=True
)


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.gone = asyncio.Event()

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: its head and its body. Raises IncompleteReadError if the connection ends first."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return head, await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, data: bytes) -> None:
        """Takes one request, answers it."""
        await self.request()
        await self.say(data)

    async def left(self) -> None:
        """Returns when the other side has closed the connection."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass
        self.gone.set()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Runs `script` for each connection and closes it when the script ends. `peers` are the connections so far."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls, self.host = tls, host
        self.script: Script = Peer.left
        self.peers: list[Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            sock = peer.writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:  # asyncio's transport fails if it is aborted when it is over
                peer.writer.transport.abort()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def connections(self, count: int) -> None:
        """Returns when so many have come."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.peers) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        peer = Peer(reader, writer)
        async with self._changed:
            self.peers.append(peer)
            self._changed.notify_all()
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.script(peer)
            peer.close()
        except asyncio.CancelledError:
            writer.transport.abort()


class Names(AbstractResolver):
    """Answers every name with the same addresses, and counts how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


class Ask:
    """A transport towards `server`. Its answers are closed, and the transport too, when the block ends."""

    def __init__(
        self,
        name: str,
        server: Server,
        tls: TlsContext | None = None,
        names: AbstractResolver | None = None,
        **conf: Any,
    ) -> None:
        provider = replace(PLAIN, **{"base_url": server.url, **conf})
        self.url = provider.base_url
        tls = tls or tls_context()
        if names is not None:
            self.transport: httpx.AsyncBaseTransport = LeanTransport(provider, tls, names)
        else:
            self.transport = transport_named(name)(provider, tls)
        self.answers: list[httpx.Response] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for answer in self.answers:
            with contextlib.suppress(httpx.HTTPError):
                await answer.aclose()
        await self.transport.aclose()

    async def open(
        self, body: bytes = b"{}", *, method: str = "POST", path: str = "/v1/messages", **extensions: Any
    ) -> httpx.Response:
        """The answer with its head here. `extensions` are those of the request, `timeout` with 10 s by default."""
        timeout = {"connect": 10.0, "pool": 10.0} | extensions.pop("timeout", {})
        request = httpx.Request(
            method,
            self.url + path,
            headers={"content-type": "application/json"},
            content=body if method == "POST" else None,
            extensions={"timeout": timeout, **extensions},
        )
        async with asyncio.timeout(20):
            answer = await self.transport.handle_async_request(request)
        self.answers.append(answer)
        return answer

    async def __call__(self, body: bytes = b"{}", **options: Any) -> bytes:
        """The whole body of the answer."""
        answer = await self.open(body, **options)
        return await whole(answer)


def chunks_of(answer: httpx.Response) -> Any:
    """The body's pieces, as they are handed over."""
    stream = answer.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    return stream.__aiter__()


async def whole(answer: httpx.Response) -> bytes:
    async with asyncio.timeout(20):
        body = b"".join([chunk async for chunk in chunks_of(answer)])
    await answer.aclose()
    return body


def sized(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer of known length."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*parts: bytes, trailers: bytes = b"") -> bytes:
    """A whole answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"
