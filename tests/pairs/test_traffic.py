"""Size, number and pace across formats: large bodies, bursts of counts, readers that are slow, versions of the API."""

import json

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import Repeat
from tests.fake_provider.bedrock import invoke_body, of_frames
from tests.fake_provider.frames import chunk
from tests.formats.golden import FORMATS, PAIRS, golden
from tests.harness import Gateway, wait_until
from tests.harness.formats import OLDER, name_for
from tests.pairs.clients import Sdk, ask_plainly, begin_plainly, plain, plain_count, stream_bytes
from tests.pairs.conftest import Upstreams

ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)


@EACH_PAIR
def test_bodies_of_megabytes(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    text = 'ünïcödé and "quotes" \\ ' * 120_000
    path, body = plain(client, name_for(client, upstream), {**ASK, "system": text})
    assert len(body) > 3_000_000
    answer = ask_plainly(gateway.port, path, body)
    assert answer.status == 200, answer.body[:500]
    assert invoke_body(upstreams[upstream].received[0])["system"] == text


@EACH_PAIR
def test_a_burst_of_counts(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    """Claude Code sends some thirty at once."""
    path, body = plain_count(client, name_for(client, upstream), ASK)
    connections = [gateway.client() for _ in range(30)]
    for connection in connections:
        begin_plainly(connection, path, body)
    for connection in connections:
        answer = connection.reply()
        assert answer.status == 200, answer.body
        assert answer.json["inputTokens" if client == BEDROCK else "input_tokens"] > 0
        connection.leave()
    assert len(upstreams[upstream].received) == 30


@pytest.mark.parametrize("client", FORMATS)
def test_a_slow_reader_stops_the_reading_of_frames(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    frames = stream_bytes(BEDROCK, golden("text").events)
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 4000}}
    upstreams[BEDROCK].script(of_frames(*frames[:2], Repeat(chunk(delta))))
    path, body = plain(client, name_for(client, BEDROCK), ASK, stream=True)
    with gateway.client(receive_buffer=4096) as connection:
        begin_plainly(connection, path, body)
        assert connection.head().status == 200
        request = upstreams[BEDROCK].wait_received()[-1]
        assert request.stalled.wait(20)
        counts: list[int] = []

        def at_rest() -> bool:
            counts.append(request.sent)
            return request.stalled.is_set() and len(counts) > 20 and counts[-20] == request.sent

        wait_until(at_rest, timeout=20, what="the upstream comes to rest")
        assert request.sent < 16 * 1024 * 1024  # what sockets hold, and nothing that grows
        connection.leave()
    upstreams[BEDROCK].wait_closed(request)


# Versions of the API


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_older_models_of_bedrock_get_the_version_that_they_know(
    client: str, sdks: dict[str, Sdk], upstreams: Upstreams
) -> None:
    for model in ("claude-older", name_for(client, BEDROCK)):
        sdks[client].messages.create(model=model, max_tokens=16, messages=ASK["messages"])
    older, newer = (json.loads(request.body)["anthropic_version"] for request in upstreams[BEDROCK].received)
    assert (older, newer) == ("bedrock-2023-05-31", "2026-10-21")


def test_bedrocks_own_clients_say_their_version_themselves(gateway: Gateway, upstreams: Upstreams) -> None:
    path, body = plain(BEDROCK, OLDER, {**ASK, "anthropic_version": "2026-10-21"})
    answer = ask_plainly(gateway.port, path, body)
    assert (answer.status, answer.value("x-amzn-errortype")) == (400, "ValidationException")
    assert "anthropic_version" in answer.json["message"]


@pytest.mark.parametrize(
    ("client", "sent", "arrives"),
    [
        (BEDROCK, "bedrock-2023-05-31", {ANTHROPIC: "2023-06-01", VERTEX: "vertex-2023-10-16"}),
        (VERTEX, "vertex-2023-10-16", {ANTHROPIC: "2023-06-01", BEDROCK: "bedrock-2023-05-31"}),
        (BEDROCK, "2026-10-21", {ANTHROPIC: "2026-10-21", VERTEX: "2026-10-21"}),
        (VERTEX, "2026-10-21", {ANTHROPIC: "2026-10-21", BEDROCK: "2026-10-21"}),
    ],
)
def test_versions_across_formats(
    client: str, sent: str, arrives: dict[str, str], gateway: Gateway, upstreams: Upstreams
) -> None:
    for upstream, wanted in arrives.items():
        path, body = plain(client, name_for(client, upstream), {**ASK, "anthropic_version": sent})
        assert ask_plainly(gateway.port, path, body).status == 200
        (request,) = upstreams[upstream].received
        found = request.value("anthropic-version") if upstream == ANTHROPIC else request.json["anthropic_version"]
        assert found == wanted
        assert (upstream == ANTHROPIC) == bool(request.value("anthropic-version"))
