"""The ledger's benchmark: a year of 50 million lines with their roll-ups, what pages and API ask of it, and whether storing
is slower for it. `make bench-ledger` runs it; it needs a PostgreSQL server, some 45 GB of disk for 50 million lines, and
half an hour. Databases of its own are made and dropped.

Lines are spread evenly: so the roll-ups that match them can be written down beside them, without a GROUP BY over them all.
Requests are kept for the last 30 days only, as an installation of that size does.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from bench.processes import ROOT

SERVER = "postgres://postgres@127.0.0.1:5432/postgres"
TEAMS, KEYS, MODELS = 6, 40, 12
COMBINATIONS = TEAMS * KEYS * MODELS
DAYS, DAYS_OF_RECORDS = 365, 30
HOURS = DAYS * 24
TRIES, BATCHES, ROUNDS = 7, 15, 20
Figures = dict[str, float]

# Names and numbers of combination `c`.
NAMES = f"""
  'team-' || (c % {TEAMS}) AS team, 'project-' || (c / {TEAMS} % 3) AS project, 'key-' || (c / {TEAMS} % {KEYS}) AS key,
  'gw_' || lpad((c % {TEAMS * KEYS})::text, 8, '0') AS key_prefix,
  'person-' || (c % {TEAMS * KEYS} % 97) || '@example.org' AS "user",
  'claude-' || (c / {TEAMS * KEYS}) AS alias, 'provider-' || (c / {TEAMS * KEYS} % 3) AS provider,
  'vendor.claude-' || (c / {TEAMS * KEYS}) AS model,
  jsonb_build_object('cost_center', (4700 + c % {TEAMS * KEYS} % 20)::text) AS tags"""
PRICE = (
    '{"id": 7, "provider": "*", "model": "claude-*", "valid_from": "2026-01-01T00:00:00Z", "input": "3", "output": "15", '
    '"cache_write_5m": "3.75", "cache_write_1h": "6", "cache_read": "0.3", "band": "standard", "multipliers": {}, '
    '"web_search_per_1000": "10"}'
)
TOKENS = "(100 + c % 50)", "(400 + c % 70)", "(9000 + c)", "(200 + c % 9)", "0"
COST = f"({TOKENS[0]} * 3 + {TOKENS[1]} * 15 + {TOKENS[2]} * 0.3 + {TOKENS[3]} * 3.75) / 1000000.0"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many lines, and when the year begins. Lines of the last days only: the roll-ups are those of all of them."""

    lines: int
    start: datetime
    days_of_lines: int = DAYS

    @property
    def per_hour(self) -> int:
        return self.lines // HOURS

    @property
    def count(self) -> str:
        """How many lines combination `c` has in hour `h`."""
        base, extra = divmod(self.per_hour, COMBINATIONS)
        return f"({base} + (((c - h * 13) % {COMBINATIONS} + {COMBINATIONS}) % {COMBINATIONS} < {extra})::int)"

    @property
    def hour(self) -> str:
        return f"('{self.start.isoformat()}'::timestamptz + h * interval '1 hour')"


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """A database that is there for as long as the block; its address."""
    with psycopg.connect(server, autocommit=True) as control:
        control.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            control.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def use(url: str) -> None:
    """Makes `url` the default database, migrated."""
    from django.core.management import call_command
    from django.db import connections

    from gateway_project.environment import database as configured

    os.environ["DATABASE_URL"] = url
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": configured(ROOT)})["default"]
    call_command("migrate", verbosity=0)


def generate(url: str, plan: Plan) -> None:
    """Lines, names, roll-ups, and the records of the last days; indexes are made when the rows are there."""
    with psycopg.connect(url, autocommit=True) as db:
        for setting in (
            "synchronous_commit = off",
            "maintenance_work_mem = '512MB'",
            "max_parallel_maintenance_workers = 1",
        ):
            db.execute(f"SET {setting}".encode())
        kept = {table: _without_indexes(db, table) for table in ("accounting_ledgerentry", "accounting_hourlyusage")}
        _names(db)
        for day in range(DAYS - plan.days_of_lines, DAYS):
            db.execute(_lines(plan, day).encode())
            if day % 30 == 29:
                _say(f"{day + 1} days of lines")
        for day in range(DAYS - min(plan.days_of_lines, DAYS_OF_RECORDS), DAYS):
            db.execute(_records(plan, day).encode())
        _rollups(db, plan)
        _say("roll-ups")
        for statements in kept.values():
            for statement in statements:
                db.execute(statement.encode())
        _say("indexes")
        db.execute("VACUUM ANALYZE")


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _without_indexes(db: psycopg.Connection[Any], table: str) -> list[str]:
    """Drops a table's indexes; the statements that make them again."""
    rows = db.execute(
        "SELECT i.indexname, i.indexdef, c.conname, pg_get_constraintdef(c.oid) FROM pg_indexes i "
        "LEFT JOIN pg_constraint c ON c.conname = i.indexname WHERE i.tablename = %s",
        [table],
    ).fetchall()
    made = []
    for index, definition, constraint, text in rows:
        db.execute(
            (f"ALTER TABLE {table} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}").encode()
        )
        made.append(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {text}" if constraint else definition)
    return made


def _names(db: psycopg.Connection[Any]) -> None:
    """`bench_names`: what combination `c` is called, and the ids of these names."""
    from accounting.money.contributions import NAMES as COLUMNS
    from accounting.money.contributions import TOTALS
    from accounting.money.dialect import identity

    full = [f'"{name}"' for name in COLUMNS]
    blank = [f'"{n}"' if n in TOTALS else "'{}'::jsonb" if n == "tags" else "''::text" for n in COLUMNS]
    db.execute(
        f"CREATE TABLE bench_names AS SELECT {identity(full)} AS id, {identity(blank)} AS totals_id, names.* "
        f"FROM (SELECT c, {NAMES} FROM generate_series(0, {COMBINATIONS - 1}) c) AS names".encode()
    )
    columns = ", ".join(full)
    db.execute(f"INSERT INTO accounting_usagedimension (id, {columns}) SELECT id, {columns} FROM bench_names".encode())
    db.execute(
        f"INSERT INTO accounting_usagedimension (id, {columns}) SELECT DISTINCT totals_id, {', '.join(blank)} "
        "FROM bench_names ON CONFLICT DO NOTHING".encode()
    )
    db.execute("ANALYZE bench_names")


def _each_line(plan: Plan, day: int) -> str:
    """Hour `h`, number `j` in it and combination `c` of every line of a day."""
    return (
        f"(SELECT h, j, (j + h * 13) % {COMBINATIONS} AS c FROM generate_series({day * 24}, {day * 24 + 23}) h, "
        f"generate_series(0, {plan.per_hour - 1}) j) AS each JOIN bench_names n USING (c)"
    )


def _at(plan: Plan) -> str:
    return f"{plan.hour} + (j * 3600.0 / {plan.per_hour}) * interval '1 second'"


def _lines(plan: Plan, day: int) -> str:
    return (
        "INSERT INTO accounting_ledgerentry (request_id, number, kind, attempt, at, team, project, key, key_prefix, "
        '"user", session_id, alias, provider, model, tags, tokens_input, tokens_output, tokens_cache_read, '
        "tokens_cache_write_5m, tokens_cache_write_1h, web_searches, cost_usd, price, estimated, reason, actor) "
        f"SELECT 'req_' || lpad(h::text, 10, '0') || lpad(j::text, 14, '0'), 0, 'usage', 0, {_at(plan)}, "
        "team, project, key, key_prefix, \"user\", 'session-' || h || '-' || c, alias, provider, model, tags, "
        f"{', '.join(TOKENS)}, 0, {COST}, '{PRICE}', false, '', '' FROM {_each_line(plan, day)}"
    )


def _records(plan: Plan, day: int) -> str:
    return (
        "INSERT INTO accounting_requestrecord (request_id, started_at, client_format, operation, stream, team, project, "
        'key, key_prefix, "user", session_id, agent_id, parent_agent_id, client_ip, user_agent, alias, route, provider, '
        "upstream_model, upstream_request_id, attempts, betas_removed, fields_removed, config_revision, status, outcome, "
        "reason, error_type, error_message, tokens_input, tokens_output, tokens_cache_read, tokens_cache_write_5m, "
        "tokens_cache_write_1h, web_searches, estimated, cost_usd, price, tags, ttft_ms, duration_ms, resend_of, switched_from, "
        "switch_tokens) "
        f"SELECT 'req_' || lpad(h::text, 10, '0') || lpad(j::text, 14, '0'), {_at(plan)}, 'anthropic', 'messages', true, "
        "team, project, key, key_prefix, \"user\", 'session-' || h || '-' || c, '', '', '10.0.0.1', 'bench', alias, "
        "alias, provider, model, '', '[]', '[]', '[]', 1, 200, 'served', '', '', '', "
        f"{', '.join(TOKENS)}, 0, false, {COST}, '{PRICE}', tags, 150, 900, '', '', 0 FROM {_each_line(plan, day)}"
    )


def _rollups(db: psycopg.Connection[Any], plan: Plan) -> None:
    from accounting.money.contributions import MEASURES, summed

    values = {
        **dict.fromkeys(MEASURES, "0"),
        "requests": "lines",
        "cost_usd": f"lines * {COST}",
        "ttft_count": "lines",
        "ttft_us": "lines * 150000",
        "ttft_200": "lines",
        **{f"tokens_{kind}": f"lines * {tokens}" for kind, tokens in zip(
            ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), TOKENS, strict=True)},
    }  # fmt: skip
    columns = ", ".join(MEASURES)
    for day in range(DAYS):
        db.execute(
            f"INSERT INTO accounting_hourlyusage (dimension_id, bucket, {columns}) "
            f"SELECT id, {plan.hour}, {', '.join(values[name] for name in MEASURES)} FROM (SELECT h, c, {plan.count} AS lines "
            f"FROM generate_series({day * 24}, {day * 24 + 23}) h, generate_series(0, {COMBINATIONS - 1}) c) AS each "
            "JOIN bench_names USING (c) WHERE lines > 0".encode()
        )
    for table, source, unit, by in (
        ("hourlytotals", "hourlyusage", "hour", "totals_id"),
        ("dailyusage", "hourlyusage", "day", "id"),
        ("dailytotals", "hourlytotals", "day", "dimension_id"),
        ("monthlyusage", "dailyusage", "month", "dimension_id"),
    ):
        join = "JOIN bench_names ON id = dimension_id" if by in ("id", "totals_id") else ""
        db.execute(
            f"INSERT INTO accounting_{table} (dimension_id, bucket, {columns}) SELECT {by}, "
            f"date_trunc('{unit}', bucket, 'UTC'), {summed()} FROM accounting_{source} {join} GROUP BY 1, 2 "
            "ORDER BY 2, 1".encode()  # they come to be hour by hour
        )


def questions(now: datetime) -> dict[str, str]:
    """What pages and API users ask: a name → an address."""

    def since(days: float, **more: float) -> str:
        return (now - timedelta(days=days, **more)).isoformat().replace("+00:00", "Z")

    month, cut = since(30), (now - timedelta(days=20, minutes=17, seconds=3)).isoformat().replace("+00:00", "Z")
    usage, key = "/api/v1/usage/?group_by=", "gw_00000017"
    return {
        "usage, all time, total": "/api/v1/usage/",
        **{f"usage, all time, by {name}": usage + name for name in (
            "team", "project", "key", "user", "model", "provider", "alias", "key_prefix", "tag:cost_center", "team,model",
            "team,project,key,user,model,provider")},
        "usage, a year, by day": usage + "day",
        "usage, a year, by day and team": usage + "day,team",
        "usage, a year, by day and model": usage + "day,model",
        "usage, a year, by day, one key": f"{usage}day&key_prefix={key}",
        "usage, a year, by day, one team": usage + "day&team=team-3",
        "usage, a year, by day, one tag": usage + "day&tag:cost_center=4703",
        "usage, 30 days, by day and key": f"{usage}day,key&since={month}",
        "usage, 30 days, by day and user": f"{usage}day,user&since={month}",
        "usage, 30 days, by key": f"{usage}key&since={month}",
        "usage, 30 days, by hour": f"{usage}hour&since={month}",
        "usage, 7 days, by hour and team": f"{usage}hour,team&since={since(7)}",
        "usage, a day, by hour and key": f"{usage}hour,key&since={since(1)}",
        "usage, 30 days, by day of Berlin": f"{usage}day,team&timezone=Europe/Berlin&since={month}&until={since(0)}",
        "usage, 90 days, by day of Berlin": f"{usage}day&timezone=Europe/Berlin&since={since(90)}&until={since(0)}",
        "usage, cut at both ends, by team": f"{usage}team&since={cut}&until={since(0, minutes=11)}",
        "usage, cut at both ends, by key": f"{usage}key&since={cut}&until={since(0, minutes=11)}",
        "ledger, newest": "/api/v1/ledger/",
        "ledger, one team": "/api/v1/ledger/?team=team-3",
        "ledger, one key, 7 days": f"/api/v1/ledger/?key_prefix={key}&since={since(7)}",
        "ledger, page 50": "/api/v1/ledger/?page=50",
        "ledger, one request": "/api/v1/ledger/?request_id=req_000000400000000000000012",
        "ledger, one session": "/api/v1/ledger/?session_id=session-8750-17",
        "ledger, adjustments": "/api/v1/ledger/?kind=adjustment",
        "requests, newest": "/api/v1/requests/",
        "requests, one team": "/api/v1/requests/?team=team-3",
    }  # fmt: skip


def timed(action: Callable[[], Any]) -> Figures:
    """The first run and the median of the next ones, in milliseconds, and what of it was waiting for the database."""
    from django.db import connection

    waited = 0.0

    def watched(execute: Any, *arguments: Any) -> Any:
        nonlocal waited
        before = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            waited += (time.perf_counter() - before) * 1000

    times, queries = [], []
    with connection.execute_wrapper(watched):
        for _ in range(TRIES):
            before, waited = time.perf_counter(), 0.0
            action()
            times.append((time.perf_counter() - before) * 1000)
            queries.append(waited)
    return {
        "first_ms": times[0],
        "median_ms": statistics.median(times[1:]),
        "queries_first_ms": queries[0],
        "queries_median_ms": statistics.median(queries[1:]),
    }


def measure(now: datetime) -> dict[str, Figures]:
    from django.test import Client

    from accounting.audit.changes import Actor, changing
    from accounting.money.spending import spent
    from accounting.services import create_api_token

    with changing(Actor("bench", "system")) as change:
        secret = create_api_token(change, "bench", role="admin", team=None, team_role="")[1].reveal()
    headers = {"authorization": f"Bearer {secret}"}

    def ask(address: str) -> None:
        answer = Client().get(address, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code} {answer.content[:500]!r}")

    found = {name: timed(lambda address=address: ask(address)) for name, address in questions(now).items()}  # type: ignore[misc]
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=1)  # of a zone east of here
    scopes: Mapping[str, dict[str, str]] = {
        "organization": {}, "team": {"team": "team-3"}, "key": {"key_prefix": "gw_00000017"},
        "person": {"user": "person-5@example.org"}, "models": {"model": "claude-1*"}, "tag": {"tag": "cost_center=4703"},
    }  # fmt: skip
    for name, scope in scopes.items():
        found[f"spent this month, {name}"] = timed(lambda scope=scope: spent(since=month, **scope))  # type: ignore[misc]
        found[f"spent in all, {name}"] = timed(lambda scope=scope: spent(since=None, **scope))  # type: ignore[misc]
    return found


def ingestion(urls: dict[str, str]) -> dict[str, Figures]:
    """Milliseconds to store 300 requests, alternating between the databases, and the ratio of the turns' medians: of the first
    to the second."""
    from decimal import Decimal

    from accounting.money.entry import Attempt, Entry, Line
    from accounting.money.store import store_records
    from routing.proxy.ids import new_request_id

    def batch(number: int) -> list[Entry]:
        made = []
        for place in range(300):
            c = (number * 300 + place * 7) % COMBINATIONS
            model = f"vendor.claude-{c // (TEAMS * KEYS)}"
            cost = Decimal("0.012345678901")
            line = Line(0, "usage", 0, "provider-1", model, 100, 200, 300, 40, 0, 0, cost, json.loads(PRICE))
            made.append(
                Entry(
                    request_id=new_request_id(), started_at=time.time(), team=f"team-{c % TEAMS}",
                    project="project-1", key=f"key-{c % 40}", key_prefix=f"gw_{c % 240:08}", user="person-5@example.org",
                    alias="claude-1", provider="provider-1", upstream_model=model, status=200, outcome="served",
                    attempts=[Attempt("provider-1", model, 200, "", 12.5)], tokens_input=100, tokens_output=200,
                    tokens_cache_read=300, tokens_cache_write_5m=40, cost_usd=cost, lines=[line],
                    tags={"cost_center": str(4700 + c % 20)}, ttft_ms=150.0, duration_ms=900.0,
                )
            )  # fmt: skip
        return made

    times: dict[str, list[list[float]]] = {name: [] for name in urls}
    for turn in range(ROUNDS):
        for name, url in urls.items() if turn % 2 else reversed(urls.items()):
            use(url)
            store_records(batch(turn))  # a warm connection
            found: list[float] = []
            for number in range(BATCHES):
                entries = batch(number)
                before = time.perf_counter()
                store_records(entries)
                found.append((time.perf_counter() - before) * 1000)
            times[name].append(found)
    of_turns = {name: [statistics.median(found) for found in turns] for name, turns in times.items()}
    return {
        **{name: _spread([each for found in turns for each in found]) for name, turns in times.items()},
        "ratio": _spread([full / empty for full, empty in zip(*of_turns.values(), strict=True)]),
    }


def _spread(found: list[float]) -> Figures:
    return {
        "median": statistics.median(found),
        "p10": sorted(found)[len(found) // 10],
        "p90": sorted(found)[len(found) * 9 // 10],
    }


def _quietly(server: str, full: str, empty: str) -> dict[str, Figures]:
    """What was generated is on the disk before: else storing waits for it, into whichever database."""
    with psycopg.connect(server, autocommit=True) as control:
        control.execute("CHECKPOINT")
    return ingestion({"full": full, "empty": empty})


def run(plan: Plan, server: str) -> dict[str, Any]:
    suffix = f"{os.getpid()}"
    with database(server, f"bench_ledger_{suffix}") as full, database(server, f"bench_empty_{suffix}") as empty:
        use(empty)
        use(full)
        begun = time.monotonic()
        generate(full, plan)
        _say(f"generated in {time.monotonic() - begun:.0f} s")
        with psycopg.connect(full) as db:
            row = db.execute("SELECT pg_database_size(current_database()) / 1048576").fetchone()
        now = plan.start + timedelta(days=DAYS)
        return {
            "lines": plan.per_hour * HOURS,
            "days_of_lines": plan.days_of_lines,
            "size_mib": int(row[0]) if row else 0,
            "queries": measure(now),
            "ingestion": _quietly(server, full, empty),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=50_000_000)
    parser.add_argument("--server", default=SERVER, help="a PostgreSQL server on which databases may be made")
    parser.add_argument(
        "--days-of-lines",
        type=int,
        default=DAYS,
        help="write the lines of the last days only, beside all roll-ups: questions of usage cost what they cost with all",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        os.environ |= {"GATEWAY_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
        os.environ |= {"GATEWAY_ALLOWED_HOSTS": "testserver", "GATEWAY_LOG_LEVEL": "ERROR"}
        os.environ["DATABASE_URL"] = options.server
        import django

        django.setup()
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        result = run(Plan(options.lines, now - timedelta(days=DAYS), options.days_of_lines), options.server)
    result["at"] = datetime.now(UTC).isoformat()
    file = ROOT / "bench/results" / f"ledger-{datetime.now(UTC):%Y-%m-%dT%H%M}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    for name, figures in {
        **result["queries"],
        **{f"store 300, {n}": f for n, f in result["ingestion"].items()},
    }.items():
        print(f"{name:60} " + "  ".join(f"{label} {value:8.1f}" for label, value in figures.items()))
    print(f"{result['lines']:,} lines, {result['size_mib']:,} MiB; written to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
