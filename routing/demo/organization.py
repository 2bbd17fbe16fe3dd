"""The made-up organization: teams in their time zones, members, projects, keys, rate limits, put in as a configuration file."""

from datetime import datetime
from typing import Any

from accounting.audit.changes import Actor, changing
from accounting.models import User
from accounting.services import create_admin
from gateway_project.console.access import auditors
from routing.demo.keys import PERSONAL, PROJECTS, SERVICES, KeyPlan
from routing.demo.people import ADMINISTRATOR, AUDITOR, CREWS, SIGN_INS, Crew, address, everybody

FISCAL_START_MONTH = 4
ZONE = "Europe/Berlin"
_RATES: dict[str, list[dict[str, int]]] = {
    "platform": [{"requests_per_minute": 600}, {"concurrent_requests": 40}],
    "research": [{"requests_per_minute": 300}, {"output_tokens_per_minute": 120_000}],
    "support": [{"input_tokens_per_minute": 2_000_000, "output_tokens_per_minute": 200_000}],
    "product": [{"concurrent_streams": 25}],
}
_ALLOWED: dict[str, list[str]] = {
    "support": ["claude-sonnet-*", "claude-haiku-*"],
    "finance": ["claude-opus-5-5", "claude-sonnet-*", "claude-haiku-*"],
}


def make_people(actor: Actor) -> None:
    """Everybody by name; a few have a password that is known (`people.SIGN_INS`), the others cannot sign in yet."""
    passwords = {each.email: each.password for each in SIGN_INS}
    with changing(actor) as change:
        for person in everybody():
            user = User(email=person.email, first_name=person.first, last_name=person.last)
            user.is_staff = person is AUDITOR
            user.set_password(passwords.get(person.email))
            change.save(user)
            if person is AUDITOR:
                user.groups.add(auditors())
        create_admin(change, ADMINISTRATOR.email)


def document(now: datetime) -> dict[str, Any]:
    """Organization and teams, as the configuration file has them."""
    return {
        "version": 1,
        "organization": {
            "timezone": ZONE,
            "fiscal_start_month": FISCAL_START_MONTH,
            "rate_limits": [{"requests_per_minute": 3000}],
        },
        "teams": [_team(crew, now) for crew in CREWS],
    }


def _team(crew: Crew, now: datetime) -> dict[str, Any]:
    members = [{"email": person.email, "role": person.role} for person in crew.people]
    members += [{"email": address(first), "role": role} for first, role in crew.guests]
    return {
        "name": crew.team,
        "display_name": crew.display_name,
        "timezone": crew.timezone,
        "allowed_models": _ALLOWED.get(crew.team, ["*"]),
        "rate_limits": _RATES.get(crew.team, []),
        "members": members,
        "projects": [_project(crew.team, name, shown, now) for name, shown in PROJECTS[crew.team]],
    }


def _project(team: str, name: str, display_name: str, now: datetime) -> dict[str, Any]:
    keys: list[KeyPlan] = [plan for plan in (*PERSONAL, *SERVICES) if (plan.team, plan.project) == (team, name)]
    return {"name": name, "display_name": display_name, "keys": [plan.declared(now) for plan in keys]}
