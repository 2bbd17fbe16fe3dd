"""The dashboard's places in the order of its navigation. A page states its own by `team_page(place)`."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation: `address` is the name of its URL, which takes the team's name; `icon` one of the sprite's."""

    key: str
    title: Any
    address: str
    icon: str


PLACES: tuple[Place, ...] = (
    Place("overview", _("Overview"), "dashboard:overview", "overview"),
    Place("usage", _("Usage"), "dashboard:usage", "usage"),
    Place("requests", _("Requests"), "dashboard:requests", "requests"),
    Place("sessions", _("Sessions"), "dashboard:sessions", "sessions"),
    Place("keys", _("Keys"), "dashboard:keys", "keys"),
    Place("budgets", _("Budgets and limits"), "dashboard:budgets", "budgets"),
    Place("models", _("Models"), "routing:models", "models"),
    Place("setup", _("Set-up"), "dashboard:setup", "setup"),
    Place("members", _("Members"), "dashboard:members", "members"),
    Place("projects", _("Projects"), "dashboard:projects", "projects"),
    Place("activity", _("Activity"), "dashboard:activity", "activity"),
    Place("alerts", _("Alerts"), "dashboard:alerts", "alerts"),
)
