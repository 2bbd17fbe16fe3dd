"""Several processes at once, on PostgreSQL: a due change is applied once, versions follow each other without a gap."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.harness import postgres_database

ROOT = Path(__file__).resolve().parent.parent.parent

SET_UP = """
from tests.versions.conftest import first_configuration, make, set_cooldown
from tests.versions.test_proposals import NOW, LATER, proposed
make(first_configuration)
proposed(set_cooldown(77), not_before=LATER)
"""
APPLY = """
import sys
from tests.versions.test_proposals import LATER
from routing.versions.proposals import run_due
print("ready", flush=True)
sys.stdin.readline()
print(run_due(LATER))
"""
CHANGE = """
import sys
from tests.versions.conftest import make
from routing.models import ModelAlias, Route
from routing.services import save_alias
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    name = f"alias-{sys.argv[1]}-{number}"
    make(lambda change: save_alias(change, ModelAlias(name=name, route=Route.objects.get())))
"""
IMPORT = """
import sys
from accounting.audit.changes import Actor, changing
from django.core.exceptions import ValidationError
from routing.declarative import ConfigRefused
from routing.declarative.trying import Moved, Wanted, carry_out, try_out
file = b"version: 1\\nroutes:\\n- name: sonnet\\n  cooldown: 55\\nteams:\\n- name: blue\\n"
wanted, actor = Wanted(file, {}), Actor(f"admin-{sys.argv[1]}", "user")
tried = try_out(wanted, actor)
assert len(tried.changes) == 2, tried
print("ready", flush=True)
sys.stdin.readline()
try:
    with changing(actor) as change:
        carry_out(change, wanted, tried.mark)
    print("applied")
except (Moved, ConfigRefused):
    print("moved")
"""
DJANGO = "import django; django.setup()\n"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of processes that share a fresh database."""
    with postgres_database() as url:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "GATEWAY_DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
        subprocess.run([sys.executable, "-c", DJANGO + SET_UP], cwd=ROOT, env=environment, check=True)
        yield environment


def together(code: str, count: int, environment: dict[str, str]) -> list[str]:
    """Runs the code in so many processes that begin at the same moment; what each wrote last."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DJANGO + code, str(number)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    written = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return written


def rows(environment: dict[str, str], query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.postgres
def test_a_due_change_is_applied_by_one_process(database: dict[str, str]) -> None:
    assert sorted(together(APPLY, 3, database)) == ["0\n", "0\n", "1\n"]
    assert rows(database, "SELECT cooldown FROM routing_route") == [(77,)]
    assert rows(database, "SELECT number FROM routing_configversion ORDER BY 1") == [(1,), (2,)]
    assert rows(database, "SELECT state, version FROM routing_configproposal") == [("applied", 2)]


@pytest.mark.postgres
def test_versions_of_changes_at_the_same_time_follow_each_other(database: dict[str, str]) -> None:
    together(CHANGE, 3, database)
    numbers = [row[0] for row in rows(database, "SELECT number FROM routing_configversion ORDER BY 1")]
    assert numbers == list(range(1, 62))
    check = (
        DJANGO + "from routing.models import ConfigVersion\n"
        "from routing.versions.keeping import picture_of\n"
        "sizes = [len(picture_of(each).tables['modelalias']) for each in ConfigVersion.objects.order_by('number')]\n"
        "assert sizes == list(range(1, 62)), sizes\n"
    )
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=database, check=True)


@pytest.mark.postgres
def test_of_people_who_apply_the_same_file_at_once_one_does_and_the_others_are_told(database: dict[str, str]) -> None:
    assert sorted(together(IMPORT, 3, database)) == ["applied\n", "moved\n", "moved\n"]
    assert rows(database, "SELECT cooldown FROM routing_route") == [(55,)]
    changed = "SELECT count(*) FROM accounting_auditevent WHERE action = 'changed' AND object_type = 'route'"
    assert rows(database, changed) == [(1,)]
    assert rows(database, "SELECT name FROM accounting_team") == [("blue",)]
