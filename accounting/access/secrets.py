"""Virtual keys and API tokens as text: how one is made, recognised and named without its secret. No I/O.

A key is `gw_` + 8 characters of prefix + `_` + 40 characters of secret + 6 characters of checksum, letters and digits.
The checksum lets a secret scanner, and the gateway, tell a mistyped key from an unknown one without a look-up.
"""

import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_letters
KEY_MARK = "gw_"
TOKEN_MARK = "gwt_"  # noqa: S105 - how a token begins, no secret
LEAST_IMPORTED_LENGTH = 20


def _checksum(text: str) -> str:
    number, out = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        out = ALPHABET[digit] + out
    return out


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_secret(mark: str = KEY_MARK) -> str:
    """A fresh key (or, with `TOKEN_MARK`, an API token)."""
    body = f"{mark}{_random(8)}_{_random(40)}"
    return body + _checksum(body)


def is_well_formed(text: str, mark: str = KEY_MARK) -> bool:
    """Whether `text` has a generated key's shape and its checksum fits."""
    if len(text) != len(mark) + 8 + 1 + 40 + 6 or not text.startswith(mark) or text[len(mark) + 8] != "_":
        return False
    return text.isascii() and _checksum(text[:-6]) == text[-6:]


def prefix_of(text: str, mark: str = KEY_MARK) -> str:
    """What may be shown and stored of a key: `gw_` + 8 characters; of an imported one its first 8."""
    return text[: len(mark) + 8] if is_well_formed(text, mark) else text[:8]


def is_own_prefix(prefix: str) -> bool:
    """Whether a prefix belongs to one generated key; imported ones may share theirs."""
    return prefix.startswith(KEY_MARK) and len(prefix) == len(KEY_MARK) + 8
