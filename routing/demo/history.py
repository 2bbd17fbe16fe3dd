"""What the demo's people have done themselves: keys revoked and disabled, tokens made, more budget asked for and decided."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from accounting.audit.changes import Actor, changing
from accounting.limits.asking import APPROVE, CHANGE, REFUSE, ask, decide, party_of_user, withdraw
from accounting.models import Budget, Membership, Team, User, VirtualKey
from accounting.services import create_api_token, revoke_api_token, revoke_key
from routing.demo.keys import DISABLED, REVOKED
from routing.demo.people import address

_WITHDRAW = "withdraw"


def actor(first_name: str) -> Actor:
    """A person at their desk, as the audit log names them."""
    return Actor(address(first_name), "user", f"10.4.0.{10 + sum(first_name.encode()) % 200}")


@dataclass(frozen=True, slots=True)
class Asking:
    """A request for more of a budget, and what became of it (`decision` empty: it is open)."""

    by: str
    scope: str
    name: str
    share: Decimal  # of the budget's amount
    reason: str
    decision: str = ""
    decided_by: str = ""
    comment: str = ""


ASKED: tuple[Asking, ...] = (
    Asking(
        *("Anandi", "project", "answers", Decimal("0.5")),
        reason="Answer drafts stand still until the end of the period; the queue grows by 300 a day.",
    ),
    Asking(
        *("Susan", "team", "product", Decimal("0.25")),
        reason="The new search goes live next week; we compare both rankings for a while.",
        decision=APPROVE,
        decided_by="Margaret",
        comment="Good. Tell me what the comparison says.",
    ),
    Asking(
        *("Emmy", "team", "research", Decimal("2")),
        reason="One more run of all benchmarks with Opus.",
        decision=REFUSE,
        decided_by="Lise",
        comment="Please run the small set first; we are over the budget already.",
    ),
    Asking(
        *("Caroline", "team", "finance", Decimal("0.4")),
        reason="The audit of the year needs the reports twice.",
        decision=CHANGE,
        decided_by="Florence",
        comment="Half of it should do.",
    ),
    Asking(
        *("Konrad", "team", "platform", Decimal("0.1")),
        reason="Load tests of the new gateway.",
        decision=_WITHDRAW,
    ),
)


def make_history(now: datetime) -> None:
    """Changes of this moment: the audit log's times are its own."""
    with changing(actor("Grace")) as change:
        revoke_key(change, _key(REVOKED).prefix)
    with changing(actor("Alan")) as change:
        prototype = _key(DISABLED)
        prototype.enabled = False
        change.save(prototype)
    with changing(actor("Marie")) as change:
        member = Membership.objects.get(team__name="research", user__email=address("Sofia"))
        member.role = Membership.Role.VIEWER
        change.save(member)
    _tokens(now)
    for asking in ASKED:
        _ask(asking, now)


def _key(place: str) -> VirtualKey:
    team, project, name = place.split("/")
    return VirtualKey.objects.get(project__team__name=team, project__name=project, name=name)


def _tokens(now: datetime) -> None:
    platform = Team.objects.get(name="platform")
    with changing(actor("Ada")) as change:
        create_api_token(change, "finance-export", role="auditor", expires_at=now + timedelta(days=40))
        create_api_token(change, "terraform", role="admin", expires_at=now + timedelta(days=9))
        create_api_token(change, "platform-wallboard", role="team", team=platform, team_role="viewer")
        old, _ = create_api_token(change, "old-dashboard", role="auditor")
        revoke_api_token(change, old)


def _ask(asking: Asking, now: datetime) -> None:
    budget = Budget.objects.get(scope=asking.scope, tag="", **{f"{asking.scope}__name": asking.name})
    party = party_of_user(User.objects.get(email=address(asking.by)))
    amount = _amount(budget.amount * asking.share)
    until = now + timedelta(days=10)
    with changing(actor(asking.by)) as change:
        request = ask(change, party, budget, amount=amount, until=until, reason=asking.reason, now=now)
    if asking.decision == _WITHDRAW:
        with changing(actor(asking.by)) as change:
            withdraw(change, party, request.pk)
    elif asking.decision:
        judge = party_of_user(User.objects.get(email=address(asking.decided_by)))
        changed = _amount(amount / 2) if asking.decision == CHANGE else None
        with changing(actor(asking.decided_by)) as change:
            decide(change, judge, request.pk, asking.decision, now=now, amount=changed, comment=asking.comment)


def _amount(value: Decimal) -> Decimal:
    """Whole dollars, and one at least."""
    return max(Decimal(1), value.quantize(Decimal(1)))
