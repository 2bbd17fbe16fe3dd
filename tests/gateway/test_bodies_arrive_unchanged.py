"""Whatever JSON a client sends arrives at the provider byte for byte, but for the value of `model`."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fake_provider import FakeProvider, reply
from tests.gateway.bodies import assert_error, encoded, message
from tests.gateway.json_text import STRING, VALUE, Body, bodies
from tests.harness import Gateway, Reply, send

REQUESTS = sorted((Path(__file__).resolve().parent.parent / "data" / "anthropic").glob("request-*.json"))
RENAMED, SAME, TARGET = "claude-alias", "claude-same", "claude-upstream-20260101"
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def exchange(gateway: Gateway, provider: FakeProvider, body: bytes) -> tuple[Reply, bytes | None]:
    """The client's answer, and the body that the provider got, if any."""
    provider.reset()
    provider.on_model(TARGET, reply(200, message()))
    provider.on_model(SAME, reply(200, message()))
    with gateway.client() as client:
        send(client, body)
        answer = client.reply()
    assert provider.violations == []
    return answer, provider.received[-1].body if provider.received else None


@MANY
@given(body=bodies(RENAMED))
def test_only_the_value_of_model_is_replaced(shared_gateway: Gateway, first_provider: FakeProvider, body: Body) -> None:
    answer, arrived = exchange(shared_gateway, first_provider, body.text)
    assert (answer.status, arrived) == (200, body.renamed(TARGET))


@MANY
@given(body=bodies(SAME))
def test_body_is_untouched_when_the_names_are_equal(
    shared_gateway: Gateway, first_provider: FakeProvider, body: Body
) -> None:
    answer, arrived = exchange(shared_gateway, first_provider, body.text)
    assert (answer.status, arrived) == (200, body.text)


ESCAPED_KEYS = ['"mod\\u0065l"', '"\\u006dodel"', '"\\u006d\\u006f\\u0064\\u0065\\u006c"', '"\\u006Dodel"']


@MANY
@given(key=st.sampled_from(ESCAPED_KEYS), field=STRING, value=VALUE, first=st.booleans())
def test_escaped_model_key_is_refused_or_replaced_all_the_same(
    shared_gateway: Gateway, first_provider: FakeProvider, key: str, field: str, value: str, first: bool
) -> None:
    members = [f'{key}: "{RENAMED}"', f'"other {field[1:]}: {value}']
    body = ("{" + ",".join(members if first else members[::-1]) + "}").encode()
    answer, arrived = exchange(shared_gateway, first_provider, body)
    if answer.status == 400:
        assert_error(answer, 400, "invalid_request_error")
        assert arrived is None
    else:
        assert answer.status == 200
        assert arrived is not None
        assert json.loads(arrived) == {**json.loads(body), "model": TARGET}


DOUBLED = [
    '{"model":"claude-alias","model":"claude-same"}',
    '{"model":"claude-same","x":1,"model":"claude-alias"}',
    '{"model":"claude-alias","mod\\u0065l":"claude-same"}',
    '{"mod\\u0065l":"claude-same","model":"claude-alias"}',
    '{"\\u006dodel":"claude-same","x":{"model":"y"},"model":"claude-alias"}',
    '{"model":"claude-alias","model":"claude-alias"}',
]


@pytest.mark.parametrize("text", DOUBLED)
def test_doubled_model_cannot_mean_two_things(text: str, gateway: Gateway, provider: FakeProvider) -> None:
    answer, arrived = exchange(gateway, provider, text.encode())
    if answer.status == 400:
        assert_error(answer, 400, "invalid_request_error")
        assert arrived is None
        return
    assert answer.status == 200
    assert arrived is not None
    pairs = json.loads(arrived, object_pairs_hook=list)
    assert [key for key, _ in pairs].count("model") == 1


def test_half_a_surrogate_pair_passes_or_is_refused_cleanly(gateway: Gateway, provider: FakeProvider) -> None:
    body = b'{"model":"claude-alias","messages":"\\ud800"}'
    answer, arrived = exchange(gateway, provider, body)
    if answer.status == 400:
        assert_error(answer, 400, "invalid_request_error")
    else:
        assert arrived == body.replace(b"claude-alias", TARGET.encode())


def test_body_of_many_megabytes_arrives_unchanged(gateway: Gateway, provider: FakeProvider) -> None:
    filler = '€ uro and \\" quotes ' * 400_000
    body = encoded({"model": RENAMED, "max_tokens": 5, "messages": [{"role": "user", "content": filler}]})
    answer, arrived = exchange(gateway, provider, body)
    assert answer.status == 200
    assert arrived == body.replace(RENAMED.encode(), TARGET.encode(), 1)


def test_count_tokens_body_arrives_with_its_model_replaced(gateway: Gateway, provider: FakeProvider) -> None:
    body = b'{ "messages" : [{"role":"user","content":"x"}] ,"tools":[],  "model" : "claude-alias"}'
    answer = gateway.post(body, "/v1/messages/count_tokens")
    assert answer.status == 200
    assert provider.received[-1].body == body.replace(b"claude-alias", TARGET.encode())


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_golden_request(path: Path, gateway: Gateway, provider: FakeProvider) -> None:
    body = path.read_bytes()
    answer, arrived = exchange(gateway, provider, body)
    assert answer.status == 200
    assert arrived == body.replace(b"claude-alias", TARGET.encode())


def test_model_is_replaced_for_every_attempt_from_the_clients_own_bytes(
    gateway: Gateway, provider: FakeProvider, second: FakeProvider
) -> None:
    provider.script(reply(503, b"busy"))
    second.on_model("claude-second", reply(200, message()))
    body = b'{"x": {"model":"claude-two"}, "model":"claude-two", "max_tokens":1}'
    assert gateway.post(body).status == 200
    assert provider.received[-1].body == b'{"x": {"model":"claude-two"}, "model":"claude-first", "max_tokens":1}'
    assert second.received[-1].body == b'{"x": {"model":"claude-two"}, "model":"claude-second", "max_tokens":1}'
