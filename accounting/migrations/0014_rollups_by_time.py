"""Roll-ups are kept by time first, then by names: storing finds its rows on a few pages of the index, not on one for each name."""

from django.db import migrations, models

TABLES = {
    "HourlyUsage": "hourly_usage",
    "HourlyTotals": "hourly_totals",
    "DailyUsage": "daily_usage",
    "DailyTotals": "daily_totals",
    "MonthlyUsage": "monthly_usage",
}


class Reorder(migrations.AlterField):
    """Another order of a primary key's columns, which Django would only note."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "sqlite":
            schema_editor._remake_table(model)
            return
        table = model._meta.db_table
        columns = ", ".join(field.column for field in model._meta.pk_fields)
        schema_editor.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY ({columns})"
        )

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.database_forwards(app_label, schema_editor, from_state, to_state)


def steps(model, name):
    key = models.CompositePrimaryKey(
        "bucket", "dimension_id", blank=True, editable=False, primary_key=True, serialize=False
    )
    return (
        migrations.AddIndex(model, models.Index(fields=["dimension", "bucket"], name=f"{name}_dimension")),
        Reorder(model, "pk", key),
    )


class Migration(migrations.Migration):
    dependencies = [("accounting", "0013_api_token_name")]
    operations = [step for model, name in TABLES.items() for step in steps(model, name)]
