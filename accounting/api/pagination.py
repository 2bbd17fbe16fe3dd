"""Pages of a list: 100 rows, or up to 1,000 by `?page_size=`. Long lists are counted to a bound, and estimated beyond it."""

import json
from functools import cached_property
from typing import Any

from django.core.paginator import EmptyPage, Page, Paginator
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response

MOST_COUNTED = 100_000
LONGEST_COUNT = 100  # milliseconds
MOST_PAGES = 10**7  # beyond, their rows' numbers would not fit into the database's


class AheadPage(Page):  # type: ignore[type-arg]
    """A page that has looked one row further, and so knows whether another one follows, whatever was counted."""

    more = False

    def has_next(self) -> bool:
        return self.more


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts exactly up to `MOST_COUNTED` rows and as long as it takes no more than `LONGEST_COUNT` milliseconds. Beyond
    that PostgreSQL's planner says how many about; other databases hold no such tables and count on."""

    most_counted = MOST_COUNTED
    longest_count = LONGEST_COUNT
    estimated = False

    @cached_property
    def count(self) -> int:
        listed: Any = self.object_list
        rows = listed.order_by()
        if connection.vendor != "postgresql":
            return int(rows.count())
        counted = self._counted(rows)
        if counted is not None and counted <= self.most_counted:
            return counted
        self.estimated = True
        plan = json.loads(rows.explain(format="json"))
        return max(counted or 1, int(plan[0]["Plan"]["Plan Rows"]))

    def _counted(self, rows: Any) -> int | None:
        """How many rows there are, up to one more than are counted; None if it takes too long."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = %s", [self.longest_count])
                counted = int(rows[: self.most_counted + 1].count())
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            return None
        return counted

    def validate_number(self, number: Any) -> int:
        try:
            return super().validate_number(number)
        except EmptyPage:
            if not 1 <= int(number) <= MOST_PAGES or not self.estimated:
                raise
            return int(number)  # there may be more than was estimated

    def page(self, number: Any) -> AheadPage:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        if not rows and number > 1:
            raise EmptyPage("That page contains no results")
        found = AheadPage(rows[: self.per_page], number, self)
        found.more = len(rows) > self.per_page
        return found


class Pages(PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    django_paginator_class = BoundedPaginator

    def get_page_size(self, request: Request) -> int | None:
        text: Any = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
            raise ValidationError({"page_size": ["A whole number from 1 to 1000."]})
        return min(int(text[:10]), self.max_page_size)

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        if isinstance(self.page, AheadPage) and getattr(self.page.paginator, "estimated", False):
            response.data["count_estimated"] = True
        return response

    def get_paginated_response_schema(self, schema: Any) -> Any:
        described = super().get_paginated_response_schema(schema)
        described["properties"]["count_estimated"] = {
            "type": "boolean",
            "description": "Only in long lists: there are about `count` rows; they were not counted.",
        }
        return described
