"""Real databases for tests that need more than one connection: a SQLite file, and PostgreSQL where it is reachable."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from gateway_project.environment import database

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")


@contextmanager
def own_database(url: str, folder: Path, blocker: DjangoDbBlocker) -> Iterator[None]:
    """Makes `url` the default database of every thread, configured as in production; migrated by the caller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        config = database(folder)
    before = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": config})["default"]
    try:
        with blocker.unblock():
            yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


@contextmanager
def new_postgres(folder: Path, blocker: DjangoDbBlocker) -> Iterator[str]:
    """The address of a PostgreSQL database of its own, migrated, with what migrations put into it; dropped at the end."""
    name = f"test_accounting_{uuid.uuid4().hex[:12]}"
    try:
        server = psycopg.connect(SERVER, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL is not reachable (TEST_POSTGRES_URL): {str(error).splitlines()[0]}")
    with server:
        server.execute(f"CREATE DATABASE {name}")
        url = SERVER.rsplit("/", 1)[0] + "/" + name
        with own_database(url, folder, blocker):
            call_command("migrate", verbosity=0)
        yield url
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_url(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A migrated PostgreSQL database of this test process. Its users empty it, of the shipped prices too."""
    with new_postgres(tmp_path_factory.mktemp("postgres"), django_db_blocker) as url:
        yield url


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The default database is PostgreSQL, empty, in every thread; its address."""
    with own_database(postgres_url, tmp_path, django_db_blocker):
        yield postgres_url
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="session")
def migrated_file(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Path:
    """An empty, migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    with own_database(f"sqlite:///{path}", path.parent, django_db_blocker):
        call_command("migrate", verbosity=0)
    return path


@pytest.fixture
def sqlite(tmp_path: Path, migrated_file: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The default database is a fresh SQLite file, in every thread; its address."""
    url = f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'test.sqlite3')}"
    with own_database(url, tmp_path, django_db_blocker):
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_database(request: pytest.FixtureRequest) -> str:
    """Both, one after the other; the address."""
    address: str = request.getfixturevalue(request.param)
    return address
