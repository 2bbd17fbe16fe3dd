"""What "everything on" means: the configuration of the benchmark with every feature that costs a request something.

This is the place for each new one (prices, budgets, rate limits, conditions): what is not here is not measured.
"""

from typing import Any

Document = dict[str, Any]


def with_everything(document: Document) -> Document:
    """The plain configuration with all features switched on; nothing may refuse the benchmark's own requests."""
    [team] = document["teams"]
    [project] = team["projects"]
    [key] = project["keys"]
    team |= {"allowed_models": ["bench*"], "members": [{"email": "bench@example.org", "role": "member"}]}
    key |= {"allowed_models": ["bench*"], "allowed_ips": ["127.0.0.0/8"], "tags": {"cost_center": "4711"}}
    for route in document["routes"]:
        route |= {"strategy": "weighted", "sticky": "session", "max_attempts": 3}
    return document
