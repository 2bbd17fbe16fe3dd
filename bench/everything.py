"""What "everything on" means: the configuration of the benchmark with every feature that costs a request something.

This is the place for each new one: what is not here is not measured.
"""

from typing import Any

Document = dict[str, Any]
PLENTY = 10**9  # requests and tokens that no benchmark uses up
DOLLARS = 9_000_000  # the most that a budget may have
PRICES = {"input": "3", "output": "15", "cache_write_5m": "3.75", "cache_write_1h": "6", "cache_read": "0.3"}


def with_everything(document: Document) -> Document:
    """The plain configuration with all features switched on; nothing may refuse the benchmark's own requests."""
    [team] = document["teams"]
    [project] = team["projects"]
    [key] = project["keys"]
    team |= {"allowed_models": ["bench*"], "members": [{"email": "bench@example.org", "role": "member"}]}
    key |= {"allowed_models": ["bench*"], "allowed_ips": ["127.0.0.0/8"], "tags": {"cost_center": "4711"}}
    for route in document["routes"]:
        route |= {"strategy": "weighted", "sticky": "session", "max_attempts": 3}
        route["conditions"] = [{"when": {"tag": "cost_center=1"}, "route": "elsewhere"}]  # looked at, never true
    document["routes"].append({"name": "elsewhere", "targets": document["routes"][0].get("targets", [])})
    document["organization"] = {"budgets": [_budget("month")], "rate_limits": [{"concurrent_requests": 1_000_000}]}
    team |= {"budgets": [_budget("month"), _budget("day")], "rate_limits": [{"requests_per_minute": PLENTY}]}
    project |= {"budgets": [_budget("week")]}
    key |= {
        "budgets": [_budget("day", model="bench*")],
        "rate_limits": [{"requests_per_minute": PLENTY}, {"input_tokens_per_minute": PLENTY}],
    }
    document["prices"] = [{"provider": "*", "model": "bench*", "valid_from": "2026-01-01T00:00:00Z", **PRICES}]
    return document


def _budget(period: str, **more: str) -> Document:
    return {"amount": DOLLARS, "period": period, "soft": [80], "hard": True, **more}
