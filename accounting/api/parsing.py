"""Reading JSON bodies. What cannot be stored, shown or walked through is refused here, for every view: with 400, or 413."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

MOST_LEVELS = 100


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "This body is too large."
    default_code = "too_large"


class JsonParser(JSONParser):
    """UTF-8 whatever the header says, as JSON is; no lone surrogates, no numbers without an end, no bottomless nesting."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        most = settings.GATEWAY_MAX_BODY_BYTES
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge
        try:
            value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except RecursionError:
            raise ParseError(_DEEP) from None
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from None
        _check(value)
        return value


_DEEP = f"JSON parse error - At most {MOST_LEVELS} levels of lists and objects."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _check(value: Any) -> None:
    """Level by level, so that nothing is too deep for it. Raises ParseError."""
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            else:
                _check_scalar(each)
        if not below:
            return
        level = below
    raise ParseError(_DEEP)


def _check_scalar(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ParseError("JSON parse error - A number is too large.")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ParseError("JSON parse error - Half of a surrogate pair is no character.") from None
