"""Where clients of the three formats put their keys. Pure."""

from routing.formats.base import BEDROCK, Headers

_BEARER = b"bearer "
_SIGNATURE = b"aws4-hmac-sha256"


def credentials_of(headers: Headers, format: str) -> list[str]:  # noqa: A002 - the house's word
    """What may be a gateway key, in the order in which it is tried: bearer tokens, then `x-api-key`; each once.

    Several can stand there at once, with different values; the first that is a key of the gateway counts. A Bedrock request
    that is signed carries none: the signature is made with a key that the gateway does not have.
    """
    found: list[str] = []
    signed = False
    for name, value in headers:
        if name != b"authorization":
            continue
        start = value[: len(_BEARER)].lower()
        if start == _BEARER:
            found.append(value[len(_BEARER) :].strip().decode("latin-1"))
        signed = signed or value.lstrip().lower().startswith(_SIGNATURE)
    if format == BEDROCK and signed:
        return []
    found += [value.strip().decode("latin-1") for name, value in headers if name == b"x-api-key"]
    return [value for value in dict.fromkeys(found) if value]
