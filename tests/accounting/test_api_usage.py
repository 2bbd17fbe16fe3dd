"""Usage and the ledger by the REST API: exact, paged, as CSV that no spreadsheet runs, and each team only its own."""

import asyncio
import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import Func
from django.test import AsyncClient, Client
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounting.api.pagination import BoundedPaginator, Pages
from accounting.models import LedgerEntry, RequestRecord
from accounting.money.entry import Entry
from accounting.money.store import store_records
from tests.accounting.ledgers import PRICE, START, entry, line
from tests.accounting.test_api_records import get, team, token

USAGE, LEDGER, FOCUS = "/api/v1/usage/", "/api/v1/ledger/", "/api/v1/usage/focus/"
PERIOD = {"since": START.isoformat(), "until": (START + timedelta(days=3)).isoformat()}


def some() -> list[Entry]:
    tags = {"cost_center": "4711"}
    return [
        entry("a", line(0, tokens_input=100, tokens_output=10), tags=tags, key="ci", key_prefix="gw_1"),
        entry("b", line(0, tokens_input=1, web_searches=2), at=START + timedelta(days=1), user="ada@example.org"),
        entry("c", line(0, tokens_cache_read=7, model="claude-b"), team="beta", project="=SUM(A1)"),
        entry("d", team="beta", outcome="refused", reason="budget", status=429),
        entry("e", team="beta", outcome="upstream_error", status=500, session_id="s"),
    ]


def rows(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


@pytest.mark.django_db
class TestUsage:
    @pytest.fixture(autouse=True)
    def stored(self) -> None:
        store_records(some())

    def test_a_row_shows_the_groups_and_every_sum(self) -> None:
        first = rows(get(USAGE, token(), group_by="team,day"))[0]
        assert first == {
            "team": "alpha",
            "day": "2026-10-31",
            "requests": 1,
            "errors": 0,
            "refused": 0,
            "estimated": 0,
            "input": 100,
            "output": 10,
            "cache_read": 0,
            "cache_write_5m": 0,
            "cache_write_1h": 0,
            "web_searches": 0,
            "cost_usd": "0.000450000000",
            "adjustment_usd": "0.000000000000",
        }

    def test_sums_equal_those_over_the_records(self) -> None:
        secret = token()
        found = rows(get(USAGE, secret, group_by="team,project,key,user,model,provider,day"))
        records = list(RequestRecord.objects.all())
        assert sum(row["requests"] for row in found) == len(records) == 5
        assert sum(Decimal(row["cost_usd"]) for row in found) == sum(record.cost_usd for record in records)
        assert sum(row["cache_read"] for row in found) == 7
        total = rows(get(USAGE, secret))
        assert len(total) == 1
        assert (total[0]["requests"], total[0]["errors"], total[0]["refused"]) == (5, 1, 1)

    def test_groups_by_hour_and_by_tag(self) -> None:
        found = rows(get(USAGE, token(), group_by="tag:cost_center,hour", team="alpha"))
        assert [(row["tag:cost_center"], row["hour"], row["requests"]) for row in found] == [
            ("", "2026-11-01T21:00:00Z", 1),
            ("4711", "2026-10-31T21:00:00Z", 1),
        ]

    def test_a_day_is_one_of_the_zone_that_was_asked_for(self) -> None:
        # A moment without a zone is one of Berlin's, too: 31 October begins there at 22:00 UTC of the 30th.
        query = {"group_by": "day", "timezone": "Europe/Berlin", "since": "2026-10-31", "until": "2026-11-03"}
        assert [(row["day"], row["requests"]) for row in rows(get(USAGE, token(), **query))] == [
            ("2026-10-31", 4),
            ("2026-11-01", 1),
        ]

    @pytest.mark.parametrize(
        ("query", "requests"),
        [
            ({"team": "beta"}, 3),
            ({"model": "claude-a"}, 2),
            ({"key": "ci"}, 1),
            ({"key_prefix": "gw_1"}, 1),
            ({"user": "ada@example.org"}, 1),
            ({"tag:cost_center": "4711"}, 1),
            ({"alias": "sonnet", "provider": "main"}, 3),
            ({"since": (START + timedelta(minutes=1)).isoformat()}, 1),
            ({"until": (START + timedelta(minutes=1)).isoformat()}, 4),
            ({"group_by": ""}, 5),
        ],
        ids=str,
    )
    def test_each_filter_finds_what_it_says(self, query: dict[str, str], requests: int) -> None:
        assert rows(get(USAGE, token(), **query))[0]["requests"] == requests

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"group_by": "teams"}, "There is no 'teams' to group by"),
            ({"group_by": "team,,day"}, "There is no ''"),
            ({"group_by": "team,team"}, "twice"),
            ({"group_by": "tag:"}, "There is no 'tag:'"),
            ({"group_by": ["team", "day"]}, "Give this once"),
            ({"teams": "x"}, "There is no filter 'teams'"),
            ({"outcome": "served"}, "There is no filter 'outcome'"),
            ({"tag:": "x"}, "There is no filter"),
            ({"team": ""}, "empty"),
            ({"team": "a\x00b"}, "Null characters"),
            ({"since": "yesterday"}, "valid date/time"),
            ({"timezone": "Mars"}, "not a time zone"),
            ({"timezone": "../../etc/passwd"}, "not a time zone"),
            ({"group_by": "day", "timezone": "Europe/Berlin"}, "since and until"),
            ({"group_by": "day", "timezone": "Asia/Kolkata", **PERIOD}, "not whole hours"),
            ({"page_size": "0"}, "from 1 to 1000"),
            ({"group_by": "day,hour,team,project,key,user,alias,model,provider"}, "At most 8"),
        ],
        ids=str,
    )
    def test_a_question_that_is_not_understood_is_refused(self, query: dict[str, Any], words: str) -> None:
        for form in ({}, {"format": "csv"}):
            answer = get(USAGE, token("csv" if form else "json"), **query, **form)
            assert answer.status_code == 400
            assert words in answer.content.decode()
            assert answer["Content-Type"] == "application/json"

    def test_pages_lead_to_each_other(self) -> None:
        secret = token()
        first = get(USAGE, secret, group_by="user,model,day", page_size=2).json()
        assert (first["count"], first["previous"], len(first["results"])) == (4, None, 2)
        second = Client().get(first["next"], headers={"authorization": f"Bearer {secret}"}).json()
        assert (second["count"], second["next"], len(second["results"])) == (4, None, 2)
        assert "page=" not in second["previous"].partition("page_size")[0]
        assert get(USAGE, secret, group_by="user", page=9).status_code == 404
        assert get(USAGE, secret, group_by="user", page="x").status_code == 404

    def test_csv_has_every_row_and_no_formula(self) -> None:
        found = table(get(USAGE, token(), group_by="project,team", format="csv"))
        assert [row["project"] for row in found] == ["'=SUM(A1)", "default", "default"]
        assert sum(Decimal(row["cost_usd"]) for row in found) == sum(
            record.cost_usd for record in RequestRecord.objects.all()
        )
        answer = Client().get(USAGE, headers={"authorization": f"Bearer {token('accept')}", "accept": "text/csv"})
        assert table(answer)[0]["requests"] == "5"


@pytest.mark.django_db
class TestLedger:
    @pytest.fixture(autouse=True)
    def stored(self) -> None:
        store_records(some())

    def test_a_line_shows_what_it_is_made_of(self) -> None:
        found = rows(get(LEDGER, token(), request_id="a"))[0]
        assert found == {
            "request_id": "a",
            "number": 0,
            "kind": "usage",
            "attempt": 0,
            "at": "2026-10-31T21:30:00Z",
            "team": "alpha",
            "project": "default",
            "key": "ci",
            "key_prefix": "gw_1",
            "user": "",
            "session_id": "",
            "alias": "sonnet",
            "provider": "main",
            "model": "claude-a",
            "tags": {"cost_center": "4711"},
            "tokens": {"input": 100, "output": 10, "cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 0},
            "web_searches": 0,
            "cost_usd": "0.000450000000",
            "price": PRICE,
            "estimated": False,
            "adjusts": None,
            "reason": "",
            "actor": "",
            "posted_at": None,
        }

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ({}, ["b", "c", "a"]),
            ({"team": "beta"}, ["c"]),
            ({"model": "claude-a"}, ["b", "a"]),
            ({"kind": "failed"}, []),
            ({"user": "ada@example.org"}, ["b"]),
            ({"session_id": "s"}, []),
            ({"since": (START + timedelta(hours=1)).isoformat()}, ["b"]),
        ],
        ids=str,
    )
    def test_each_filter_finds_what_it_says(self, query: dict[str, str], ids: list[str]) -> None:
        assert [row["request_id"] for row in rows(get(LEDGER, token(), **query))] == ids

    def test_an_unknown_filter_is_refused(self) -> None:
        assert get(LEDGER, token(), teams="x").status_code == 400
        assert get(LEDGER, token("csv"), kind="lost", format="csv").status_code == 400

    def test_csv_reads_on_beyond_one_query(self) -> None:
        store_records(
            [entry(f"x{number}", line(0), at=START + timedelta(seconds=number // 3)) for number in range(4100)]
        )
        found = table(get(LEDGER, token(), format="csv"))
        assert len({row["request_id"] for row in found}) == len(found) == 4103
        moments = [row["at"] for row in found]
        assert moments == sorted(moments, reverse=True)


@pytest.mark.django_db
class TestFocus:
    def test_rows_have_the_columns_of_the_specification_and_add_up(self) -> None:
        odd = line(0, tokens_input=3, tokens_output=7, tokens_cache_write_1h=11, web_searches=1)
        odd.cost_usd += Decimal("0.000000000001")  # what rounding of the single lines may leave over
        batch = line(
            0, tokens_output=1000, price={**PRICE, "multipliers": {"batch": "0.5"}}, cost_usd=Decimal("0.0075")
        )
        none = line(0, tokens_input=5, price=None, cost_usd=Decimal("0.4"))
        none.price = None
        store_records([*some(), entry("f", odd), entry("g", batch), entry("h", none)])
        found = table(get(FOCUS, token(), **PERIOD))
        total = sum(record.cost_usd for record in RequestRecord.objects.all())
        for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
            assert sum(Decimal(row[column]) for row in found) == total
        for row in found:
            assert row["BillingCurrency"] == "USD"
            assert row["ChargeCategory"] == "Usage"
            assert row["ServiceCategory"] == "AI and Machine Learning"
            assert (row["ProviderName"], row["PublisherName"]) == ("main", "Anthropic")
            assert row["ChargePeriodStart"][10:] == row["BillingPeriodEnd"][10:] == "T00:00:00Z"
            if row["ListUnitPrice"] and row["SkuMeter"] != "Cache write tokens, 1 hour":
                product = Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])
                assert abs(product - Decimal(row["ListCost"])) <= Decimal("0.000000000001")
        outputs = [row for row in found if row["SkuMeter"] == "Output tokens"]
        assert {row["ListUnitPrice"] for row in outputs} == {"15.000000000000", "7.500000000000"}
        assert {row["PricingUnit"] for row in outputs} == {"1000000 Tokens"}
        assert {row["SubAccountId"] for row in found} == {"alpha/default", "beta/=SUM(A1)"}

    def test_takes_a_period_and_a_team_only(self) -> None:
        store_records(some())
        assert {row["x_Team"] for row in table(get(FOCUS, token(), team="beta", **PERIOD))} == {"beta"}
        secret = token("other")
        for query in ({"group_by": "team"}, {"model": "x"}, {"tag:a": "b"}, {"timezone": "Europe/Berlin"}):
            assert get(FOCUS, secret, **query).status_code == 400

    def test_without_a_period_it_is_this_month(self) -> None:
        now = timezone.now()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        used = line(0, tokens_input=1)
        store_records([entry("now", used, at=now), entry("before", used, at=month - timedelta(seconds=1))])
        assert [row["ChargePeriodStart"][:10] for row in table(get(FOCUS, token()))] == [now.date().isoformat()]


@pytest.mark.django_db
class TestAccess:
    @pytest.fixture(autouse=True)
    def stored(self) -> None:
        store_records(some())

    @pytest.mark.parametrize("path", [USAGE, LEDGER, FOCUS])
    @pytest.mark.parametrize("secret", [None, "gwt_unknown"])
    def test_without_a_known_token_there_is_nothing(self, path: str, secret: str | None) -> None:
        for query in ({}, {"format": "csv"}):
            assert get(path, secret, **query).status_code == 401

    def test_a_team_sees_its_own_and_no_sign_of_others(self) -> None:
        secret = token(role="team", of=team("alpha"))
        assert {row["team"] for row in rows(get(USAGE, secret, group_by="team,model,alias,project"))} == {"alpha"}
        assert rows(get(USAGE, secret))[0]["requests"] == 2
        assert rows(get(USAGE, secret, team="beta"))[0]["requests"] == 0
        assert rows(get(USAGE, secret, team="beta", group_by="project")) == []
        assert {row["project"] for row in table(get(USAGE, secret, group_by="project", format="csv"))} == {"default"}
        assert {row["team"] for row in rows(get(LEDGER, secret))} == {"alpha"}
        assert rows(get(LEDGER, secret, team="beta")) == rows(get(LEDGER, secret, request_id="c")) == []
        assert {row["team"] for row in table(get(LEDGER, secret, format="csv"))} == {"alpha"}
        assert {row["x_Team"] for row in table(get(FOCUS, secret, **PERIOD))} == {"alpha"}
        assert table(get(FOCUS, secret, team="beta", **PERIOD)) == []

    @pytest.mark.parametrize("role", ["admin", "auditor"])
    def test_administrators_and_auditors_see_every_team(self, role: str) -> None:
        assert rows(get(USAGE, token(role=role)))[0]["requests"] == 5
        assert len(rows(get(LEDGER, token("two", role=role)))) == 3

    @pytest.mark.parametrize("path", [USAGE, LEDGER, FOCUS])
    def test_nothing_is_written_here(self, path: str) -> None:
        answer = Client().post(path, {}, headers={"authorization": f"Bearer {token()}"})
        assert answer.status_code in (403, 405)


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_streams_rows_too() -> None:
    store_records(some())
    secret = token()

    async def read() -> bytes:
        answer: Any = await AsyncClient().get(USAGE, {"format": "csv"}, headers={"authorization": f"Bearer {secret}"})
        return b"".join([chunk async for chunk in answer])

    assert b"requests,errors" in asyncio.run(read())


class TestLongLists:
    """More rows than are counted: `count` is the planner's estimate, and the last page is found all the same."""

    class Few(BoundedPaginator):
        most_counted = 10

    @pytest.fixture(autouse=True)
    def stored(self, postgres: str) -> None:
        store_records([entry(f"{number}", line(0)) for number in range(35)])
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE accounting_ledgerentry")

    @pytest.mark.postgres
    def test_pages_go_on_to_the_end_whatever_was_estimated(self) -> None:
        paginator = self.Few(LedgerEntry.objects.all(), 10)
        assert paginator.count >= 11
        assert paginator.estimated
        found, number = [], 1
        while True:
            page = paginator.page(number)
            found += list(page)
            if not page.has_next():
                break
            number += 1
        assert (number, len(found), len(set(found))) == (4, 35, 35)

    @pytest.mark.postgres
    def test_a_count_that_takes_too_long_is_given_up(self) -> None:
        class Slow(BoundedPaginator):
            longest_count = 1

        lines = LedgerEntry.objects.annotate(slow=Func(0.05, function="pg_sleep")).exclude(slow=None)
        paginator = Slow(lines, 10)
        assert paginator.count >= 1
        assert paginator.estimated
        with connection.cursor() as cursor:  # the limit was for the count only
            cursor.execute("SELECT pg_sleep(0.01)")

    @pytest.mark.postgres
    def test_a_count_that_is_estimated_is_called_so(self) -> None:
        class FewPages(Pages):
            django_paginator_class = self.Few

        for pages, estimated in ((Pages(), False), (FewPages(), True)):
            shown = pages.paginate_queryset(LedgerEntry.objects.all(), Request(APIRequestFactory().get(LEDGER)))
            assert ("count_estimated" in pages.get_paginated_response(shown).data) is estimated


LATENCY, OUTCOMES = "/api/v1/usage/latency/", "/api/v1/usage/outcomes/"


@pytest.mark.django_db
class TestHowRequestsWent:
    @pytest.fixture(autouse=True)
    def stored(self) -> None:
        quick = [entry(f"q{number}", line(0), ttft_ms=150.0, user="ada@example.org") for number in range(9)]
        store_records([*some(), *quick, entry("slow", line(0), ttft_ms=70_000.0, team="beta")])

    def test_times_to_the_first_byte_have_percentiles(self) -> None:
        found = rows(get(LATENCY, token(), group_by="team"))
        assert found == [
            {"team": "alpha", "count": 9, "mean_ms": 150.0, "p50_ms": 150.0, "p95_ms": 195.0, "p99_ms": 199.0},
            {
                "team": "beta",
                "count": 1,
                "mean_ms": 70_000.0,
                "p50_ms": 60_000.0,
                "p95_ms": 60_000.0,
                "p99_ms": 60_000.0,
            },
        ]
        none = {"count": 0, "mean_ms": None, "p50_ms": None, "p95_ms": None, "p99_ms": None}
        assert rows(get(LATENCY, token("two"), team="nobody")) == [none]

    def test_reasons_are_counted(self) -> None:
        found = rows(get(OUTCOMES, token(), group_by="team"))
        assert found == [
            {"team": "beta", "outcome": "refused", "reason": "budget", "requests": 1},
            {"team": "beta", "outcome": "upstream_error", "reason": "", "requests": 1},
        ]
        second = get(OUTCOMES, token("two"), page_size=1, page=2).json()
        assert (second["count"], second["next"], second["results"][0]["outcome"]) == (2, None, "upstream_error")

    def test_reasons_by_key_are_refused_with_a_sentence(self) -> None:
        secret = token()
        for query in ({"group_by": "key"}, {"user": "x"}, {"tag:a": "b"}, {"group_by": "day"}):
            answer = get(OUTCOMES, secret, **query)
            assert answer.status_code == 400
            assert "Reasons are kept by" in answer.json()["detail"][0]

    def test_weeks_and_months_are_named_by_their_first_day(self) -> None:
        found = rows(get(USAGE, token(), group_by="week,month", timezone="Europe/Berlin", **PERIOD))
        assert [(row["week"], row["month"]) for row in found] == [
            ("2026-10-26", "2026-10-01"), ("2026-10-26", "2026-11-01"),
        ]  # fmt: skip

    def test_both_as_csv(self) -> None:
        assert table(get(LATENCY, token(), format="csv", group_by="user"))[1]["p50_ms"] == "150.0"
        assert [row["reason"] for row in table(get(OUTCOMES, token("two"), format="csv"))] == ["budget", ""]

    @pytest.mark.parametrize("path", [LATENCY, OUTCOMES])
    def test_a_team_sees_its_own_only(self, path: str) -> None:
        secret = token(role="team", of=team("alpha"))
        assert {row["team"] for row in rows(get(path, secret, group_by="team"))} <= {"alpha"}
        assert rows(get(path, secret, group_by="team", team="beta")) == []
        assert get(path, None).status_code == get(path, "gwt_unknown").status_code == 401
