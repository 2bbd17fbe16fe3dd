"""`make demo`: an empty installation filled with a small organization and a day of its requests, so that pages show something.

Everything is made up, and always the same but for the time: teams, people, keys, limits, sessions, errors, a refused beta.
No request is sent; the records go in through the recorder's own door.
"""

import random
from datetime import datetime, timedelta

import yaml

from accounting.audit.changes import Actor
from accounting.models import VirtualKey
from accounting.money.entry import Attempt, Entry
from accounting.money.price_book import PriceBook
from accounting.money.price_store import load_price_book
from accounting.money.pricing import price_usage
from accounting.money.store import store_records
from accounting.money.usage import Usage
from gateway_project.crypto import Secret
from routing.declarative import import_config
from routing.proxy.billing import fill
from routing.quickstart import SIMULATED, load_configuration

ACTOR = Actor("load_demo", "command")
REQUESTS = 1500
BATCH = 500
_PEOPLE = {
    "platform": ["ada", "grace", "linus"],
    "research": ["marie", "emmy"],
    "support": ["jean", "katherine", "barbara"],
}
_PROJECTS = {"platform": ["default", "ci"], "research": ["default"], "support": ["default", "answers"]}
_LIMITS: dict[str, dict[str, object]] = {
    "platform": {
        "budgets": [
            {"amount": 500, "period": "month", "soft": [50, 80]},
            {"amount": 25, "period": "day", "model": "claude-opus-*"},
        ],
        "rate_limits": [{"requests_per_minute": 600}, {"concurrent_requests": 40}],
    },
    "research": {"budgets": [{"amount": 60, "period": "week", "soft": [50, 80], "hard": False}]},
    "support": {
        "budgets": [{"amount": 20, "period": "day", "soft": [75]}],
        "rate_limits": [{"input_tokens_per_minute": 2000000, "output_tokens_per_minute": 200000}],
    },
}
_MODELS = [("claude-opus-5-5", 3), ("claude-sonnet-5-5", 6), ("claude-haiku-5-5", 4), ("claude-sonnet-4-5-20250929", 1)]
_CLIENTS = ["claude-cli/2.1.330 (external, cli)", "Anthropic/Python 2.12.0", "claude-cli/2.1.330 (external, sdk-cli)"]


def load_demo(address: str, now: datetime) -> Secret:
    """Fills the installation, which must be empty; returns the secret of a key to try. `address` is the server's."""
    secret = load_configuration(address).secret
    import_config(yaml.safe_dump({"version": 1, "teams": _teams()}).encode(), environ={}, actor=ACTOR)
    keys = list(VirtualKey.objects.select_related("project__team", "owner").exclude(project__team__name="default"))
    chance = random.Random(20261123)  # noqa: S311 - made-up traffic, the same each time
    entries = [_entry(chance, chance.choice(keys), now) for _ in range(REQUESTS)]
    book = load_price_book()
    for entry in entries:
        _price(entry, book)
    for start in range(0, REQUESTS, BATCH):
        store_records(entries[start : start + BATCH])
    return secret


def _teams() -> list[dict[str, object]]:
    return [
        {
            "name": team,
            "display_name": team.capitalize(),
            "timezone": "Europe/Berlin",
            **_LIMITS[team],
            "members": [
                {"email": f"{person}@example.org", "role": "owner" if number == 0 else "member"}
                for number, person in enumerate(people)
            ],
            "projects": [{"name": project, "keys": _keys(project, people)} for project in _PROJECTS[team]],
        }
        for team, people in _PEOPLE.items()
    ]


def _keys(project: str, people: list[str]) -> list[dict[str, object]]:
    if project != "default":
        return [{"name": "service", "kind": "service", "tags": {"cost_center": "4711"}}]
    return [{"name": person, "kind": "personal", "owner": f"{person}@example.org"} for person in people]


def _entry(chance: random.Random, key: VirtualKey, now: datetime) -> Entry:
    """One request of the last day: more in the afternoon than at night, mostly served from a warm cache."""
    age = min(chance.expovariate(1 / 5), 23.5)
    started = now - timedelta(hours=age, seconds=chance.random() * 60)
    model = chance.choices([name for name, _ in _MODELS], [weight for _, weight in _MODELS])[0]
    ttft = chance.lognormvariate(6.2, 0.5)
    entry = Entry(
        request_id=f"req_{int(started.timestamp() * 1000):012x}{chance.getrandbits(80):020x}",
        started_at=started.timestamp(),
        stream=chance.random() < 0.85,
        team=key.project.team.name,
        project=key.project.name,
        key=key.name,
        key_prefix=key.prefix,
        user=key.owner.email if key.owner else "",
        session_id=f"demo-{key.pk}-{int(age * 2)}",
        client_ip=f"10.4.{key.pk % 8}.{chance.randrange(2, 250)}",
        user_agent=chance.choice(_CLIENTS),
        alias=model,
        route=model,
        duration_ms=round(ttft + chance.lognormvariate(8, 0.9), 1),
    )
    _end(chance, entry, ttft)
    return entry


def _end(chance: random.Random, entry: Entry, ttft: float) -> None:
    """How it ended: served, refused by policy, failed upstream, or left by its client."""
    draw = chance.random()
    if draw < 0.02:
        entry.outcome, entry.status, entry.reason, entry.duration_ms = "refused", 400, "model_not_allowed", 0.4
        entry.error_type, entry.error_message = (
            "policy_blocked",
            f"The model {entry.alias} is not allowed for this key.",
        )
        return
    status = 529 if draw < 0.05 else 200
    entry.provider, entry.upstream_model = SIMULATED, entry.alias
    entry.attempts = [
        Attempt(SIMULATED, entry.alias, status, "" if status == 200 else "upstream answered 529", round(ttft, 1))
    ]
    entry.outcome, entry.status, entry.reason = "served", status, ""
    if status != 200:
        entry.outcome, entry.reason, entry.duration_ms = "upstream_error", "upstream_529", round(ttft, 1)
        entry.error_type, entry.error_message = "overloaded_error", "Overloaded"
        return
    entry.ttft_ms = round(ttft, 1)
    entry.tokens_input, entry.tokens_output = chance.randrange(3, 900), int(chance.lognormvariate(5.5, 1))
    entry.tokens_cache_read = chance.randrange(8_000, 90_000)
    entry.tokens_cache_write_5m = chance.randrange(0, 6_000)
    if draw > 0.97 and entry.stream:
        entry.outcome, entry.estimated = "client_left", True


def _price(entry: Entry, book: PriceBook) -> None:
    """What the made-up tokens cost, by the list that ships."""
    if not entry.tokens_output:
        return
    usage = Usage(
        input=entry.tokens_input,
        output=entry.tokens_output,
        cache_read=entry.tokens_cache_read,
        cache_write_5m=entry.tokens_cache_write_5m,
        doubtful=entry.estimated,
    )
    fill(entry, price_usage(usage, entry.provider, entry.upstream_model, entry.started_at, book))
