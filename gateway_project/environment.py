"""Settings from the environment, read once, when `settings` is imported.

Every `NAME` can also be given as `NAME_FILE`, the path of a file that holds the value (a mounted secret).
An unusable value raises `UnusableSetting`, whose text is the one line that an operator sees.
"""

import base64
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Any

import environ


class UnusableSetting(Exception):
    """A setting that the gateway cannot start with; the text names it and says what would do."""


def read(name: str, default: str = "") -> str:
    """The value of `name`, or the content of the file named by `name_FILE`, or `default`."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableSetting(f"{name}_FILE: cannot read {path}: {error}") from error
    return os.environ.get(name, default).strip()


def read_integer(name: str, default: int, *, least: int, most: int) -> int:
    text = read(name, str(default))
    try:
        number = int(text)
    except ValueError:
        raise UnusableSetting(f"{name}: {text!r} is not a whole number") from None
    if not least <= number <= most:
        raise UnusableSetting(f"{name}: {number} is not between {least} and {most}")
    return number


def read_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in read(name, default).split(",") if part.strip()]


def read_networks(name: str, default: str = "") -> list[str]:
    """Addresses and networks, each as a network."""
    found = []
    for text in read_list(name, default):
        try:
            found.append(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            raise UnusableSetting(f"{name}: {text!r} is not an address or a network") from None
    return found


def read_flag(name: str, *, default: bool) -> bool:
    text = read(name, "1" if default else "0").lower()
    if text not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
        raise UnusableSetting(f"{name}: {text!r} is not yes or no")
    return text in {"1", "true", "yes", "on"}


def data_directory(base: Path) -> Path:
    """The folder for the SQLite file, the spool and generated secrets; made if it is missing, private to its owner."""
    path = Path(read("GATEWAY_DATA_DIR", str(base / "var"))).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnusableSetting(f"GATEWAY_DATA_DIR: cannot make {path}: {error}") from error
    if not os.access(path, os.W_OK):
        raise UnusableSetting(f"GATEWAY_DATA_DIR: {path} is not writable")
    return path


def secret_or_generated(name: str, folder: Path) -> str:
    """The secret from the environment, else the one in `folder`, which is made the first time (mode 0600)."""
    value = read(name)
    if value:
        return value
    path = folder / f"{name.lower()}.secret"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    except FileExistsError:
        pass
    except OSError as error:
        raise UnusableSetting(f"{name}: cannot write {path}: {error}") from error
    value = path.read_text(encoding="ascii").strip()
    if not value:  # another process has made the file and not yet written it, or a write was cut short
        raise UnusableSetting(f"{name}: {path} is empty; remove it and start again")
    return value


def database(folder: Path) -> dict[str, Any]:
    """Django's settings for `DATABASE_URL`; SQLite in the data folder when there is none."""
    url = read("DATABASE_URL") or f"sqlite:///{folder / 'gateway.sqlite3'}"
    if not url.startswith(("sqlite:", "postgres:", "postgresql:")):
        raise UnusableSetting("DATABASE_URL: only postgres:// and sqlite:/// addresses are served")
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except (ValueError, KeyError, environ.ImproperlyConfigured) as error:
        raise UnusableSetting(f"DATABASE_URL: {error}") from error
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            # Readers never wait for the recorder's batches; a writer waits for another one instead of failing.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        }
    else:
        options = config.setdefault("OPTIONS", {})
        options.setdefault("connect_timeout", 5)
        config["CONN_HEALTH_CHECKS"] = True
        config["CONN_MAX_AGE"] = 60
    return config


def mail() -> dict[str, Any]:
    """Django's settings for `EMAIL_URL`; nothing when mail is not configured."""
    url = read("EMAIL_URL")
    if not url:
        return {}
    if not url.startswith(("smtp://", "smtp+tls://", "smtp+ssl://", "smtps://", "consolemail://", "filemail://")):
        raise UnusableSetting("EMAIL_URL: must begin with smtp://, smtp+tls:// or smtp+ssl://")
    try:
        config: dict[str, Any] = dict(environ.Env.email_url_config(url))
    except (ValueError, KeyError, environ.ImproperlyConfigured) as error:
        raise UnusableSetting(f"EMAIL_URL: {error}") from error
    return config
