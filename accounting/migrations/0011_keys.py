"""Keys with two secrets while they are rotated, and when each was used last."""

from django.db import migrations, models


def look_back(apps, schema_editor):
    """When known keys were used last, one look into an index for each; later uses are noted as they are recorded."""
    records = apps.get_model("accounting", "RequestRecord").objects
    uses = apps.get_model("accounting", "KeyUse").objects
    keys = apps.get_model("accounting", "VirtualKey").objects.exclude(prefix="")
    for prefix, team in keys.order_by().values_list("prefix", "project__team__name").distinct().iterator():
        last = records.filter(key_prefix=prefix, team=team).order_by("-started_at").first()
        if last is not None:
            found = {"last_at": last.started_at, "client_ip": last.client_ip, "user_agent": last.user_agent}
            uses.get_or_create(key_prefix=prefix, team="" if prefix.startswith("gw_") and len(prefix) == 11 else team, defaults=found)


def nothing(apps, schema_editor):
    """The table goes."""


class Migration(migrations.Migration):

    dependencies = [
        ('accounting', '0010_people'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyUse',
            fields=[
                ('pk', models.CompositePrimaryKey('key_prefix', 'team', blank=True, editable=False, primary_key=True, serialize=False)),
                ('key_prefix', models.CharField(max_length=20)),
                ('team', models.CharField(blank=True, max_length=63)),
                ('last_at', models.DateTimeField()),
                ('client_ip', models.CharField(blank=True, max_length=45)),
                ('user_agent', models.CharField(blank=True, max_length=300)),
            ],
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='old_prefix',
            field=models.CharField(blank=True, db_index=True, default='', editable=False, max_length=20),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='old_secret_hash',
            field=models.CharField(blank=True, default='', editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='old_until',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='virtualkey',
            name='rotated_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name='virtualkey',
            constraint=models.UniqueConstraint(condition=models.Q(('old_secret_hash', ''), _negated=True), fields=('old_secret_hash',), name='key_old_secret_once'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['object_type', 'object_id', '-id'], name='event_object'),
        ),
        migrations.RunPython(look_back, nothing),
    ]
