"""Counts of months beyond two thousand million."""

from django.db import migrations, models

COUNTS = (
    "requests",
    "errors",
    "refused",
    "estimated",
    "ttft_count",
    "ttft_100",
    "ttft_200",
    "ttft_400",
    "ttft_700",
    "ttft_1000",
    "ttft_1500",
    "ttft_2500",
    "ttft_5000",
    "ttft_10000",
    "ttft_20000",
    "ttft_60000",
)


class Migration(migrations.Migration):
    dependencies = [("accounting", "0008_profile")]
    operations = [migrations.AlterField("monthlyusage", name, models.BigIntegerField()) for name in COUNTS]
