"""Secrets that stay as they are stored: a file that was exported has references in their places, and no value for them.

Only where the file has the secret of a row that exists, and only whole references that nobody has given a value for. A
stored secret never gets to any other place of a document.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from accounting.models import VirtualKey
from gateway_project.crypto import UnreadableSecret
from routing.conf import CREDENTIAL_KINDS
from routing.declarative.substitution import escaped, only_name
from routing.models import Credential


def keep_secrets(document: Any, given: Mapping[str, str]) -> tuple[Any, list[str]]:
    """The document, as it was read, so that such secrets stay, and what they belong to."""
    document = _unshared(document)
    kept = [f"the credential of the provider {name}" for name in _credentials(document, given)]
    return document, kept + [f"the key {name}" for name in _keys(document, given)]


def _unshared(value: Any) -> Any:
    """A copy without parts that stand in two places (`*references` of YAML): what is put into one must not be in others."""
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def _entries(value: Any, section: str) -> Iterable[dict[Any, Any]]:
    """The entries of a list of a document that may have any shape."""
    inner = value.get(section) if isinstance(value, dict) else None
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []


def _credentials(document: Any, given: Mapping[str, str]) -> list[str]:
    rows = {row.provider.name: row for row in Credential.objects.defer("values").select_related("provider")}
    kept = []
    for entry in _entries(document, "providers"):
        row, stated = rows.get(str(entry.get("name"))), entry.get("credential")
        if row is None or not isinstance(stated, dict) or stated.get("kind") != row.kind:
            continue
        references = {name: only_name(stated.get(name)) for name in CREDENTIAL_KINDS[row.kind].secret}
        waiting = [name for name, reference in references.items() if reference and reference not in given]
        if waiting and (found := _stored(row, waiting)):
            stated.update(found)
            kept.append(row.provider.name)
    return kept


def _stored(row: Credential, names: Iterable[str]) -> dict[str, str]:
    try:
        return {name: escaped(row.values[name]) for name in names if row.values.get(name)}
    except UnreadableSecret:
        return {}


def _keys(document: Any, given: Mapping[str, str]) -> list[str]:
    named = VirtualKey.objects.values_list("project__team__name", "project__name", "name")
    stored: set[tuple[str, str, str]] = set(named)
    kept = []
    for team in _entries(document, "teams"):
        for project in _entries(team, "projects"):
            for key in _entries(project, "keys"):
                path = (str(team.get("name")), str(project.get("name")), str(key.get("name")))
                name = only_name(key.get("secret"))
                if name and name not in given and path in stored:
                    del key["secret"]
                    kept.append("/".join(path))
    return kept
