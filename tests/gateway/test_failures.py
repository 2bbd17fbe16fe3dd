"""Every way in which an upstream can fail, for clients of every format: what they see, how often the upstream is called."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import Answer, Die, FakeProvider, Hang, error, raw, reply, stream
from tests.gateway.bodies import BLOCK, START, delta
from tests.gateway.conftest import make_provider
from tests.harness import Config, Gateway, Reply, Template, alias, provider_entry, route, standard_config, target
from tests.pairs.asking import assert_shape
from tests.pairs.clients import ask_plainly, begin_plainly, plain
from tests.pairs.reading import read

FORMATS = (ANTHROPIC, BEDROCK, VERTEX)
ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
PAGE = b"<html><body>Sign in to the network</body></html>"


@dataclass(frozen=True, slots=True)
class Failure:
    """What the first target does, and what a client is told when there is no other one: (status, type, Bedrock's name).

    `calls` is how many of two allowed calls a lone target gets; `provider` is the account whose address fails by itself.
    """

    answer: Answer | None
    told: dict[str, tuple[int, str]]
    name: str
    calls: int = 2
    provider: str = "first"
    status: int = 0
    retry_after: str = ""


def _busy(status: int, kind: str = "api_error", seconds: str = "") -> Answer:
    return reply(status, error(kind, "busy"), [("retry-after", seconds)] if seconds else [])


def _told(anthropic: int, bedrock: int, vertex: int, kind: str) -> dict[str, tuple[int, str]]:
    return {ANTHROPIC: (anthropic, kind), BEDROCK: (bedrock, kind), VERTEX: (vertex, kind)}


FAULT, LATE = _told(502, 500, 502, "api_error"), _told(504, 408, 504, "timeout_error")
LIMITED = _told(429, 429, 429, "rate_limit_error")
INTERNAL, SLOW, THROTTLED = "InternalServerException", "ModelTimeoutException", "ThrottlingException"
UNAVAILABLE = "ServiceUnavailableException"
FAILURES = {
    "refused-connection": Failure(None, FAULT, INTERNAL, provider="dead"),
    "slow-connect": Failure(None, FAULT, INTERNAL, provider="stuck"),
    "silence": Failure(raw(Hang()), LATE, SLOW),
    "429-short": Failure(_busy(429, "rate_limit_error", "1"), LIMITED, THROTTLED, status=429, retry_after="1"),
    "429-long": Failure(_busy(429, "rate_limit_error", "40"), LIMITED, THROTTLED, 1, status=429, retry_after="40"),
    "500": Failure(_busy(500), _told(500, 500, 500, "api_error"), INTERNAL, status=500),
    "502": Failure(_busy(502), _told(502, 500, 500, "api_error"), INTERNAL, status=502),
    "503": Failure(_busy(503), _told(503, 503, 529, ""), UNAVAILABLE, status=503),
    "529": Failure(_busy(529, "overloaded_error"), _told(529, 503, 529, "overloaded_error"), UNAVAILABLE, status=529),
    "html": Failure(reply(200, PAGE, content_type="text/html"), FAULT, INTERNAL, status=200),
}
EACH = pytest.mark.parametrize("failure", FAILURES)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])


def asked_for(kind: str, failure: str, client: str) -> str:
    """The name by which a client of a format asks for a route of its own."""
    return {BEDROCK: f"us.anthropic.claude-{kind}-{failure}-v1:0", VERTEX: f"claude-{kind}-{failure}@20260101"}.get(
        client, f"claude-{kind}-{failure}"
    )


def model_of(kind: str, failure: str, client: str) -> str:
    return f"model-{kind}-{failure}-{client}"


def config(first: str, second: str, stuck: str) -> Config:
    """For each failure and client a route with the failing target alone, and one with a second target behind it."""
    made = standard_config(first)
    hasty = {"connect_timeout": 0.2, "first_byte_timeout": 0.3, "idle_timeout": 2}
    urls = {"first": first, "second": second, "dead": "http://127.0.0.1:9", "stuck": stuck}
    made.providers += [provider_entry(name, url, **hasty) for name, url in urls.items()]
    for name, failure in {**FAILURES, "death": Failure(None, {}, "")}.items():
        for client in FORMATS:
            for kind in ("lone", "pair"):
                model = model_of(kind, name, client)
                targets = [target(failure.provider, model)]
                targets += [target("second", f"{model}-2", 1)] if kind == "pair" else []
                made.routes.append(route(f"{kind}-{name}-{client}", *targets, max_attempts=2))
                made.aliases.append(alias(asked_for(kind, name, client), f"{kind}-{name}-{client}"))
    return made


def stuck_port(stack: ExitStack) -> int:
    """A port on this machine at which no connection comes about and none is refused: its queue is full."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = int(listener.getsockname()[1])
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
    return port


@dataclass(frozen=True, slots=True)
class Scene:
    gateway: Gateway
    first: FakeProvider
    second: FakeProvider

    def calls(self, model: str) -> int:
        received = [*self.first.received, *self.second.received]
        return sum(request.json["model"] == model for request in received)

    def ask(self, kind: str, failure: str, client: str, *, streamed: bool) -> Reply:
        path, body = plain(client, asked_for(kind, failure, client), ASK, stream=streamed)
        return ask_plainly(self.gateway.port, path, body)


@pytest.fixture(scope="module")
def running(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        first, second = stack.enter_context(make_provider()), stack.enter_context(make_provider())
        content = config(first.url, second.url, f"http://127.0.0.1:{stuck_port(stack)}")
        gateway = stack.enter_context(Gateway(template, tmp_path_factory.mktemp("failures"), content))
        yield Scene(gateway, first, second)


@pytest.fixture
def scene(running: Scene) -> Iterator[Scene]:
    for provider in (running.first, running.second):
        provider.reset()
    yield running
    assert running.first.violations == running.second.violations == []


def arrange(scene: Scene, kind: str, failure: str, client: str) -> Failure:
    found = FAILURES[failure]
    if found.answer is not None:
        scene.first.on_model(model_of(kind, failure, client), found.answer)
    return found


@EACH
@EACH_CLIENT
@STREAMED
def test_a_lone_targets_failure_is_told_in_the_clients_format(
    failure: str, client: str, streamed: bool, scene: Scene
) -> None:
    found = arrange(scene, "lone", failure, client)
    answer = scene.ask("lone", failure, client, streamed=streamed)
    status, kind = found.told[client]
    assert_shape(answer, client, status, kind, found.name)
    assert answer.value("retry-after") == found.retry_after
    assert b"html" not in answer.body
    record = scene.gateway.record(answer.value("request-id"))
    assert (record["outcome"], record["status"]) == ("upstream_error", status)
    assert [attempt["status"] for attempt in record["attempts"]] == [found.status] * found.calls
    assert all(attempt["error"] for attempt in record["attempts"])
    if found.provider == "first":
        assert scene.calls(model_of("lone", failure, client)) == found.calls


@EACH
@EACH_CLIENT
def test_a_second_target_serves_and_the_client_notices_nothing(failure: str, client: str, scene: Scene) -> None:
    found = arrange(scene, "pair", failure, client)
    answer = scene.ask("pair", failure, client, streamed=False)
    assert answer.status == 200
    assert answer.json["content"]
    record = scene.gateway.record(answer.value("request-id"))
    model = model_of("pair", failure, client)
    seen = [(attempt["provider"], attempt["model"], attempt["status"]) for attempt in record["attempts"]]
    assert seen == [(found.provider, model, found.status), ("second", f"{model}-2", 200)]
    assert (record["outcome"], record["provider"]) == ("served", "second")
    assert (scene.calls(model), scene.calls(f"{model}-2")) == (found.provider == "first", 1)


@EACH_CLIENT
@pytest.mark.parametrize("how", ["reset", "fin"])
def test_death_in_mid_stream_is_an_error_event_and_nobody_else_is_called(client: str, how: str, scene: Scene) -> None:
    model = model_of("pair", "death", client)
    scene.first.on_model(model, stream(START, BLOCK, delta("x"), Die("reset" if how == "reset" else "fin")))
    path, body = plain(client, asked_for("pair", "death", client), ASK, stream=True)
    with scene.gateway.client() as connection:
        begin_plainly(connection, path, body)
        head = connection.head()
        events = read(client, connection.rest())
    assert head.status == 200
    assert [kind for kind, _ in events][:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert events[-1][0] == ("exception" if client == BEDROCK else "error")
    record = scene.gateway.record(head.value("request-id"))
    assert (record["outcome"], record["reason"], record["error"]["type"]) == (
        "upstream_error",
        "stream_broken" if how == "reset" else record["reason"],
        "api_error",
    )
    assert [attempt["status"] for attempt in record["attempts"]] == [200]
    assert (scene.calls(model), scene.calls(f"{model}-2")) == (1, 0)


TOLD = {
    "no text": (reply(503, PAGE, content_type="text/html"), "overloaded_error"),
    "half an answer": (
        raw(b"HTTP/1.1 200 Any\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{", Hang()),
        "timeout_error",
    ),
    "no answer of the API": (reply(200, b"[1]"), "api_error"),
}


@EACH_CLIENT
@pytest.mark.parametrize("failure", TOLD)
def test_the_record_has_the_status_and_the_error_that_the_client_was_told(
    failure: str, client: str, scene: Scene
) -> None:
    sent, kind = TOLD[failure]
    if client == ANTHROPIC and failure == "no answer of the API":
        pytest.skip("between equal formats an answer passes as it came")
    scene.first.on_model(model_of("lone", "silence", client), sent)
    answer = scene.ask("lone", "silence", client, streamed=False)
    assert answer.json["error"]["type"] == kind
    record = scene.gateway.record(answer.value("request-id"))
    assert (record["status"], record["error"]["type"]) == (answer.status, kind)
