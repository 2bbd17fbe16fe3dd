"""What the gateway itself refuses, in the words and with the headers that clients act on."""

import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask, assert_error
from tests.harness import KEYS, Gateway


@pytest.mark.parametrize(("key", "model"), [("narrow", "claude-alias"), ("beta", "claude-two")])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_model_that_is_not_allowed_is_blocked_once_and_for_all(
    key: str, model: str, path: str, gateway: Gateway, provider: FakeProvider
) -> None:
    reply = gateway.post(ask(model=model), path, key=KEYS[key])
    text = assert_error(reply, 400, "policy_blocked")
    assert model in text
    assert provider.received == []
    record = gateway.record(reply.value("request-id"))
    assert (record["outcome"], record["alias"], record["status"]) == ("refused", model, 400)
    assert record["reason"]
    assert record["attempts"] == []


def test_key_within_its_models_is_served(gateway: Gateway) -> None:
    assert gateway.post(ask(model="claude-same"), key=KEYS["narrow"]).status == 200


def test_unknown_model_is_not_found_and_the_nearest_name_is_offered(gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(ask(model="claude-sane"))
    text = assert_error(reply, 404, "not_found_error")
    assert "claude-sane" in text
    assert "claude-same" in text
    assert provider.received == []
    record = gateway.record(reply.value("request-id"))
    assert (record["outcome"], record["alias"]) == ("refused", "claude-sane")


def test_names_of_other_teams_models_are_not_offered(gateway: Gateway) -> None:
    reply = gateway.post(ask(model="claude-hast"), key=KEYS["narrow"])
    assert reply.status in (400, 404)
    assert "claude-hasty" not in reply.body.decode()


def test_name_may_fit_a_pattern(gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(ask(model="claude-pattern-20991231"))
    assert reply.status == 200
    assert provider.received[-1].json["model"] == "claude-pattern"
    record = gateway.record(reply.value("request-id"))
    assert (record["alias"], record["upstream_model"]) == ("claude-pattern-20991231", "claude-pattern")


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/"), ("HEAD", "/api/hello"), ("GET", "/api/hello")])
def test_warm_up_is_answered_without_a_key(method: str, path: str, gateway: Gateway) -> None:
    reply = gateway.get(path, key="", method=method)
    assert reply.status == 200
    assert reply.body == b"" or method == "GET"


@pytest.mark.parametrize("path", ["/v1/models", "/anthropic/v1/models", "//v1/models", "/v1/models?limit=1000"])
def test_models_are_those_that_the_key_may_use(path: str, gateway: Gateway) -> None:
    everything = [model["id"] for model in gateway.get(path).json["data"]]
    assert {"claude-same", "claude-alias", "claude-two"} <= set(everything)
    assert not [name for name in everything if "*" in name]
    assert [model["id"] for model in gateway.get(path, key=KEYS["narrow"]).json["data"]] == ["claude-same"]
    beta = [model["id"] for model in gateway.get(path, key=KEYS["beta"]).json["data"]]
    assert sorted(beta) == ["claude-alias", "claude-same"]


def test_models_are_paged_as_upstream_pages_them(gateway: Gateway) -> None:
    everything = gateway.get("/v1/models?limit=1000").json
    ids = [model["id"] for model in everything["data"]]
    assert (everything["has_more"], everything["first_id"], everything["last_id"]) == (False, ids[0], ids[-1])
    page = gateway.get("/v1/models?limit=2").json
    assert [model["id"] for model in page["data"]] == ids[:2]
    assert (page["has_more"], page["last_id"]) == (True, ids[1])
    after = gateway.get(f"/v1/models?limit=2&after_id={ids[1]}").json
    assert [model["id"] for model in after["data"]] == ids[2:4]
    before = gateway.get(f"/v1/models?limit=1&before_id={ids[1]}").json
    assert [model["id"] for model in before["data"]] == ids[:1]
    assert {"id", "type", "display_name", "created_at"} <= page["data"][0].keys()
    assert page["data"][0]["type"] == "model"


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=1001", "limit=x"])
def test_wrong_page_size_is_refused(query: str, gateway: Gateway) -> None:
    assert_error(gateway.get(f"/v1/models?{query}"), 400, "invalid_request_error")


def test_one_model(gateway: Gateway) -> None:
    found = gateway.get("/v1/models/claude-same")
    assert (found.status, found.json["id"], found.json["display_name"]) == (200, "claude-same", "Claude Same")
    assert_error(gateway.get("/v1/models/claude-alias", key=KEYS["narrow"]), 404, "not_found_error")
    assert_error(gateway.get("/v1/models", key="wrong"), 401, "authentication_error")


def test_no_gateway_answer_redirects(gateway: Gateway) -> None:
    for path in (
        "/v1/messages/",
        "/v1/models/",
        "//v1//messages",
        "/anthropic/",
        "/api/hello/",
        "/v1/messages/?beta=true",
    ):
        for method in ("GET", "POST", "HEAD"):
            with gateway.client() as client:
                client.request(
                    method, path, [("authorization", f"Bearer {KEYS['main']}")], b"" if method == "POST" else None
                )
                status = client.reply(method=method).status
            assert not 300 <= status < 400, (method, path, status)


def test_every_answer_has_a_request_id_of_its_own(gateway: Gateway) -> None:
    replies = [
        gateway.post(ask()),
        gateway.post(ask(stream=True)),
        gateway.post(b"{"),
        gateway.post(ask(), key="wrong"),
        gateway.get("/v1/models"),
        gateway.get("/v1/unknown"),
    ]
    ids = [reply.value("request-id") for reply in replies]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_clients_request_id_is_not_taken_over(gateway: Gateway) -> None:
    reply = gateway.post(ask(), headers=[("request-id", "mine"), ("x-request-id", "mine")])
    assert reply.value("request-id") != "mine"
