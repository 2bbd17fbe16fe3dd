"""The keys of the demo: whose they are, what for, how much they are used, and what has become of some of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from routing.demo.people import CREWS, Crew, Person

CLAUDE_CODE, ANTHROPIC_SDK, BOTO3, VERTEX_SDK = "claude_code", "anthropic_sdk", "boto3", "vertex_sdk"


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """One key. `client` is what it is used with; `weight` how much, beside the other keys of its kind; `silent_for` days
    ago it was used last (0: until now). `expires_in` days (negative: it has expired by then)."""

    team: str
    project: str
    name: str
    client: str
    owner: str = ""
    weight: float = 1.0
    silent_for: float = 0.0
    expires_in: float | None = None
    models: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.team}/{self.project}/{self.name}"

    def declared(self, now: datetime) -> dict[str, Any]:
        """The key in the configuration file; its secret is made when it is imported."""
        told: dict[str, Any] = {"name": self.name, "kind": "personal" if self.owner else "service", "tags": self.tags}
        if self.owner:
            told["owner"] = self.owner
        if self.expires_in is not None:
            told["expires"] = now + timedelta(days=self.expires_in)
        if self.models:
            told["allowed_models"] = list(self.models)
        return told


PROJECTS: dict[str, tuple[tuple[str, str], ...]] = {
    "platform": (("default", "Engineering"), ("ci", "Continuous integration"), ("gateway", "Gateway")),
    "research": (("default", "Research"), ("evals", "Evaluations")),
    "support": (("default", "Agents"), ("answers", "Answer drafts")),
    "product": (("default", "Product"), ("search", "Search"), ("mobile", "Mobile app")),
    "finance": (("default", "Finance"), ("reports", "Reports")),
    "labs": (("default", "Labs"),),
}
COST_CENTERS = {
    "platform": "4100",
    "research": "4200",
    "support": "5100",
    "product": "5200",
    "finance": "6100",
    "labs": "4900",
}
REVOKED = "platform/gateway/load-test"
DISABLED = "product/mobile/prototype"
USED_UP = ("support", "answers")  # the project whose budget is used up
_HEAVY = {"Linus": 2.4, "Grace": 1.8, "Emmy": 2.0, "Margaret": 1.5, "Konrad": 1.6, "Richard": 1.7}
_LEFT = {"Homi": 47.0, "Douglas": 61.0, "Luca": 39.0}  # people who have not used their key for so many days
_SONNET_AND_HAIKU = ("claude-sonnet-*", "claude-haiku-*")


def _service(team: str, project: str, name: str, client: str, weight: float, environment: str, **more: Any) -> KeyPlan:
    tags = {"cost_center": COST_CENTERS[team], "environment": environment}
    return KeyPlan(team, project, name, client, weight=weight, tags=tags, **more)


SERVICES: tuple[KeyPlan, ...] = (
    _service("platform", "ci", "review-bot", CLAUDE_CODE, 1.2, "production"),
    _service("platform", "ci", "nightly", ANTHROPIC_SDK, 0.8, "staging"),
    _service("platform", "gateway", "load-test", ANTHROPIC_SDK, 0.4, "development", silent_for=21),
    _service("research", "evals", "benchmarks", ANTHROPIC_SDK, 1.6, "development"),
    _service("research", "evals", "old-cluster", BOTO3, 0.3, "development", silent_for=70),
    _service("support", "answers", "drafts", BOTO3, 2.6, "production", models=_SONNET_AND_HAIKU),
    _service("support", "default", "triage", BOTO3, 2.0, "production", models=_SONNET_AND_HAIKU, expires_in=5),
    _service("product", "search", "ranking", VERTEX_SDK, 2.2, "production"),
    _service("product", "search", "ranking-staging", VERTEX_SDK, 0.4, "staging", expires_in=12),
    _service("product", "mobile", "assistant", ANTHROPIC_SDK, 1.8, "production"),
    _service("product", "mobile", "prototype", ANTHROPIC_SDK, 0.3, "development", silent_for=33),
    _service("finance", "reports", "monthly-close", BOTO3, 0.9, "production", expires_in=26),
    _service("finance", "reports", "forecast", VERTEX_SDK, 0.6, "staging"),
    _service("labs", "default", "first-steps", ANTHROPIC_SDK, 0.0, "development"),
)  # fmt: skip


def _personal(crew: Crew, person: Person) -> KeyPlan:
    name = person.first.lower()
    return KeyPlan(
        crew.team,
        "default",
        name,
        CLAUDE_CODE,
        owner=person.email,
        weight=0.0 if crew.team == "labs" else _HEAVY.get(person.first, 1.0),
        silent_for=_LEFT.get(person.first, 0.0),
        expires_in=-2.0 if person.first == "Stephen" else None,
        tags={"cost_center": COST_CENTERS[crew.team]},
        models=_SONNET_AND_HAIKU if crew.team == "support" else (),
    )


PERSONAL: tuple[KeyPlan, ...] = (
    *(_personal(crew, person) for crew in CREWS for person in crew.people if person.role != "viewer"),
    KeyPlan("platform", "gateway", "linus-laptop", CLAUDE_CODE, "linus@example.org", 0.6, tags={"cost_center": "4100"}),
    KeyPlan("product", "search", "emmy", CLAUDE_CODE, "emmy@example.org", 0.7, tags={"cost_center": "5200"}),
    KeyPlan("research", "evals", "richard-gpu", CLAUDE_CODE, "richard@example.org", 0.0),
)
