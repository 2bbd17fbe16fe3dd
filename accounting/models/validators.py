"""Rules for single values that more than one table needs. Each refuses with a sentence."""

import ipaddress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

name_validator = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z",
    _("Use lower-case letters, digits and dashes; begin and end with a letter or digit."),
)


def validate_strings(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError(_("This must be a list of texts."))


def validate_patterns(value: Any) -> None:
    """Model names, in which `*` matches any run of characters."""
    validate_strings(value)
    for item in value:
        if not item or len(item) > 200 or any(ord(char) < 33 for char in item):
            raise ValidationError(_("%(text)s is not a model name or pattern.") % {"text": repr(item)})


def validate_networks(value: Any) -> None:
    validate_strings(value)
    for item in value:
        try:
            ipaddress.ip_network(item)
        except ValueError as error:
            raise ValidationError(_what_is_wrong(item, error)) from None


def _what_is_wrong(item: str, error: ValueError) -> str:
    """Python's two sentences about a network, in the reader's language."""
    if "host bits" in str(error):
        return _("%(quoted)s is not an address or network: %(text)s has host bits set.") % {
            "quoted": repr(item),
            "text": item,
        }
    return _("%(quoted)s is not an address or network: %(quoted)s does not appear to be an IPv4 or IPv6 network.") % {
        "quoted": repr(item)
    }


def validate_tags(value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise ValidationError(_("Tags are names with texts, such as cost_center: 4711."))
    for name, text in value.items():
        if not name or len(name) > 63 or len(text) > 200:
            raise ValidationError(_("The tag %(name)s is too long or has no name.") % {"name": repr(name)})
