"""TLS names and authorities, address rules, IPv6."""

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from routing.proxy.addresses import AddressRefused
from routing.proxy.transports import TlsContext, tls_context, transport_named
from tests.harness.tls import write_certificate
from tests.transport.serving import PLAIN, Ask, Names, Peer, Server, chunks_of, sized, whole


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path)


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> TlsContext:
    return tls_context(str(certificate))


async def serve_all(peer: Peer) -> None:
    while True:
        _, body = await peer.request()
        await peer.say(sized(body))


@pytest.mark.parametrize("size", [2, 200_000, 3_000_000])
async def test_tls_with_the_right_name(size: int, name: str, certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = serve_all
        async with Ask(name, server, trusting(certificate)) as ask:
            for _ in range(3):
                assert await ask(b"x" * size) == b"x" * size
        assert len(server.peers) == 1


async def test_tls_with_another_name_is_refused(name: str, certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = serve_all
        async with Ask(name, server, trusting(certificate), base_url=f"https://localhost:{server.port}") as ask:
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await ask()


async def test_tls_with_an_unknown_authority_is_refused(name: str, certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = serve_all
        async with Ask(name, server) as ask:
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await ask()


async def test_a_name_is_checked_on_the_address_that_it_was_pinned_to(certificate: Path) -> None:
    """The address comes from the resolver, the name that is checked from the configuration."""
    async with Server(serving(certificate)) as server:
        server.script = serve_all
        url = f"https://upstream.example:{server.port}"
        async with Ask("lean", server, trusting(certificate), Names("127.0.0.1"), base_url=url) as ask:
            with pytest.raises(httpx.ConnectError, match=r"upstream\.example"):
                await ask()


async def test_an_upstream_that_speaks_no_tls(name: str, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server.script = script
    async with Ask(name, server, base_url=server.url.replace("http:", "https:")) as ask:
        with pytest.raises(httpx.ConnectError):
            await ask()


async def test_a_handshake_that_never_ends_is_given_up(name: str, server: Server) -> None:
    async with Ask(name, server, base_url=server.url.replace("http:", "https:")) as ask:
        with pytest.raises(httpx.ConnectTimeout):
            await ask(timeout={"connect": 0.1, "pool": 0.1})


async def test_a_session_is_taken_up_again(certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = lambda peer: peer.answer(sized(b"good", b"connection: close"))
        async with Ask("lean", server, trusting(certificate)) as ask:
            for _ in range(3):
                assert await ask() == b"good"
    resumed = [peer.writer.get_extra_info("ssl_object").session_reused for peer in server.peers]
    assert resumed == [False, True, True]


async def test_a_session_is_for_the_name_that_it_began_with(certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = serve_all
        tls = trusting(certificate)
        async with Ask("lean", server, tls) as ask:
            await ask()
        async with Ask("lean", server, tls, base_url=f"https://localhost:{server.port}") as ask:
            with pytest.raises(httpx.ConnectError):
                await ask()


async def test_a_slow_reader_over_tls_gets_all_of_it(name: str, certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = lambda peer: peer.answer(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 5_000_000)
        async with Ask(name, server, trusting(certificate)) as ask:
            assert len(await whole(await ask.open())) == 5_000_000


async def test_an_early_end_over_tls_is_an_error(name: str, certificate: Path) -> None:
    async with Server(serving(certificate)) as server:
        server.script = lambda peer: peer.answer(sized(b"0123456789")[:-1])
        async with Ask(name, server, trusting(certificate)) as ask:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                async for _ in chunks_of(await ask.open()):
                    pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://169.254.169.254", "http://10.0.0.1"])
async def test_a_private_literal_gets_no_transport(url: str, name: str) -> None:
    from dataclasses import replace

    with pytest.raises(AddressRefused):
        transport_named(name)(replace(PLAIN, base_url=url, allow_private_addresses=False), tls_context())


async def test_a_name_with_a_private_address_is_never_connected_to(name: str, server: Server) -> None:
    url = f"http://localhost:{server.port}"
    async with Ask(name, server, base_url=url, allow_private_addresses=False) as ask:
        with pytest.raises(httpx.ConnectError, match="no public address"):
            await ask()
    assert not server.peers


async def test_lean_checks_a_literal_of_a_later_request_too(server: Server) -> None:
    async with Ask("lean", server, base_url="http://upstream.example", allow_private_addresses=False) as ask:
        ask.url = server.url
        with pytest.raises(httpx.ConnectError, match="not a public address"):
            await ask()
    assert not server.peers


async def test_another_scheme_is_refused(name: str, server: Server) -> None:
    async with Ask(name, server) as ask:
        ask.url = "ftp://127.0.0.1"
        with pytest.raises((httpx.UnsupportedProtocol, httpx.ConnectError)):
            await ask()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6(name: str) -> None:
    async with Server(host="::1") as server:
        server.script = serve_all
        async with Ask(name, server) as ask:
            assert await ask(b"six") == b"six"
