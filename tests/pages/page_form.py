"""What a browser would send for a form of a page: its fields as they stand."""

from html.parser import HTMLParser
from typing import Any


class _Form(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.inside = False
        self.values: dict[str, Any] = {}
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = known.get("id") == self.form_id
        if not self.inside:
            return
        if tag == "input" and known.get("name"):
            self._input(known)
        elif tag == "select":
            self._select = known.get("name")
            self.values.setdefault(self._select or "", "")
        elif tag == "option" and self._select and "selected" in known:
            self.values[self._select] = known["value"]
        elif tag == "textarea":
            self._textarea = known["name"]
            self.values[self._textarea] = ""

    def _input(self, known: dict[str, str]) -> None:
        name, kind = known["name"], known.get("type", "text")
        if kind in {"submit", "button"}:
            return
        if kind == "checkbox" and "checked" in known:
            self.values.setdefault(name, [])
            self.values[name].append(known.get("value", "on"))
        elif kind == "radio" and "checked" in known:
            self.values[name] = known["value"]
        elif kind not in {"checkbox", "radio"}:
            self.values[name] = known.get("value", "")

    def handle_data(self, data: str) -> None:
        if self.inside and self._textarea is not None:
            self.values[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._textarea is not None:
            self.values[self._textarea] = self.values[self._textarea].removeprefix("\n").strip("\r\n")
            self._textarea = None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self.inside = False


def fields_of(html: bytes, form_id: str) -> dict[str, Any]:
    """The fields of the form with this id, ready to be posted. Fails if there is no such form."""
    parser = _Form(form_id)
    parser.feed(html.decode())
    assert parser.values, f"no form {form_id} on the page"
    return parser.values
