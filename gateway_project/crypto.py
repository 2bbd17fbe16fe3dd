"""Secrets: a type that cannot be printed, a key ring that encrypts at rest, a keyed hash, an encrypted model field.

Nothing here knows the product. A secret leaves a `Secret` only through `reveal()`, so every place that can leak one
can be found by that word.
"""

import base64
import hashlib
import hmac
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class Secret:
    """A string that prints, formats and pickles as `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Secret, ("***",))


class UnreadableSecret(Exception):
    """A stored secret that none of the configured keys opens."""


def fernet_key(text: str) -> bytes:
    """A Fernet key from `text`: the key itself, or one derived from a passphrase of at least 16 characters."""
    try:
        Fernet(text.encode())
        return text.encode()
    except (ValueError, TypeError):
        pass
    if len(text) < 16:
        raise ValueError("a key needs at least 16 characters")
    return base64.urlsafe_b64encode(hashlib.sha256(b"gateway field key\0" + text.encode()).digest())


class KeyRing:
    """Encrypts with the newest key, decrypts with any; `rotate` moves a stored text to the newest key."""

    def __init__(self, keys: list[str]) -> None:
        self._fernet = MultiFernet([Fernet(fernet_key(key)) for key in keys])

    def encrypt(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        try:
            return self._fernet.decrypt(stored.encode()).decode()
        except InvalidToken as error:
            raise UnreadableSecret("none of the keys in GATEWAY_FIELD_KEYS opens this secret") from error

    def rotate(self, stored: str) -> str:
        try:
            return self._fernet.rotate(stored.encode()).decode()
        except InvalidToken as error:
            raise UnreadableSecret("none of the keys in GATEWAY_FIELD_KEYS opens this secret") from error


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(list(keys))


def ring() -> KeyRing:
    """The key ring of `settings.GATEWAY_FIELD_KEYS`."""
    return _ring(tuple(settings.GATEWAY_FIELD_KEYS))


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> bytes:
    return hashlib.sha256(b"gateway key hash\0" + secret_key.encode()).digest()


def keyed_hash(secret: str) -> str:
    """What is stored of a key that only its holder knows: HMAC-SHA-256 under a key derived from the secret key, hex."""
    return hmac.digest(_pepper(settings.SECRET_KEY), secret.encode("utf-8", "surrogateescape"), "sha256").hex()


if TYPE_CHECKING:
    _TextField = models.TextField[dict[str, str], dict[str, str]]
else:
    _TextField = models.TextField  # subscriptable only for the type checker


class EncryptedJSONField(_TextField):
    """A dictionary of strings, encrypted by the key ring; in the database only ciphertext is ever seen."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> dict[str, str]:
        if not value:
            return {}
        loaded: dict[str, str] = json.loads(ring().decrypt(value))
        return loaded

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> str:
        return ring().encrypt(json.dumps(value, sort_keys=True)) if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        return "***"
