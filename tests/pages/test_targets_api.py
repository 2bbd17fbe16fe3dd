"""`GET /api/v1/targets/`: the page of targets for programs; for administrators and auditors only."""

from typing import Any

import pytest
from django.test import Client

from accounting.audit.changes import Actor, changing
from accounting.services import create_api_token
from routing.api.targets import TargetSerializer
from tests.docs.test_documentation import text
from tests.pages.conftest import World, signed_in
from tests.pages.test_targets_page import MODEL, said

ADDRESS = "/api/v1/targets/"


def read(secret: str, query: str = "") -> Any:
    return Client().get(ADDRESS + query, headers={"authorization": f"Bearer {secret}"})


def test_what_the_page_shows(world: World) -> None:
    said("host:1", good=6)
    said("host:2", good=1, bad=3)
    answer = read(world.token_secret.reveal())
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    body = answer.json()
    assert (body["count"], body["next"], body["previous"]) == (1, None, None)
    (target,) = body["results"]
    assert (target["provider"], target["model"], target["state"]) == ("main", MODEL, "open")
    assert (target["calls"], target["failures"], target["error_share"]) == (10, 3, 30.0)
    assert (target["routes"], target["processes"], target["reporting"]) == (["sonnet"], ["host:2"], 2)
    assert target["last_error"] == "503 Overloaded in [removed]"
    assert read(world.token_secret.reveal(), "?provider=other").json()["results"] == []


def test_every_field_is_on_the_page_of_the_api(world: World) -> None:
    for name in TargetSerializer().fields:
        assert f"`{name}`" in text("docs/api.md"), name


def test_teams_and_strangers_see_nothing(world: World) -> None:
    with changing(Actor("set-up", "system")) as change:
        _, secret = create_api_token(change, "of-a-team", role="team", team=world.team, team_role="viewer")
    assert read(secret.reveal()).status_code == 403
    assert read("gwt_nonsense").status_code == 401
    assert Client().get(ADDRESS).status_code == 401
    assert signed_in(world.stranger).get(ADDRESS).status_code == 403
    assert signed_in(world.admin).get(ADDRESS).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_read_only(method: str, world: World) -> None:
    answer = getattr(Client(), method)(ADDRESS, headers={"authorization": f"Bearer {world.token_secret.reveal()}"})
    assert answer.status_code in (403, 405)


def test_the_schema_describes_it(world: World) -> None:
    answer = Client().get(
        "/api/v1/schema/",
        headers={"authorization": f"Bearer {world.token_secret.reveal()}", "accept": "application/json"},
    )
    assert ADDRESS in answer.json()["paths"]
