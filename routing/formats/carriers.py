"""Where clients of the three formats put their keys. Pure."""

from routing.formats.base import Headers

_BEARER = b"bearer "


def credentials_of(headers: Headers) -> list[str]:
    """What may be a gateway key, in the order in which it is tried: bearer tokens, then `x-api-key`; each once.

    Several can stand there at once, with different values; the first that is a key of the gateway counts. An Amazon
    signature is none: it is made with a secret that the gateway does not have. A key in `x-api-key` beside it counts.
    """
    found = [
        value[len(_BEARER) :].strip().decode("latin-1")
        for name, value in headers
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER
    ]
    found += [value.strip().decode("latin-1") for name, value in headers if name == b"x-api-key"]
    return [value for value in dict.fromkeys(found) if value]
