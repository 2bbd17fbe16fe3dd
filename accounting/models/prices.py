"""What tokens cost: dated rows that are never changed, and the price of models that have none."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from accounting.models.base import Versioned
from accounting.money.price_book import RATE_NAMES, PriceRow, Rates, number

MOST_DOLLARS = Decimal(10_000)  # for a million tokens
MOST_FACTOR = Decimal(100)
MOST_REGIONS = 50
TWICE = (
    "There is a price for this provider and model from this time on already. "
    "Prices are never changed; add one with a later valid_from."
)
LONG_NAMES = tuple(f"long_{name}" for name in RATE_NAMES)
FAST_NAMES = tuple(f"fast_{name}" for name in RATE_NAMES)


class RateField(models.DecimalField):  # type: ignore[type-arg]
    """Dollars for a million tokens, to the millionth of a dollar."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 12, 6
        kwargs["validators"] = [MinValueValidator(Decimal(0)), MaxValueValidator(MOST_DOLLARS)]
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for part in ("max_digits", "decimal_places", "validators"):
            kwargs.pop(part, None)
        return name, path, args, kwargs


def _optional_rate(label: str) -> RateField:
    return RateField(label, null=True, blank=True)


def within(names: tuple[str, ...], most: Decimal) -> Q:
    """No negative amount, and neither infinity nor what is no number: PostgreSQL holds both for larger than any amount."""
    found = Q()
    for name in names:
        found &= Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gte": 0, f"{name}__lte": most})
    return found


def all_or_none(names: tuple[str, ...]) -> Q:
    none, every = Q(), Q()
    for name in names:
        none &= Q(**{f"{name}__isnull": True})
        every &= Q(**{f"{name}__isnull": False})
    return none | every


class Price(models.Model):
    """Dollars for a million tokens of a model, from a day on. Rows are added and never changed or deleted: a later one
    takes over from its `valid_from` on."""

    provider = models.CharField(max_length=63, default="*", help_text="A provider's name, or * for all.")
    model = models.CharField(
        max_length=300,
        help_text="The upstream's model id; * matches any run of characters. The most specific row counts.",
    )
    valid_from = models.DateTimeField("valid from (UTC)")
    input = RateField("input")
    output = RateField("output")
    cache_write_5m = RateField("cache write, 5 min")
    cache_write_1h = RateField("cache write, 1 h")
    cache_read = RateField("cache read")
    long_above = models.PositiveIntegerField(
        "prompts longer than", null=True, blank=True, help_text="Tokens of the whole prompt, cached or not."
    )
    long_input = _optional_rate("input")
    long_output = _optional_rate("output")
    long_cache_write_5m = _optional_rate("cache write, 5 min")
    long_cache_write_1h = _optional_rate("cache write, 1 h")
    long_cache_read = _optional_rate("cache read")
    fast_input = _optional_rate("input")
    fast_output = _optional_rate("output")
    fast_cache_write_5m = _optional_rate("cache write, 5 min")
    fast_cache_write_1h = _optional_rate("cache write, 1 h")
    fast_cache_read = _optional_rate("cache read")
    batch_multiplier = models.DecimalField(
        max_digits=9,
        decimal_places=6,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(MOST_FACTOR)],
        help_text="For batches; 0.5 is half the price.",
    )
    geo_multipliers = models.JSONField(
        default=dict, blank=True, help_text="By the region that an answer names, such as us: 1.1, one on each line."
    )
    web_search_per_1000 = models.DecimalField(
        "1,000 web searches",
        max_digits=12,
        decimal_places=6,
        default=Decimal(10),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(MOST_DOLLARS)],
        help_text="Dollars.",
    )
    source = models.CharField(max_length=200, blank=True, help_text="From where this is known.")
    shipped = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        ordering = ["provider", "model", "-valid_from", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "valid_from", "shipped"],
                name="price_once",
                violation_error_message=TWICE,
            ),
            models.CheckConstraint(
                condition=within((*RATE_NAMES, *LONG_NAMES, *FAST_NAMES, "web_search_per_1000"), MOST_DOLLARS),
                name="price_rates_make_sense",
                violation_error_message=f"A price is between 0 and {MOST_DOLLARS:,} dollars.",
            ),
            models.CheckConstraint(
                condition=within(("batch_multiplier",), MOST_FACTOR),
                name="price_batch_makes_sense",
                violation_error_message=f"A multiplier is between 0 and {MOST_FACTOR}.",
            ),
            models.CheckConstraint(
                condition=all_or_none(("long_above", *LONG_NAMES)),
                name="price_long_is_whole",
                violation_error_message="Long prompts need all five prices and the length from which they count, or none.",
            ),
            models.CheckConstraint(
                condition=all_or_none(FAST_NAMES),
                name="price_fast_is_whole",
                violation_error_message="Fast mode needs all five prices, or none.",
            ),
        ]

    def __str__(self) -> str:
        since = f"{self.valid_from:%Y-%m-%d}" if self.valid_from else "?"
        where = "" if self.provider == "*" else f"{self.provider}: "
        return f"{where}{self.model} from {since}"

    def clean(self) -> None:
        super().clean()
        for name in ("provider", "model"):
            text = getattr(self, name)
            if not text or any(ord(char) < 33 or char == "\x7f" for char in text):
                raise ValidationError({name: "No spaces and no control characters here."})
        if "*" in self.provider and self.provider != "*":
            raise ValidationError({"provider": "A provider's whole name, or * for all."})
        self.geo_multipliers = read_multipliers(self.geo_multipliers)
        if self.pk is not None:
            raise ValidationError("A price is never changed; add one with a later valid_from.")

    def as_row(self) -> PriceRow:
        """The row as prices are worked out from it."""
        return PriceRow(
            id=self.pk,
            provider=self.provider,
            model=self.model,
            valid_from=self.valid_from,
            rates=self._rates(RATE_NAMES),
            above=self.long_above,
            long=self._rates(LONG_NAMES) if self.long_above is not None else None,
            fast=self._rates(FAST_NAMES) if self.fast_input is not None else None,
            batch=self.batch_multiplier,
            geo={name: Decimal(value) for name, value in self.geo_multipliers.items()},
            web_search_per_1000=self.web_search_per_1000,
            shipped=self.shipped,
        )

    def as_terms(self) -> tuple[Any, ...]:
        """What it costs, to compare rows by."""
        return (
            tuple(getattr(self, name) for name in (*RATE_NAMES, "long_above", *LONG_NAMES, *FAST_NAMES)),
            self.batch_multiplier,
            {name: Decimal(value) for name, value in self.geo_multipliers.items()},
            self.web_search_per_1000,
        )

    def _rates(self, names: tuple[str, ...]) -> Rates:
        return Rates(*(getattr(self, name) for name in names))


def read_multipliers(value: Any) -> dict[str, str]:
    """Regions with their multipliers, as they are stored. Raises ValidationError for what is none."""
    if not isinstance(value, Mapping) or len(value) > MOST_REGIONS:
        raise ValidationError({"geo_multipliers": f"These are at most {MOST_REGIONS} regions with a number each."})
    found = {}
    for region, raw in value.items():
        try:
            factor = Decimal(str(raw)) if not isinstance(raw, bool) else Decimal("NaN")
        except InvalidOperation:
            factor = Decimal("NaN")
        if not isinstance(region, str) or not region or len(region) > 40:
            raise ValidationError({"geo_multipliers": f"{region!r} is not the name of a region."})
        if not factor.is_finite() or not 0 <= factor <= MOST_FACTOR:
            text = f"The multiplier of {region} is not a number between 0 and {MOST_FACTOR}."
            raise ValidationError({"geo_multipliers": text})
        found[region] = number(factor)
    return found


class UnknownModelPrice(Versioned):
    """The one row that says what a model without a price costs."""

    input = RateField("input", default=Decimal(15))
    output = RateField("output", default=Decimal(75))
    cache_write_5m = RateField("cache write, 5 min", default=Decimal("18.75"))
    cache_write_1h = RateField("cache write, 1 h", default=Decimal(30))
    cache_read = RateField("cache read", default=Decimal("1.5"))

    class Meta:
        verbose_name = "price of unknown models"
        verbose_name_plural = "price of unknown models"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="unknown_price_once"),
            models.CheckConstraint(
                condition=within(RATE_NAMES, MOST_DOLLARS),
                name="unknown_price_makes_sense",
                violation_error_message=f"A price is between 0 and {MOST_DOLLARS:,} dollars.",
            ),
        ]

    def __str__(self) -> str:
        return "price of unknown models"

    def clean(self) -> None:
        """A model that nobody has priced is never free."""
        super().clean()
        free = [name for name in ("input", "output") if getattr(self, name) == 0]
        if free:
            raise ValidationError(dict.fromkeys(free, "A model without a price must cost something: more than 0."))

    def rates(self) -> Rates:
        return Rates(*(getattr(self, name) for name in RATE_NAMES))


class UnpricedModel(models.Model):
    """A model that was used and has no price, or none for its fast mode: how many calls, and when last."""

    provider = models.CharField(max_length=63)
    model = models.CharField(max_length=300)
    fast = models.BooleanField("fast mode", default=False)
    calls = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["-last_seen", "-id"]
        constraints = [models.UniqueConstraint(fields=["provider", "model", "fast"], name="unpriced_once")]

    def __str__(self) -> str:
        return f"{self.provider}: {self.model}{' (fast mode)' if self.fast else ''}"
