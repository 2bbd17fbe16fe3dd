"""Whether the database is there and migrated, as one line for the person who starts a server."""

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor


def start_problem() -> str:
    """What keeps a server from starting, or nothing. The connection is closed again: a server process opens its own."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except OperationalError as error:
        reason = str(error).strip().partition("\n")[0]
        return f"the database cannot be reached: {reason}"
    finally:
        connection.close()
    if missing:
        return f"the database is not migrated ({missing} migrations are missing); run: python manage.py migrate"
    return ""
