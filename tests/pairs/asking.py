"""Plain requests of every format through the running gateway, and the shape in which errors have to come back."""

from typing import Any

from routing.formats.base import BEDROCK
from tests.fake_provider.bedrock import ACCOUNT
from tests.fake_provider.vertex import PROJECT
from tests.harness import KEYS, Client, Gateway, Reply
from tests.pairs.clients import ask_plainly, plain
from tests.pairs.conftest import Upstreams


def asked(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"max_tokens": 16, "messages": [{"role": "user", "content": text}], **fields}


def ask(
    gateway: Gateway,
    client: str,
    model: str,
    request: dict[str, Any],
    *,
    stream: bool = False,
    key: str = KEYS["main"],
    headers: Any = (),
) -> Reply:
    path, body = plain(client, model, request, stream=stream)
    return ask_plainly(gateway.port, path, body, key=key, headers=headers)


def assert_shape(answer: Reply, client: str, status: int, kind: str = "", name: str = "") -> str:
    """The error body that clients of the format read; returns its text."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.value("content-type").startswith("application/json")
    body = answer.json
    assert body["type"] == "error"
    assert body["request_id"] == answer.value("request-id")
    assert body["request_id"].startswith("req_")
    assert body["error"]["message"]
    if kind:
        assert body["error"]["type"] == kind
    if client == BEDROCK:
        assert body["message"] == body["error"]["message"]  # boto3 reads the one, Claude Code the other
        assert answer.value("x-amzn-requestid") == body["request_id"]
        assert answer.value("x-amzn-errortype").isalnum()
        assert name in ("", answer.value("x-amzn-errortype"))
    text: str = body["error"]["message"]
    return text


def assert_nothing_of_the_account(answer: Reply, upstreams: Upstreams) -> None:
    told = answer.body.decode() + "\n".join(f"{name}: {value}" for name, value in answer.headers)
    ports = [f":{provider.port}" for provider in upstreams.providers.values()]
    for text in (ACCOUNT, PROJECT, "arn:", "req_vrtx", "aws1", "req_upstream", "set-cookie", "via:", *ports):
        assert text not in told, text


def get(gateway: Gateway, path: str, *, method: str = "GET", key: str = KEYS["main"]) -> Reply:
    with Client(gateway.port) as client:
        client.request(method, path, [("authorization", f"Bearer {key}")] if key else [])
        return client.reply()


def served(gateway: Gateway, path: str, body: bytes) -> Reply:
    answer = ask_plainly(gateway.port, path, body)
    assert answer.status == 200, (path, answer.body)
    assert answer.values("location") == []
    return answer
