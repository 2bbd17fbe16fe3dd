"""The image and the compose file, as far as they can be checked without an engine: by reading them, and by running the
gateway as they do: as another user, from files it cannot write, with nothing but the data folder."""

import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import wait_until
from tests.harness.process import ROOT, free_port

DEPLOY = ROOT / "deploy"
USER = 10001


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line and line[0] != "#"]


@pytest.fixture(scope="module")
def image() -> list[tuple[str, str]]:
    return instructions((DEPLOY / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def last_stage(image: list[tuple[str, str]]) -> list[tuple[str, str]]:
    start = max(index for index, (word, _) in enumerate(image) if word == "FROM")
    return image[start:]


def test_every_instruction_is_one(image: list[tuple[str, str]]) -> None:
    known = {
        "FROM",
        "ENV",
        "RUN",
        "COPY",
        "WORKDIR",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {word for word, _ in image} <= known
    assert [what.split(" ")[0] for word, what in image if word == "FROM"] == ["python:3.11-slim", "python:3.11-slim"]


def test_the_image_runs_as_nobody_special_and_keeps_data_in_one_volume(image: list[tuple[str, str]]) -> None:
    stage = dict(last_stage(image))
    assert stage["USER"] == f"{USER}:{USER}"
    assert stage["VOLUME"] == "/data"
    assert "GATEWAY_DATA_DIR=/data" in stage["ENV"]
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert stage["ENTRYPOINT"] == '["python", "manage.py"]'
    words = [word for word, _ in last_stage(image)]
    assert words.index("USER") < words.index("HEALTHCHECK"), "the health check is not root's either"
    assert all("--chown" not in what for word, what in image if word == "COPY"), "the user cannot write the code"


def test_packages_are_the_locked_ones(image: list[tuple[str, str]]) -> None:
    installs = [what for word, what in image if word == "RUN" and "pip install" in what]
    assert installs
    assert all("--require-hashes" in what for what in installs)


def ignored(path: str, rules: list[str]) -> bool:
    """Whether the ignore file keeps a path out of the image: the last rule that fits decides."""
    out = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        fits = any(fnmatch.fnmatch(each, pattern) for each in (parts if "**/" in rule else heads))
        out = not rule.startswith("!") if fits else out
    return out


def test_only_what_runs_is_in_the_image() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    for needed in ("manage.py", "routing/serving.py", "templates/base.html", "static/x", "deploy/healthcheck.py"):
        assert not ignored(needed, rules), needed
    for kept_out in ("var/gateway.sqlite3", ".git/config", ".env", "deploy/secrets/secret_key", "deploy/gateway.env",
                     "tests/conftest.py", "routing/__pycache__/x.pyc", ".venv/bin/python"):  # fmt: skip
        assert ignored(kept_out, rules), kept_out


def test_every_service_is_confined(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        if name != "postgres":
            assert service["read_only"] is True, name


def test_only_nginx_is_reached_from_outside_and_databases_reach_nothing(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    assert services["nginx"]["ports"] == ["127.0.0.1:8080:8080"]
    assert compose["networks"]["back"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert services[name]["networks"] == ["back"]
    assert services["nginx"]["networks"] == ["front"]


def test_what_the_compose_file_names_exists(compose: dict[str, Any]) -> None:
    documented = (ROOT / "docs" / "configure.md").read_text()
    for service in compose["services"].values():
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith("./") else source in compose["volumes"], source
        for needed in service.get("depends_on", {}):
            assert needed in compose["services"]
        for name in service["environment"] if service.get("image") == "gateway" else ():
            assert f"`{name.removesuffix('_FILE')}`" in documented
    build = compose["services"]["migrate"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_proxys_network_is_the_one_that_is_trusted(compose: dict[str, Any]) -> None:
    [network] = compose["networks"]["front"]["ipam"]["config"]
    assert compose["services"]["gateway"]["environment"]["GATEWAY_TRUSTED_PROXIES"] == network["subnet"]


def test_stopping_waits_longer_than_draining(compose: dict[str, Any]) -> None:
    example = (DEPLOY / "gateway.env.example").read_text()
    drain = int(re.search(r"^GATEWAY_DRAIN_SECONDS=(\d+)$", example, re.MULTILINE)[1])  # type: ignore[index]
    from routing.supervisor import GRACE_SECONDS

    assert int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > drain + GRACE_SECONDS
    unit = (DEPLOY / "gateway.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > drain + GRACE_SECONDS  # type: ignore[index]


@pytest.fixture
def nobody() -> list[str]:
    """The start of a command that runs as the image's user; such a user can write nothing of ours."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become the image's user (setpriv)")
    command = [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]
    reached = subprocess.run(
        [*command, sys.executable, "-c", "import django"], cwd=ROOT, capture_output=True, check=False
    )
    if reached.returncode:
        pytest.skip("the image's user cannot reach this virtual environment")
    return command


@pytest.mark.server
def test_it_runs_as_the_images_user_with_nothing_but_the_data_folder(nobody: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="gateway-data-") as name:
        data = Path(name)
        os.chown(data, USER, USER)
        data.chmod(0o700)
        port = free_port()
        settings = {
            "PATH": os.environ["PATH"],
            "GATEWAY_DATA_DIR": name,
            "GATEWAY_PORT": str(port),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [*nobody, sys.executable, "manage.py", "serve", "--migrate", "--host", "127.0.0.1"]
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL)
        try:
            check = [*nobody, sys.executable, "deploy/healthcheck.py"]

            def healthy() -> bool:
                assert process.poll() is None
                return subprocess.run(check, cwd=ROOT, env=settings, check=False).returncode == 0

            wait_until(healthy, timeout=60, what="a healthy gateway")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert subprocess.run(check, cwd=ROOT, env=settings, check=False).returncode == 1
            assert {path.name for path in data.iterdir()} >= {"gateway.sqlite3", "gateway_secret_key.secret"}
            assert {path.stat().st_uid for path in data.rglob("*")} == {USER}
        finally:
            process.kill()
            process.wait(10)
