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
    Place("budgets", _("Budgets and limits"), "dashboard:budgets", "budgets"),
    Place("alerts", _("Alerts"), "dashboard:alerts", "alerts"),
)
