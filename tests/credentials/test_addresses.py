"""An upstream's address cannot lead into the private network, whatever its name resolves to."""

import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from routing.proxy.addresses import AddressRefused, CheckedResolver, check_literal

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"


class Answers(AbstractResolver):
    """Resolves every name to the addresses that it was made with."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
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
        self.closed = True


async def resolved(*addresses: str, allow_private: bool = False) -> list[str]:
    resolver = CheckedResolver(allow_private, Answers(*addresses))
    return [result["host"] for result in await resolver.resolve("upstream.example", 443)]


async def test_public_addresses_pass_as_they_came() -> None:
    assert await resolved(PUBLIC, PUBLIC_6) == [PUBLIC, PUBLIC_6]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
async def test_a_name_that_resolves_into_the_private_network_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"upstream\.example resolves to no public address"):
        await resolved(address)


async def test_of_a_mixed_answer_only_public_addresses_are_used() -> None:
    assert await resolved("127.0.0.1", PUBLIC, "fd00::1") == [PUBLIC]


async def test_a_provider_that_allows_private_addresses_reaches_them() -> None:
    assert await resolved("127.0.0.1", PUBLIC, allow_private=True) == ["127.0.0.1", PUBLIC]


async def test_the_resolver_underneath_is_closed_too() -> None:
    inner = Answers(PUBLIC)
    await CheckedResolver(False, inner).close()
    assert inner.closed


async def test_the_system_resolver_is_asked_and_checked() -> None:
    with pytest.raises(AddressRefused):
        await CheckedResolver(False).resolve("localhost", 80)
    found = await CheckedResolver(True).resolve("localhost", 80)
    assert {result["host"] for result in found} <= {"127.0.0.1", "::1"}


async def test_a_refused_name_is_never_connected_to() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="private")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        for allow_private, served in ((True, 1), (False, 1)):
            connector = aiohttp.TCPConnector(resolver=CheckedResolver(allow_private, Answers("127.0.0.1")))
            async with aiohttp.ClientSession(connector=connector) as session:
                if allow_private:
                    assert await (await session.get(f"http://upstream.example:{port}/")).text() == "private"
                else:
                    with pytest.raises(aiohttp.ClientConnectorError) as caught:
                        await session.get(f"http://upstream.example:{port}/")
                    assert isinstance(caught.value.os_error, AddressRefused)
            assert len(seen) == served
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("url", ["https://api.example.com/v1", f"https://{PUBLIC}/", f"https://[{PUBLIC_6}]:8443/"])
def test_names_and_public_literals_pass(url: str) -> None:
    check_literal(url, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
    ],
)
def test_a_private_literal_is_refused_unless_the_provider_allows_it(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_literal(url, allow_private=False)
    check_literal(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http:///path",
        "no address",
        "http://[::1/",
        "http://%3127.0.0.1/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127\u30020.0.1/",
        "http://[fe80::1%25eth0]/",
        "http://\u24db\u24de\u24d2alhost/",
    ],
)
def test_a_host_that_could_turn_into_another_one_is_refused(url: str) -> None:
    """Libraries normalise such hosts after the check: to digits, to dots, to ASCII letters."""
    for allow_private in (True, False):
        with pytest.raises(AddressRefused):
            check_literal(url, allow_private)
