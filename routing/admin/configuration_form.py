"""The form of an import: the file as text or upload, values for its references, and how. What was looked at travels on
encrypted, so that it can be applied without being sent, or shown, once more."""

import base64
import json
import re
import time
import zlib
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from gateway_project.crypto import UnreadableSecret, ring
from routing.declarative.parts import Part
from routing.declarative.trying import Wanted
from routing.models.versions import LONGEST_REASON

MOST_BYTES = 1024 * 1024
MOST_VALUES = 200
LONGEST_VALUE = 20_000
VALUE = "value_"
MOST_SECONDS = 3600
_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,200}\Z")
PARTS = {
    "all": ("Everything", Part()),
    "routing": ("Only providers, routes and aliases", Part(people=False)),
    "people": ("Only teams, people, keys, limits and prices", Part(routing=False)),
}
TOO_LARGE = "This is larger than 1 MB; use the command import_config for it."


class ImportForm(forms.Form):
    text = forms.CharField(
        label="The file, as YAML",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 12, "class": "lines yaml", "spellcheck": "false", "autocomplete": "off", "wrap": "off"}
        ),
    )
    file = forms.FileField(
        label="… or as an upload", required=False, widget=forms.FileInput(attrs={"accept": ".yaml,.yml,text/yaml"})
    )
    part = forms.ChoiceField(label="Import", choices=[(name, label) for name, (label, _) in PARTS.items()])
    prune = forms.BooleanField(
        label="Disable what the file does not mention",
        required=False,
        help_text="As --prune does: rows are disabled, members of mentioned teams are removed, nothing is deleted.",
    )
    reason = forms.CharField(
        label="Why?",
        required=False,
        max_length=LONGEST_REASON,
        help_text="Kept with the version that this makes.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    sealed = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"])
        if len(text.encode("utf-8", "replace")) > MOST_BYTES:
            raise ValidationError(TOO_LARGE)
        return text

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file is not None and file.size > MOST_BYTES:
            raise ValidationError(TOO_LARGE)
        return file

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        if cleaned["text"].strip() and cleaned["file"]:
            raise ValidationError("Paste the file or upload it, not both.")
        return cleaned

    def draft(self, by: int) -> "Draft":
        """What is to be tried. A file that is neither pasted nor uploaded now is the one that was looked at before. Raises
        ValidationError if there is none."""
        before = unsealed(self.cleaned_data["sealed"], by) if self.cleaned_data["sealed"] else None
        upload, text = self.cleaned_data["file"], self.cleaned_data["text"]
        name, values = "", dict(before.values) if before else {}
        if upload is not None:
            name, data = str(upload.name)[:200], upload.read()
        elif text.strip():
            data = text.encode("utf-8", "surrogatepass")
        elif before is not None and before.name:
            name, data = before.name, before.data
        else:
            raise ValidationError("Paste a file, or choose one.")
        values.update(self._values())
        chosen = {"prune": self.cleaned_data["prune"], "part": self.cleaned_data["part"]}
        return Draft(data, name, values, reason=self.cleaned_data["reason"].strip(), by=by, **chosen)

    def _values(self) -> dict[str, str]:
        """What was typed for references; what is left empty stays as it was."""
        given = [(name.removeprefix(VALUE), str(text)) for name, text in self.data.items() if name.startswith(VALUE)]
        return {
            name: text
            for name, text in given[:MOST_VALUES]
            if text and _NAME.match(name) and len(text) <= LONGEST_VALUE
        }


@dataclass(frozen=True, slots=True)
class Draft:
    """An import that somebody looks at. `name` is that of the uploaded file, "" for text that was pasted."""

    data: bytes
    name: str
    values: dict[str, str]
    prune: bool
    part: str
    reason: str
    by: int

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.data, self.values, self.prune, PARTS[self.part][1])

    def seal(self) -> str:
        """Encrypted, to travel through the page."""
        told = {name: getattr(self, name) for name in ("name", "values", "prune", "part", "reason", "by")}
        packed = base64.b64encode(zlib.compress(self.data)).decode()
        return ring().encrypt(json.dumps({**told, "data": packed, "at": time.time()}))


def unsealed(text: str, by: int) -> Draft | None:
    """The draft, if it is this person's and not too old."""
    try:
        told = json.loads(ring().decrypt(text))
    except (UnreadableSecret, ValueError):
        return None
    if told.pop("by") != by or time.time() - told.pop("at") > MOST_SECONDS:
        return None
    return Draft(data=zlib.decompress(base64.b64decode(told.pop("data"))), by=by, **told)
