"""The dashboard's pages with ten million ledger lines in PostgreSQL: milliseconds and queries of each, as an owner of a team.

    python -m bench.pages --lines 10000000

The year is that of `bench.ledger`; its database is made and dropped. Each page is asked for through Django's own handler, with
everything that stands before a page (session, permissions, the security headers).
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.ledger import DAYS, SERVER, Plan, database, generate, use
from bench.processes import ROOT

TRIES = 7
MOST_MS, MOST_QUERIES = 300.0, 14
TEAM = "team-1"
TEAM_PAGES = (
    "", "?period=24h", "?period=365d", "?group=key", "usage/", "usage/?period=24h", "usage/?period=7d",
    "usage/?period=90d", "usage/?period=365d", "usage/?group=key", "usage/?group=user", "usage/?group=project",
    "usage/?period=90d&group=user", "usage/?period=365d&group=key", "requests/", "requests/?period=7d",
    "sessions/", "keys/", "budgets/", "budgets/?tab=rates", "models/", "setup/", "members/", "projects/",
    "projects/project-1/", "activity/", "alerts/",
)  # fmt: skip


def prepared() -> Any:
    """An owner of the team, signed in; the team with its projects, people, keys and budgets."""
    from decimal import Decimal

    from django.contrib.auth.hashers import make_password
    from django.test import Client

    from accounting.audit.changes import Actor, changing
    from accounting.models import Budget, Membership, Project, Team, User
    from accounting.services import create_key

    with changing(Actor("bench", "system")) as change:
        team = Team(name=TEAM)
        change.save(team)
        projects = [Project(team=team, name=f"project-{number}") for number in range(3)]
        for project in projects:
            change.save(project)
        for number in range(40):
            create_key(change, projects[number % 3], f"key-{number}")
        change.save(Budget(scope="team", team=team, period="month", amount=Decimal(1_000_000), soft=[50, 80]))
        for project in projects:
            change.save(Budget(scope="project", project=project, period="month", amount=Decimal(1_000_000)))
    people = [User(email=f"person-{number}@example.org", password=make_password(None)) for number in range(97)]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(
        Membership(team=team, user=user, role="owner" if user.email == people[0].email else "member") for user in people
    )
    client = Client(SERVER_NAME="testserver")
    client.force_login(people[0], backend="django.contrib.auth.backends.ModelBackend")
    return client


def measured(client: Any) -> dict[str, dict[str, float]]:
    from django.db import connection

    found = {}
    for page in TEAM_PAGES:
        address, asked = f"/teams/{TEAM}/{page}", 0

        def counted(execute: Any, *arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return execute(*arguments)

        with connection.execute_wrapper(counted):
            answer = client.get(address)
            assert answer.status_code == 200, (address, answer.status_code)
        times = []
        for _ in range(TRIES):
            before = time.perf_counter()
            b"".join(client.get(address))
            times.append((time.perf_counter() - before) * 1000)
        figures = {"median_ms": statistics.median(times), "most_ms": max(times), "queries": float(asked)}
        found[address] = figures
        print(f"{address:55} " + "  ".join(f"{name} {value:7.1f}" for name, value in figures.items()), file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--server", default=SERVER, help="a PostgreSQL server on which a database may be made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        os.environ |= {"GATEWAY_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "gateway_project.settings"}
        os.environ |= {"GATEWAY_ALLOWED_HOSTS": "testserver", "GATEWAY_LOG_LEVEL": "ERROR"}
        os.environ["DATABASE_URL"] = options.server
        import django

        django.setup()
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        with database(options.server, f"gateway_bench_pages_{os.getpid()}") as url:
            use(url)
            generate(url, Plan(options.lines, now - timedelta(days=DAYS)))
            pages = measured(prepared())
    result = {"at": datetime.now(UTC).isoformat(), "lines": options.lines, "pages": pages}
    file = ROOT / "bench/results" / f"pages-{datetime.now(UTC):%Y-%m-%dT%H%M}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    over = [name for name, each in pages.items() if each["median_ms"] > MOST_MS or each["queries"] > MOST_QUERIES]
    print(
        f"written to {file.relative_to(ROOT)}; over {MOST_MS:.0f} ms or {MOST_QUERIES} queries: {', '.join(over) or 'none'}"
    )


if __name__ == "__main__":
    main()
