"""Pages of a list: 100 rows, or up to 1,000 by `?page_size=`."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class Pages(PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000

    def get_page_size(self, request: Request) -> int | None:
        text: Any = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
            raise ValidationError({"page_size": ["A whole number from 1 to 1000."]})
        return min(int(text[:10]), self.max_page_size)
