"""What all commands share: they need a migrated database, and end with one clear line and status 1 when they refuse."""

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, IntegrityError, OperationalError, connection
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.executor import MigrationExecutor

from accounting.audit.changes import StaleVersion


class GatewayCommand(BaseCommand):
    """A command that works on the database. Override `handle`; what models or database refuse becomes one line."""

    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        require_migrated()
        try:
            return super().execute(*args, **options)
        except ValidationError as error:
            raise CommandError(sentence(error)) from None
        except StaleVersion as error:
            raise CommandError(str(error)) from None
        except (IntegrityError, OperationalError) as error:  # the rest of such a message shows rows; it stays out
            text = f"The database refused, and nothing was changed: {_first_line(error)}. Run the command again."
            raise CommandError(text) from None


def require_migrated() -> None:
    """Raises CommandError, with what to do, if the database cannot be reached or lacks a migration."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, MigrationSchemaMissing) as error:
        raise CommandError(f"The database cannot be used: {_first_line(error)}") from None
    if missing:
        raise CommandError("The database is not migrated; run `python manage.py migrate` first.")


def sentence(error: ValidationError) -> str:
    """All that a ValidationError says, in one line."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        message if name == NON_FIELD_ERRORS else f"{name}: {message}"
        for name, messages in error.message_dict.items()
        for message in messages
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
