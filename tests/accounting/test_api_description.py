"""The REST API does what its OpenAPI description says, asked everything that the description allows and much that it does not:
no server error, no status, content type or body that is not described."""

from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi import from_wsgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounting.audit.changes import Actor, changing
from accounting.services import create_api_token
from gateway_project.crypto import Secret
from tests.pages.conftest import World, make_world

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4  # of each operation and caller
LEAST_OPERATIONS = 13


@pytest.fixture
def described_world(db: None) -> World:
    return make_world()


@pytest.fixture
def description(described_world: World) -> Any:
    headers = {"Authorization": f"Bearer {described_world.token_secret.reveal()}"}
    return from_wsgi("/api/v1/schema/?format=json", get_wsgi_application(), headers=headers)


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_nothing_undocumented_is_answered(description: Any, described_world: World) -> None:
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) >= LEAST_OPERATIONS
    wrong: list[str] = []
    for who in (described_world.token_secret, _administrator(described_world), _team(described_world)):
        for operation in operations:
            try:
                _ask(operation, {"Authorization": f"Bearer {who.reveal()}"})
            except (FailureGroup, BaseExceptionGroup) as found:
                wrong.append(f"{operation.label}\n{_told(found)}")
    assert not wrong, "\n".join(wrong)


def _ask(operation: Any, headers: dict[str, str]) -> None:
    @SETTINGS
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    ask()


def _told(group: BaseExceptionGroup[BaseException]) -> str:
    parts = [_told(each) if isinstance(each, BaseExceptionGroup) else str(each)[:600] for each in group.exceptions]
    return "\n".join([str(group)[:200], *parts])


def _administrator(world: World) -> Secret:
    with changing(Actor("test", "system")) as change:
        return create_api_token(change, "all", role="admin")[1]


def _team(world: World) -> Secret:
    with changing(Actor("test", "system")) as change:
        return create_api_token(change, "team", role="team", team=world.team, team_role="owner")[1]
