"""nginx as the example configuration sets it up, with this machine's ports in place of the example's."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.harness import Client, wait_until
from tests.harness.process import ROOT, free_port

EXAMPLES = ROOT / "deploy" / "nginx"
MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def nginx_or_skip() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    return found


def placed(example: str, folder: Path) -> str:
    """An example's text, with the files that it includes copied to `folder`."""
    for name in ("proxy", "errors"):
        shutil.copy(EXAMPLES / f"{name}.conf", folder / f"gateway-{name}.conf")
    return (EXAMPLES / example).read_text().replace("/etc/nginx/gateway-", f"{folder}/gateway-")


def checked(nginx: str, folder: Path, site: str) -> list[str]:
    """Writes the configuration and has nginx check it; the command that serves it."""
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(("user root;" if os.getuid() == 0 else "") + MAIN.format(folder=folder))
    command = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr
    return command


class Nginx:
    """The example of the compose file before some nodes; `port` is where clients go."""

    def __init__(self, folder: Path, nodes: Sequence[int]) -> None:
        folder.mkdir()
        self.port = free_port()
        site = placed("compose.conf", folder).replace("listen 8080;", f"listen 127.0.0.1:{self.port};")
        servers = "".join(f"    server 127.0.0.1:{node} max_fails=3 fail_timeout=2s;\n" for node in nodes)
        site, replaced = re.subn(r"^ *server gateway:8000 .*\n", servers, site, flags=re.MULTILINE)
        assert replaced == 1
        self.errors = folder / "error.log"
        self._process = subprocess.Popen(checked(nginx_or_skip(), folder, site))
        wait_until(self._answers, what="nginx")

    def client(self, timeout: float = 10) -> Client:
        return Client(self.port, timeout)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            self.client().leave()
        except OSError:
            return False
        return True


StartNginx = Callable[[Sequence[int]], Nginx]


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    started: list[Nginx] = []

    def start(nodes: Sequence[int]) -> Nginx:
        started.append(Nginx(tmp_path / f"nginx-{len(started)}", nodes))
        return started[-1]

    yield start
    for each in started:
        each.stop()
