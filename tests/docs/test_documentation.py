"""The pages name what exists: each setting, command, key of the configuration file and module; their links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
APPS = ("gateway_project", "routing", "accounting")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def settings_read() -> list[str]:
    """Names of the environment variables that settings.py and environment.py read."""
    code = text("gateway_project/settings.py") + text("gateway_project/environment.py")
    calls = r"\b(?:read|read_integer|read_list|read_networks|read_flag|secret_or_generated)\(\s*\"([A-Z_]+)\""
    return sorted(set(re.findall(calls, code)))


def test_the_settings_are_found_at_all() -> None:
    assert {"GATEWAY_DATA_DIR", "DATABASE_URL", "GATEWAY_LOG_JSON", "GATEWAY_FIELD_KEYS"} <= set(settings_read())


@pytest.mark.parametrize("name", settings_read())
def test_every_setting_is_documented(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", text("docs/configure.md"), re.MULTILINE), f"{name} has no row"


def test_no_setting_is_documented_that_is_not_read() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z_]+)` \|", text("docs/configure.md"), re.MULTILINE)
    assert sorted(rows) == settings_read()


@pytest.mark.parametrize("name", sorted(name for name, app in get_commands().items() if app in APPS))
def test_every_command_is_documented(name: str) -> None:
    assert f"`{name}" in text("docs/operate.md")


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for each in value.values() for key in keys_of(each)}
    if isinstance(value, list):
        return {key for each in value for key in keys_of(each)}
    return set()


def test_every_key_of_the_quick_start_is_documented() -> None:
    documented = text("docs/configure.md")
    for key in keys_of(yaml.safe_load(text("routing/quickstart.yaml"))):
        assert f"`{key}`" in documented, f"the key {key} is not documented"


def test_every_filter_and_field_of_records_is_documented() -> None:
    from accounting.api.filters import RecordFilter
    from accounting.api.serializers import RecordSerializer

    documented = text("docs/api.md")
    for name in [*RecordFilter.base_filters, *RecordSerializer.Meta.fields]:
        assert f"`{name}`" in documented, f"{name} is not documented"


def test_every_key_of_the_configuration_file_is_documented() -> None:
    from routing.declarative.schema import FILE, Shape

    def names(shape: Shape) -> set[str]:
        inner = [*shape.lists.values(), *shape.sections.values()]
        return {*shape.fields, *shape.lists, *shape.sections, *(name for each in inner for name in names(each))}

    documented = text("docs/configure.md")
    for name in names(FILE):
        assert f"`{name}`" in documented, f"the key {name} is not documented"


def modules() -> list[str]:
    found = []
    for app in APPS:
        for path in sorted((ROOT / app).iterdir()):
            if path.suffix == ".py" and path.stem != "__init__":
                found.append(f"{app}/{path.stem}")
            elif (path / "__init__.py").exists():
                found.append(f"{app}/{path.name}/")
    return found


@pytest.mark.parametrize("name", modules())
def test_every_module_has_its_place_on_the_layout_page(name: str) -> None:
    app, _, module = name.partition("/")
    section = text("docs/layout.md").split(f"### {app}\n")[1].split("\n## ")[0].split("\n### ")[0]
    assert re.search(rf"^\|[^|]*`{module.rstrip('/')}/?`[^|]*\|", section, re.MULTILINE), f"{name} is not listed"


def test_every_top_level_folder_is_on_the_layout_page() -> None:
    page = text("docs/layout.md")
    made = {"var", "node_modules"}  # while running, and by no means part of the source
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))} - made
    assert {"routing", "accounting"} <= folders
    for folder in folders:
        assert f"`{folder}/`" in page


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_routines_that_pages_name_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE))
    for name in re.findall(r"(?:^ {4}|`)make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert name in targets, f"make {name} does not exist"


def test_every_field_and_filter_of_limits_is_documented() -> None:
    from accounting.api.limit_serializers import BudgetRequestSerializer, BudgetSerializer
    from accounting.api.limits import BudgetFilter, RequestFilter

    documented = text("docs/api.md")
    fields = [*BudgetSerializer._declared_fields, *BudgetRequestSerializer.Meta.fields]
    for name in [*fields, *BudgetFilter.base_filters, *RequestFilter.base_filters]:
        assert f"`{name}`" in documented, f"{name} is not documented"


def test_every_field_and_filter_of_people_is_documented() -> None:
    from accounting.api.events import EventFilter
    from accounting.api.people import InvitationFilter, MemberFilter, ProjectFilter
    from accounting.api.people_serializers import (
        AuditEventSerializer,
        InvitationSerializer,
        MemberSerializer,
        ProjectSerializer,
    )

    documented = text("docs/api.md")
    serializers = (AuditEventSerializer, InvitationSerializer, MemberSerializer, ProjectSerializer)
    names = [name for each in serializers for name in each.Meta.fields]
    for filters in (EventFilter, InvitationFilter, MemberFilter, ProjectFilter):
        names += list(filters.base_filters)
    for name in names:
        assert f"`{name}`" in documented, f"{name} is not documented"


def test_every_field_and_filter_of_keys_is_documented() -> None:
    from accounting.api.key_serializers import ChangeKeySerializer, KeySerializer, NewKeySerializer
    from accounting.api.keys import KeyFilter
    from accounting.keyring.orders import OVERLAPS
    from accounting.keyring.reading import STATES

    documented = text("docs/api.md").split("### `GET /api/v1/keys/`")[1]
    serializers = (KeySerializer, NewKeySerializer, ChangeKeySerializer)
    fields = [name for serializer in serializers for name in serializer._declared_fields]
    for name in [*fields, *KeyFilter.base_filters, *OVERLAPS, *STATES]:
        assert f"`{name}`" in documented, f"{name} is not documented"


def test_every_field_filter_and_kind_of_alerts_is_documented() -> None:
    from accounting.api import alert_serializers as shown
    from accounting.api.alerts import DeliveryFilter, DestinationFilter, RuleFilter
    from accounting.models import AlertRule

    documented = text("docs/alerts.md")
    tables = (shown.AlertRuleSerializer, shown.AlertDestinationSerializer, shown.AlertDeliverySerializer)
    fields = [name for table in (*tables, shown.AlertEventSerializer) for name in table.Meta.fields]
    filters = [name for each in (RuleFilter, DestinationFilter, DeliveryFilter) for name in each.base_filters]
    for name in (*fields, *filters, *AlertRule.Kind.values):
        assert f"`{name}`" in documented, f"{name} is not documented"


def test_every_field_of_rate_limits_is_documented() -> None:
    from accounting.api.limit_details import RateLimitFilter
    from accounting.api.limit_serializers import RateLimitSerializer

    documented = text("docs/api.md")
    for name in [*RateLimitSerializer._declared_fields, *RateLimitFilter.base_filters]:
        assert f"`{name}`" in documented, f"{name} is not documented"
