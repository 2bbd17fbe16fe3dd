"""Fewer indexes on requests: Django gives each unique text a second index for LIKE, which nothing here asks for."""

from django.db import migrations

INDEX = "accounting_requestrecord_request_id_4f9ccf6d_like"


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f'DROP INDEX IF EXISTS "{INDEX}"')


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f'CREATE INDEX IF NOT EXISTS "{INDEX}" ON accounting_requestrecord (request_id varchar_pattern_ops)'
        )


class Migration(migrations.Migration):
    dependencies = [("accounting", "0006_limits")]
    operations = [migrations.RunPython(drop, make)]
