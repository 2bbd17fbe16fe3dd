"""Alerts of the running gateway: a budget that is used up becomes a signed webhook, by itself, once."""

import http.client
import json
from typing import Any

from tests.alerts.receiver import receiver
from tests.fake_provider import reply
from tests.gateway.bodies import ask, message
from tests.gateway.conftest import OwnGateway
from tests.gateway.test_limits import daily, limited
from tests.harness import Gateway, wait_until


def api(gateway: Gateway, path: str, body: dict[str, Any] | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    headers = {"authorization": f"Bearer {gateway.token}", "content-type": "application/json"}
    method = "GET" if body is None else "POST"
    connection.request(method, f"/api/v1/{path}", json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    read = json.loads(answer.read())
    connection.close()
    assert answer.status in (200, 201), read
    return read


def test_a_budget_that_is_used_up_is_told_by_webhook_once(own_gateway: OwnGateway) -> None:
    environment = {"GATEWAY_WEBHOOK_ALLOW_PRIVATE": "yes", "GATEWAY_PUBLIC_URL": "https://gateway.example.com"}
    budget = daily("0.0005", soft=[50])
    with (
        receiver() as inbox,
        own_gateway(lambda url: limited(url, main=budget), environment=environment) as (gateway, provider),
    ):
        hook = api(gateway, "alert-destinations/", {"team": "alpha", "name": "h", "kind": "webhook", "url": inbox.url})
        for kind in ("budget_threshold", "budget_used_up"):
            rule = {"team": "alpha", "name": kind, "kind": kind, "destinations": [hook["id"]]}
            api(gateway, "alert-rules/", rule)
        provider.on_model("claude-same", reply(200, message()))
        assert gateway.post(ask()).status == 200
        wait_until(lambda: len(inbox.received) == 2, timeout=60)
        assert {each["type"] for each in inbox.received} == {"gateway.budget_threshold", "gateway.budget_used_up"}
        assert inbox.genuine(hook["secret"], 0)
        assert inbox.genuine(hook["secret"], 1)
        used_up = next(each for each in inbox.received if each["type"].endswith("used_up"))
        assert used_up["data"]["title"] == "The budget of the key alpha/one/main is used up"
        assert used_up["data"]["link"].startswith("https://gateway.example.com/teams/alpha/budgets/")
        wait_until(lambda: api(gateway, "alert-deliveries/?state=sent")["count"] == 2, timeout=20)
        gateway.manage("send_alerts")
        assert api(gateway, "alert-deliveries/")["count"] == len(inbox.received) == 2
