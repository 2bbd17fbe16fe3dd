"""A draft beside a live route, through the running gateway: its report fills, and it sends nothing."""

from pathlib import Path

from tests.gateway.bodies import ask
from tests.gateway.conftest import make_provider
from tests.harness import Config, Gateway, Template, alias, route, standard_config, target, wait_until

START = """
from datetime import datetime, timedelta, timezone
from accounting.audit.changes import Actor, changing
from routing.models import Route, Shadow
with changing(Actor("test", "system")) as change:
    live, draft = (Route.objects.get(name=name) for name in ("live", "draft"))
    change.save(Shadow(live=live, draft=draft, until=datetime.now(timezone.utc) + timedelta(days=1)))
"""
REPORT = """
from routing.models import ShadowCount
for row in ShadowCount.objects.order_by("draft_model"):
    print(row.team, row.live_model, row.draft_model or row.draft_reason, row.requests, row.draft_cost > 0)
"""


def config(url: str) -> Config:
    made = standard_config(url)
    main = "anthropic-main"
    by_stream = [{"when": {"stream": True}, "route": "streams"}]
    made.routes += [
        route("live", target(main, "claude-live"), max_attempts=1),
        route("streams", target(main, "claude-draft-streams"), max_attempts=1),
        route("draft", target(main, "claude-draft"), conditions=by_stream, max_attempts=1),
    ]
    made.aliases.append(alias("claude-shadowed", "live"))
    return made


def test_a_draft_reports_and_sends_nothing(template: Template, tmp_path: Path) -> None:
    with make_provider() as provider, Gateway(template, tmp_path, config(provider.url)) as gateway:
        gateway.manage("shell", "--no-imports", "-c", START)

        def counted() -> str:
            answer = gateway.post(ask(model="claude-shadowed"))
            assert answer.status == 200
            return gateway.manage("shell", "--no-imports", "-c", REPORT)

        assert wait_until(counted, timeout=20).startswith("alpha claude-live claude-draft ")
        sent = len(provider.received)
        for _ in range(3):
            assert gateway.post(ask(model="claude-shadowed", stream=True)).status == 200
        expected = "alpha claude-live claude-draft-streams 3 True"
        wait_until(lambda: expected in gateway.manage("shell", "--no-imports", "-c", REPORT).splitlines(), timeout=20)
        assert len(provider.received) == sent + 3
        assert {request.json["model"] for request in provider.received} == {"claude-live"}
