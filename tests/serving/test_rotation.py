"""Rotation of the keys that encrypt credentials at rest, as docs/operate.md tells it."""

import sqlite3
from pathlib import Path

from tests.serving.conftest import Run

CONFIG = """
version: 1
providers:
  - {name: one, base_url: "https://api.example.org", credential: {kind: api_key, api_key: the-first-secret}}
  - {name: two, base_url: "https://api.example.net", credential: {kind: none}}
"""
OLD, NEW = "the-old-key-long-enough", "the-new-key-long-enough"


def stored(data: Path) -> str:
    with sqlite3.connect(data / "gateway.sqlite3") as database:
        rows = database.execute('SELECT "values" FROM routing_credential ORDER BY id').fetchall()
    return "".join(row[0] for row in rows)


def loaded(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    imported = run("import_config", str(file), GATEWAY_FIELD_KEYS=OLD)
    assert imported.result() == 0, imported.text()


def test_the_old_key_is_not_needed_after_a_rotation(run: Run, data: Path, tmp_path: Path) -> None:
    loaded(run, tmp_path)
    before = stored(data)
    rotated = run("rotate_field_keys", GATEWAY_FIELD_KEYS=f"{NEW},{OLD}")
    assert rotated.result() == 0
    assert "1 encrypted with the newest key" in rotated.text()
    assert stored(data) != before
    assert "the-first-secret" not in stored(data) + rotated.text()
    again = run("rotate_field_keys", GATEWAY_FIELD_KEYS=NEW)
    assert again.result() == 0


def test_a_key_that_is_missing_changes_nothing(run: Run, data: Path, tmp_path: Path) -> None:
    loaded(run, tmp_path)
    before = stored(data)
    refused = run("rotate_field_keys", GATEWAY_FIELD_KEYS=NEW)
    assert refused.result() == 1
    assert "one" in refused.text()
    assert "GATEWAY_FIELD_KEYS" in refused.text()
    assert "Traceback" not in refused.text()
    assert stored(data) == before
