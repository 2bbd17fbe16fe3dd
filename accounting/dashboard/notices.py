"""What a member should know when they open their team's overview: one line each, with the way to what can be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounting.access.roles import ADMIN
from accounting.dashboard.budget_bars import BudgetBar
from accounting.limits.asking import Party, may_decide, visible_requests
from accounting.models import BudgetRequest, VirtualKey
from accounting.money.breakdown import Sums
from accounting.templatetags.dashboard import percent, plain_cents
from gateway_project.dashboard.frame import TeamPage

SOON = timedelta(days=14)
MOST = 5  # of a kind
MOST_REQUESTS = 50
FAILING, FEW = 0.05, 20  # the share of errors that is worth a line, of so many requests


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence, how serious it is (`bad`, `warn`, `info`), and where to go."""

    tone: str
    text: str
    address: str
    action: str


def notices(page: TeamPage, bars: Sequence[BudgetBar], lately: Sums, now: datetime) -> list[Notice]:
    """The most serious first; two queries at most. `lately` are the sums of today."""
    found = [*_budgets(page, bars), *_failing(page, lately), *_asked(page, now), *_expiring(page, now)]
    return sorted(found, key=lambda notice: ("bad", "warn", "info").index(notice.tone))


def below(page: TeamPage, path: str) -> str:
    """The address of another page of the team."""
    return f"{page.address('dashboard:overview')}{path}"


def _budgets(page: TeamPage, bars: Sequence[BudgetBar]) -> list[Notice]:
    found = []
    for bar in [bar for bar in bars if bar.nearly_used][:MOST]:
        said = _("Budget “%(budget)s”: %(share)s of %(limit)s used.")
        text = said % {"budget": bar.title, "share": percent(bar.share), "limit": plain_cents(bar.limit)}
        tone = "bad" if bar.share >= 1 and bar.hard else "warn"
        found.append(Notice(tone, text, below(page, "budgets/"), _("Budgets")))
    return found


def _failing(page: TeamPage, lately: Sums) -> list[Notice]:
    if lately.requests < FEW or lately.errors / lately.requests < FAILING:
        return []
    share = percent(lately.errors / lately.requests)
    text = _("%(share)s of today's requests failed.") % {"share": share}
    address = below(page, "usage/?period=24h&measure=errors")
    return [Notice("bad", text, address, _("Errors by kind"))]


def _asked(page: TeamPage, now: datetime) -> list[Notice]:
    """Requests for more of a budget that wait for this reader."""
    if not page.may(ADMIN):
        return []
    outside = page.standing == "administrator"
    party = Party(page.user.email, admin=outside, roles={page.team.name: page.role})
    of_team = visible_requests(Party("", roles={page.team.name: page.role}, person=False))
    waiting = of_team.filter(state=BudgetRequest.State.OPEN, until__gt=now)[:MOST_REQUESTS]
    count = sum(may_decide(party, request) for request in waiting)
    if not count:
        return []
    said = ngettext(
        "%(count)d request for more of a budget waits for your decision.",
        "%(count)d requests for more of a budget wait for your decision.",
        count,
    )
    return [Notice("info", said % {"count": count}, below(page, "budgets/requests/?show=waiting"), _("Decide"))]


def _expiring(page: TeamPage, now: datetime) -> list[Notice]:
    usable = VirtualKey.objects.filter(project__team=page.team, enabled=True, revoked_at=None)
    soon = usable.filter(expires_at__gt=now, expires_at__lte=now + SOON).order_by("expires_at")
    rows = list(soon.values_list("name", "project__name", "expires_at")[: MOST + 1])
    found = []
    for name, project, expires in rows[:MOST]:
        assert expires is not None
        when = formats.date_format(expires.astimezone(page.zone), "j M H:i")
        text = _("Key %(project)s/%(name)s expires on %(when)s.") % {"project": project, "name": name, "when": when}
        found.append(Notice("warn", text, below(page, "keys/"), _("Keys")))
    if len(rows) > MOST:
        found.append(Notice("warn", _("More keys expire within two weeks."), below(page, "keys/"), _("Keys")))
    return found
