"""Prices in the console: rows are added, never edited; what had no price stands above the list."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.safestring import SafeString

from accounting.models import Price, UnknownModelPrice
from accounting.models.prices import FAST_NAMES, LONG_NAMES, TWICE
from accounting.money.formula import TIMES
from accounting.money.price_book import RATE_NAMES, number
from accounting.money.price_store import ONLY, load_price_book, still_unpriced, unknown_price
from accounting.templatetags.console import day, pill
from gateway_project.console.editing import ConsoleAdmin
from gateway_project.console.fields import MomentField, TagsField
from gateway_project.console.figures import with_plain_figures
from gateway_project.console.forms import VersionedForm

MOST_SHOWN = 20


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    valid_from = MomentField(
        label="Valid from (UTC)", help_text="Requests that begin at this moment or later; the past keeps its prices."
    )
    geo_multipliers = TagsField(
        label="By region", required=False, help_text=Price._meta.get_field("geo_multipliers").help_text
    )

    class Meta:
        model = Price
        fields = (
            *("provider", "model", "valid_from", "source", *RATE_NAMES, "long_above", *LONG_NAMES, *FAST_NAMES),
            *("batch_multiplier", "geo_multipliers", "web_search_per_1000"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        moment = {name: cleaned.get(name) for name in ("provider", "model", "valid_from")}
        if all(moment.values()) and Price.objects.filter(shipped=False, **moment).exists():
            raise ValidationError(TWICE)
        return cleaned

    def clean_geo_multipliers(self) -> Any:
        return self.cleaned_data["geo_multipliers"] or {}


@admin.register(Price)
class PriceAdmin(ConsoleAdmin):
    form = PriceForm  # type: ignore[assignment]
    change_list_template = "admin/prices.html"
    list_display = ("model", "provider", "since", "rates", "extras", "whose")
    list_display_links = ("model",)
    list_filter = ("shipped", "provider")
    search_fields = ("model", "provider")
    actions = None
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("provider", "model"), "valid_from", "source")}),
        ("Dollars for a million tokens", {"fields": (RATE_NAMES[:2], RATE_NAMES[2:])}),
        ("For long prompts", {"fields": ("long_above", LONG_NAMES[:2], LONG_NAMES[2:]), "classes": ("optional",)}),
        ("In fast mode", {"fields": (FAST_NAMES[:2], FAST_NAMES[2:]), "classes": ("optional",)}),
        ("Besides", {"fields": ("batch_multiplier", "geo_multipliers", "web_search_per_1000")}),
    )
    empty_hint = "No price yet. A model without one costs the price of unknown models."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_fieldsets(request, obj)
        return with_plain_figures(Price, found) if obj else found

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """`?provider=&model=` name what is to be priced. A model that only has no price for its fast mode keeps the others;
        for one without any the rates are left to whoever reads the provider's list."""
        now = timezone.now().replace(microsecond=0)
        initial: dict[str, Any] = {"provider": "*", "valid_from": now}
        given = super().get_changeform_initial_data(request)
        return {**initial, **_terms_in_force(given, now), **given}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        unpriced = still_unpriced(timezone.now())
        context = {
            "unpriced": unpriced[:MOST_SHOWN],
            "more_unpriced": max(0, len(unpriced) - MOST_SHOWN),
            "unknown": unknown_price(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description="from", ordering="valid_from")
    def since(self, price: Price) -> SafeString | str:
        return day(price.valid_from)

    @admin.display(description="input / output, write 5 min / 1 h, read")
    def rates(self, price: Price) -> str:
        input_, output, short, long, read = (number(getattr(price, name)) for name in RATE_NAMES)
        return f"{input_} / {output}, {short} / {long}, {read}"

    @admin.display(description="besides")
    def extras(self, price: Price) -> str:
        found = []
        if price.long_above is not None:
            found.append(f"longer than {price.long_above:,}")
        if price.fast_input is not None:
            found.append("fast mode")
        if price.batch_multiplier != 1:
            found.append(f"batches {TIMES} {number(price.batch_multiplier)}")
        found += [f"{region} {TIMES} {factor}" for region, factor in price.geo_multipliers.items()]
        return ", ".join(found)

    @admin.display(description="", ordering="shipped")
    def whose(self, price: Price) -> SafeString:
        return pill("shipped") if price.shipped else pill("your price", "info")


def _terms_in_force(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the named model costs by now, as a form's values; nothing if it has no price."""
    row = load_price_book().row(str(given.get("provider", "*")), str(given.get("model", "")), now.timestamp())
    price = Price.objects.filter(pk=row.id).first() if row is not None and row.id is not None else None
    if price is None:
        return {}
    names = [name for name in PriceForm.Meta.fields if name not in ("provider", "model", "valid_from", "source")]
    return {name: getattr(price, name) for name in names}


class UnknownPriceForm(VersionedForm):
    class Meta:
        model = UnknownModelPrice
        fields = RATE_NAMES


@admin.register(UnknownModelPrice)
class UnknownModelPriceAdmin(ConsoleAdmin):
    """One row, which the list leads to."""

    form = UnknownPriceForm
    fields = RATE_NAMES

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return unknown_price() if object_id == str(ONLY) else None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(self.change_address(ONLY))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if obj._state.adding:
            super().save_model(request, obj, form, False)
        else:
            super().save_model(request, obj, form, change)

    def title_of(self, obj: Any) -> tuple[str, str | None]:
        return "Price of unknown models", "What a model without a price costs, in dollars for a million tokens"
