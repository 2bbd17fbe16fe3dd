"""How money is stored: exactly, to a millionth of a millionth of a dollar, on every database."""

from decimal import Decimal
from typing import Any

from django.db import models

PLACES = 12
UNIT = Decimal(1).scaleb(-PLACES)
MOST = Decimal("9000000")  # dollars in one amount: what SQLite's whole numbers hold


class MoneyField(models.DecimalField):  # type: ignore[type-arg]
    """Dollars as a Decimal with 12 places. SQLite, whose numbers are binary, keeps whole units of 10**-12; sums of such a
    field are exact there too, as long as they stay below nine million dollars."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 30, PLACES
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "MoneyField"  # SQLite's backend rounds what calls itself a DecimalField

    def db_type(self, connection: Any) -> str:
        return "bigint" if connection.vendor == "sqlite" else f"numeric({self.max_digits}, {PLACES})"

    def cast_db_type(self, connection: Any) -> str | None:
        return self.db_type(connection)

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [_from_units] if connection.vendor == "sqlite" else super().get_db_converters(connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if hasattr(value, "as_sql"):
            return value
        if connection.vendor != "sqlite" or value is None:
            return super().get_db_prep_value(value, connection, prepared)
        return units_of(self.to_python(value))

    get_db_prep_save = get_db_prep_value


def units_of(value: Decimal) -> int:
    """Dollars as whole units of 10**-12."""
    return int(value.scaleb(PLACES).to_integral_value())


def _from_units(value: Any, expression: Any, connection: Any) -> Decimal | None:
    return None if value is None else Decimal(int(value)).scaleb(-PLACES)
