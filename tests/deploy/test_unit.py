"""The systemd unit: systemd itself finds nothing wrong with it, and little to attack."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.process import ROOT

UNIT = ROOT / "deploy" / "gateway.service"
MOST_EXPOSED = 2.0  # of 10, by systemd's own measure


def analyze(*arguments: str) -> str:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is not installed")
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    return done.stdout + done.stderr


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    here = tmp_path / "gateway.service"
    python = shutil.which("python3") or "/usr/bin/python3"
    here.write_text(UNIT.read_text().replace("/opt/gateway/.venv/bin/python", python))
    complaints = [line for line in analyze("verify", str(here)).splitlines() if "gateway.service" in line]
    assert complaints == []


def test_the_service_is_confined() -> None:
    said = analyze("security", "--offline=yes", str(UNIT))
    exposure = re.search(r"exposure level for gateway\.service: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) < MOST_EXPOSED


def test_reload_is_the_rolling_restart_and_only_the_parent_gets_the_signals() -> None:
    text = UNIT.read_text()
    for line in ("ExecReload=/bin/kill -HUP $MAINPID", "KillMode=mixed", "Restart=always", "ProtectSystem=strict",
                 "StateDirectory=gateway", "Environment=GATEWAY_DATA_DIR=%S/gateway"):  # fmt: skip
        assert re.search(rf"^{re.escape(line)}", text, re.MULTILINE), line
