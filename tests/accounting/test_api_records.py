"""The REST API shows request records to those who may see them, exactly, and refuses questions it does not understand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting import services
from accounting.audit.changes import Actor, changing
from accounting.models import ApiToken, RequestRecord, Team, User
from accounting.money.entry import Attempt, Entry
from accounting.money.store import store_records

START = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()
LIST = "/api/v1/requests/"
PRICE = {
    "id": 7,
    "provider": "*",
    "model": "claude-sonnet-4-5",
    "valid_from": "2025-09-29T00:00:00Z",
    "input": "3",
    "output": "15",
    "cache_write_5m": "3.75",
    "cache_write_1h": "6",
    "cache_read": "0.3",
    "band": "standard",
    "multipliers": {"batch": "0.5"},
    "web_search_per_1000": "10",
}


def record(number: int, **fields: Any) -> Entry:
    return Entry(
        request_id=f"req_{number}", started_at=START + number, outcome=fields.pop("outcome", "served"), **fields
    )


def team(name: str) -> Team:
    made = Team(name=name)
    with changing(Actor("tests", "system")) as change:
        change.save(made)
    return made


def token(name: str = "t", role: str = "admin", of: Team | None = None, **fields: Any) -> str:
    with changing(Actor("tests", "system")) as change:
        secret = services.create_api_token(
            change, name, role=role, team=of, team_role="viewer" if of else "", **fields
        )[1]
    return secret.reveal()


def get(path: str, secret: str | None = None, **query: Any) -> Any:
    headers = {"authorization": f"Bearer {secret}"} if secret is not None else {}
    return Client().get(path, query, headers=headers)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["request_id"] for row in answer.json()["results"]]


@pytest.mark.django_db
class TestContent:
    def test_a_record_shows_exactly_the_fields_of_the_contract(self) -> None:
        attempt = Attempt("main", "claude-sonnet-4-5", 200, "", 80.5)
        served = record(
            1,
            stream=True,
            team="platform",
            project="default",
            key="ci",
            key_prefix="gw_12345678",
            user="ada@example.org",
            session_id="s",
            agent_id="a",
            client_ip="10.0.0.1",
            user_agent="curl",
            alias="sonnet",
            provider="main",
            upstream_model="claude-sonnet-4-5",
            attempts=[attempt],
            status=200,
            tokens_input=1,
            tokens_output=2,
            tokens_cache_read=3,
            tokens_cache_write_5m=4,
            tokens_cache_write_1h=5,
            web_searches=6,
            betas_removed=["x"],
            fields_removed=["speed"],
            switched_from="main/claude-a",
            switch_tokens=7,
            cost_usd=Decimal("0.0123"),
            price=PRICE,
            tags={"cost_center": "4711"},
            resend_of="req_0",
            ttft_ms=12.5,
            duration_ms=99.5,
        )
        store_records([served])
        shown = get(f"{LIST}req_1/", token()).json()
        assert shown == {
            "request_id": "req_1",
            "started_at": "2026-11-01T12:00:01Z",
            "client_format": "anthropic",
            "operation": "messages",
            "stream": True,
            "team": "platform",
            "project": "default",
            "key": "ci",
            "key_prefix": "gw_12345678",
            "user": "ada@example.org",
            "session_id": "s",
            "agent_id": "a",
            "client_ip": "10.0.0.1",
            "user_agent": "curl",
            "alias": "sonnet",
            "provider": "main",
            "upstream_model": "claude-sonnet-4-5",
            "attempts": [
                {"provider": "main", "model": "claude-sonnet-4-5", "status": 200, "error": "", "duration_ms": 80.5}
            ],
            "status": 200,
            "outcome": "served",
            "reason": "",
            "tokens": {"input": 1, "output": 2, "cache_read": 3, "cache_write_5m": 4, "cache_write_1h": 5},
            "web_searches": 6,
            "estimated": False,
            "cost_usd": "0.012300000000",
            "price": PRICE,
            "tags": {"cost_center": "4711"},
            "resend_of": "req_0",
            "betas_removed": ["x"],
            "fields_removed": ["speed"],
            "switched_from": "main/claude-a",
            "switch_tokens": 7,
            "ttft_ms": 12.5,
            "duration_ms": 99.5,
            "error": None,
        }

    def test_an_error_is_shown_with_type_and_message(self) -> None:
        store_records(
            [record(1, outcome="refused", status=401, error_type="authentication_error", error_message="No.")]
        )
        shown = get(f"{LIST}req_1/", token()).json()
        assert shown["error"] == {"type": "authentication_error", "message": "No."}

    def test_the_newest_come_first_in_pages(self) -> None:
        store_records([record(number) for number in range(250)])
        secret = token()
        first = get(LIST, secret)
        assert ids(first) == [f"req_{number}" for number in range(249, 149, -1)]
        body = first.json()
        assert (body["count"], body["previous"]) == (250, None)
        assert ids(Client().get(body["next"], headers={"authorization": f"Bearer {secret}"}))[0] == "req_149"
        assert len(ids(get(LIST, secret, page_size=1000))) == 250
        assert len(ids(get(LIST, secret, page_size=7))) == 7
        assert get(LIST, secret, page=99).status_code == 404

    def test_a_page_is_never_larger_than_a_thousand(self) -> None:
        store_records([record(number) for number in range(1001)])
        assert len(ids(get(LIST, token(), page_size=5000))) == 1000

    def test_the_number_of_queries_does_not_grow_with_the_rows(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        store_records([record(number, team="platform") for number in range(50)])
        secret = token(role="team", of=team("platform"))
        with django_assert_num_queries(3):  # the token, the count, the rows
            assert len(ids(get(LIST, secret))) == 50


@pytest.mark.django_db
class TestFilters:
    @pytest.fixture
    def secret(self) -> str:
        store_records(
            [
                record(0, team="platform", alias="sonnet", upstream_model="claude-sonnet-4-5", status=200, stream=True),
                record(1, team="research", alias="opus", upstream_model="claude-opus-4-1", status=529),
                record(2, project="p", key="ci", user="eve@example.org", provider="main", key_prefix="gw_1"),
                record(3, session_id="s", agent_id="a", operation="count_tokens", client_format="bedrock"),
                record(4, outcome="client_left", estimated=True, status=200),
            ]
        )
        return token()

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ({"request_id": "req_1"}, [1]),
            ({"team": "platform"}, [0]),
            ({"alias": "opus"}, [1]),
            ({"model": "claude-sonnet-4-5"}, [0]),
            ({"upstream_model": "claude-sonnet-4-5"}, [0]),
            ({"model": "sonnet"}, []),
            ({"project": "p"}, [2]),
            ({"key": "ci"}, [2]),
            ({"key_prefix": "gw_1"}, [2]),
            ({"user": "eve@example.org"}, [2]),
            ({"provider": "main"}, [2]),
            ({"session_id": "s"}, [3]),
            ({"agent_id": "a"}, [3]),
            ({"operation": "count_tokens"}, [3]),
            ({"client_format": "bedrock"}, [3]),
            ({"outcome": "client_left"}, [4]),
            ({"stream": "true"}, [0]),
            ({"stream": "false"}, [4, 3, 2, 1]),
            ({"estimated": "True"}, [4]),
            ({"status": "529"}, [1]),
            ({"status": "200", "stream": "false"}, [4]),
            ({"since": "2026-11-01T12:00:03Z"}, [4, 3]),
            ({"since": "2026-11-01T13:00:03+01:00"}, [4, 3]),
            ({"since": "2026-11-01T13:00:03 01:00"}, [4, 3]),
            ({"since": "2026-11-01T12:00:03"}, [4, 3]),
            ({"until": "2026-11-01T12:00:03Z"}, [2, 1, 0]),
            ({"since": "2026-11-01"}, [4, 3, 2, 1, 0]),
        ],
        ids=str,
    )
    def test_each_finds_what_it_says(self, secret: str, query: dict[str, str], numbers: list[int]) -> None:
        assert ids(get(LIST, secret, **query)) == [f"req_{number}" for number in numbers]

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"teams": "platform"}, "There is no filter 'teams'"),
            ({"team__icontains": "x"}, "There is no filter"),
            ({"team": ""}, "empty"),
            ({"team": ["a", "b"]}, "Give this once"),
            ({"team": "a\x00b"}, "Null characters"),
            ({"stream": "maybe"}, "true or false"),
            ({"status": "many"}, "whole number"),
            ({"outcome": "lost"}, "Select a valid choice"),
            ({"since": "yesterday"}, "valid date/time"),
            ({"page_size": "all"}, "from 1 to 1000"),
            ({"page_size": "0"}, "from 1 to 1000"),
            ({"page_size": "-5"}, "from 1 to 1000"),
        ],
        ids=str,
    )
    def test_a_question_that_is_not_understood_is_refused(self, secret: str, query: dict[str, Any], words: str) -> None:
        answer = get(LIST, secret, **query)
        assert answer.status_code == 400
        assert words in answer.content.decode()


@pytest.mark.django_db
class TestAccess:
    @pytest.fixture(autouse=True)
    def records(self) -> None:
        store_records([record(1, team="platform"), record(2, team="research"), record(3)])

    @pytest.mark.parametrize("path", [LIST, f"{LIST}req_1/", "/api/v1/schema/"])
    @pytest.mark.parametrize("secret", [None, "", "gwt_unknown", "ü", "x" * 5000])
    def test_without_a_known_token_there_is_nothing(self, path: str, secret: str | None) -> None:
        answer = get(path, secret.encode().decode("latin-1") if secret else secret)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_a_token_out_of_use_is_refused(self) -> None:
        secret = token()
        assert get(LIST, secret).status_code == 200
        ApiToken.objects.update(expires_at=timezone.now())
        assert "expired" in get(LIST, secret).json()["detail"]
        ApiToken.objects.update(revoked_at=timezone.now())
        answer = get(LIST, secret)
        assert (answer.status_code, "revoked" in answer.json()["detail"]) == (401, True)

    def test_a_token_that_has_not_expired_yet_is_taken(self) -> None:
        assert get(LIST, token(expires_at=timezone.now() + timedelta(minutes=1))).status_code == 200

    def test_a_virtual_key_is_no_api_token(self) -> None:
        assert get(LIST, "gw_12345678_" + "x" * 46).status_code == 401

    @pytest.mark.parametrize("role", ["admin", "auditor"])
    def test_administrators_and_auditors_see_every_team(self, role: str) -> None:
        assert ids(get(LIST, token(role=role))) == ["req_3", "req_2", "req_1"]

    def test_a_team_sees_its_own_and_no_sign_of_others(self) -> None:
        secret = token(role="team", of=team("platform"))
        assert ids(get(LIST, secret)) == ["req_1"]
        assert get(LIST, secret).json()["count"] == 1
        assert ids(get(LIST, secret, team="research")) == []
        assert ids(get(LIST, secret, request_id="req_2")) == []
        strange, missing = get(f"{LIST}req_2/", secret), get(f"{LIST}req_none/", secret)
        assert strange.status_code == missing.status_code == 404
        assert strange.content == missing.content
        assert get(f"{LIST}req_1/", secret).status_code == 200

    def test_the_token_of_a_disabled_team_is_refused(self) -> None:
        of = team("platform")
        secret = token(role="team", of=of)
        of.enabled = False
        with changing(Actor("tests", "system")) as change:
            change.save(of)
        assert get(LIST, secret).status_code == 401

    def test_a_signed_in_superuser_reads_and_another_user_does_not(self) -> None:
        for number, superuser in enumerate((True, False)):
            client = Client()
            client.force_login(User.objects.create_user(f"u{number}@example.org", is_superuser=superuser))
            assert client.get(LIST).status_code == (200 if superuser else 403)

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_records_cannot_be_written(self, method: str) -> None:
        headers = {"authorization": f"Bearer {token()}"}
        for path in (LIST, f"{LIST}req_1/"):
            answer = getattr(Client(enforce_csrf_checks=True), method)(path, headers=headers)
            assert answer.status_code in (403, 405)
        assert RequestRecord.objects.count() == 3

    def test_answers_are_not_kept_by_caches(self) -> None:
        assert get(LIST, token())["Cache-Control"] == "private, no-store"


@pytest.mark.django_db
class TestDescription:
    def test_the_schema_describes_the_list_and_its_filters(self) -> None:
        answer = get("/api/v1/schema/", token(), format="json")
        assert answer.status_code == 200
        described = answer.json()["paths"][LIST]["get"]
        assert {"since", "until", "team", "model", "page_size"} <= {each["name"] for each in described["parameters"]}

    def test_the_page_runs_nothing_inline(self) -> None:
        client = Client()
        client.force_login(User.objects.create_user("ada@example.org"))
        page = client.get("/api/v1/docs/")
        text = page.content.decode()
        assert page.status_code == 200
        assert "<style" not in text
        assert "<script>" not in text
        assert "//" not in text.replace("://", "")
        assert "script-src 'self'" in page["Content-Security-Policy"]
        script = client.get("/api/v1/docs/?script=")
        assert script["Content-Type"].startswith("application/javascript")
        assert "/api/v1/schema/" in script.content.decode()

    def test_someone_not_signed_in_is_sent_to_sign_in(self) -> None:
        page = Client().get("/api/v1/docs/")
        assert page.status_code == 302
        assert page["Location"] == "/accounts/login/?next=/api/v1/docs/"
