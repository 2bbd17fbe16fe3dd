"""The provider's form with its credential: a kind, and the values of that kind, of which secrets are write-only."""

from typing import Any

from django import forms
from django.utils.formats import date_format

from gateway_project.console.forms import VersionedForm
from gateway_project.crypto import UnreadableSecret
from routing.conf import CREDENTIAL_KINDS, check_credential
from routing.models import Credential, Provider
from routing.services import merged_values

KIND_LABELS = {
    "api_key": "API key, sent as x-api-key",
    "bearer": "Token, sent as Authorization: Bearer",
    "aws": "AWS access key",
    "aws_default": "AWS, from the environment",
    "google_service_account": "Google service account",
    "google_default": "Google, from the environment",
    "none": "None: the upstream asks for no credential",
}
LABELS = {
    "api_key": "API key",
    "token": "Token",
    "access_key_id": "Access key id",
    "secret_access_key": "Secret access key",
    "session_token": "Session token",
    "role_arn": "Role to assume (ARN)",
    "external_id": "External id",
    "sts_endpoint": "STS address",
    "json": "Key file's content (JSON)",
}
PREFIX = "credential_"
SECRETS = frozenset(name for kind in CREDENTIAL_KINDS.values() for name in kind.secret)
VALUE_NAMES = tuple(dict.fromkeys(name for kind in CREDENTIAL_KINDS.values() for name in kind.required + kind.optional))
FIELD_NAMES = tuple(PREFIX + name for name in VALUE_NAMES)


class KindSelect(forms.Select):
    """Tells the page's script which formats take each kind."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        kind = CREDENTIAL_KINDS.get(str(value))
        if kind:
            option["attrs"]["data-formats"] = " ".join(sorted(kind.formats))
        return option


def _value_field(name: str) -> forms.CharField:
    """The form field of one value. A secret's never carries the stored one back to the page."""
    kinds = [kind for kind, known in CREDENTIAL_KINDS.items() if name in (*known.required, *known.optional)]
    attrs: dict[str, Any] = {"data-credential-kinds": " ".join(kinds), "autocomplete": "off", "spellcheck": "false"}
    widget: forms.Widget = forms.TextInput(attrs=attrs)
    if name == "json":
        widget = WriteOnlyTextarea(attrs={**attrs, "rows": 6, "class": "lines"})
    elif name in SECRETS:
        widget = forms.PasswordInput(attrs={**attrs, "autocomplete": "new-password"}, render_value=False)
    return forms.CharField(label=LABELS[name], required=False, widget=widget, max_length=20_000)


class WriteOnlyTextarea(forms.Textarea):
    """Takes text and never shows any, not even what was just typed."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        return super().get_context(name, "", attrs)


CredentialValues: type[forms.Form] = type(
    "CredentialValues", (forms.Form,), {PREFIX + name: _value_field(name) for name in VALUE_NAMES}
)


class ProviderForm(VersionedForm, CredentialValues):  # type: ignore[valid-type,misc]
    write_only = frozenset(PREFIX + name for name in SECRETS)
    credential_kind = forms.ChoiceField(
        label="Kind",
        choices=[(kind, KIND_LABELS[kind]) for kind in CREDENTIAL_KINDS],
        widget=KindSelect,
        initial="api_key",
        help_text="It must fit the provider's format.",
    )

    class Meta:
        model = Provider
        fields = "__all__"

    class Media:
        js = ("console/credential.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        provider = kwargs.get("instance")
        self.stored = Credential.objects.defer("values").filter(provider=provider).first() if provider else None
        kwargs["initial"] = {**self._stored_initial(), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if self.stored:
            self._say_what_is_set(self.stored)

    def _stored_initial(self) -> dict[str, Any]:
        """What may be shown of the stored credential: its kind and the values that are no secrets."""
        if self.stored is None:
            return {}
        shown = {"credential_kind": self.stored.kind}
        try:
            open_values = {name: text for name, text in self.stored.values.items() if name not in SECRETS}
        except UnreadableSecret:
            return shown
        return {**shown, **{PREFIX + name: text for name, text in open_values.items()}}

    def _say_what_is_set(self, stored: Credential) -> None:
        day = date_format(stored.updated_at, "j F Y")
        try:
            names = set(stored.values)
        except UnreadableSecret:
            self.fields[
                "credential_kind"
            ].help_text = "The stored credential cannot be read any more (its encryption key is gone). Enter it again."
            return
        for name in SECRETS & names:
            self.fields[PREFIX + name].help_text = f"Set; changed on {day}. Leave empty to keep it."

    def current_version(self) -> str:
        return f"{self.instance.version}.{self.stored.version if self.stored else 0}"

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        kind = values.get("credential_kind", "")
        self.new_values: dict[str, str] | None = None
        if not kind or (self.stored and not self._credential_touched() and "format" not in self.changed_data):
            return values
        try:
            self.new_values = self._wanted_values(kind, values)
        except UnreadableSecret:
            self.add_error("credential_kind", "The stored credential cannot be read any more; enter all of it again.")
            return values
        if problem := check_credential(kind, self.new_values, values.get("format", "")):
            self.add_error("credential_kind", problem)
        return values

    def _credential_touched(self) -> bool:
        return any(name.startswith(PREFIX) for name in self.changed_data)

    def _wanted_values(self, kind: str, values: dict[str, Any]) -> dict[str, str]:
        """The whole credential: what was typed, over the stored secrets of the same kind."""
        known = CREDENTIAL_KINDS[kind]
        names = (*known.required, *known.optional)
        given = {name: (values.get(PREFIX + name) or "").strip() for name in names}
        merged = merged_values(self.instance, kind, given)
        return {name: text for name, text in merged.items() if name in SECRETS or given.get(name)}

    def credential_to_save(self) -> tuple[str | None, dict[str, str] | None]:
        """The kind and the values for `save_provider`; nothing when the stored credential stays as it is."""
        if self.new_values is None:
            return None, None
        return self.cleaned_data["credential_kind"], self.new_values
