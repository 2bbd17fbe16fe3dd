"""Addresses under /api/v1/."""

from django.urls import path

from accounting.api import schema as schema
from accounting.api import usage, views
from accounting.api.ledger import LedgerList

app_name = "api"
urlpatterns = [
    path("requests/", views.RecordList.as_view(), name="records"),
    path("requests/<str:request_id>/", views.RecordDetail.as_view(), name="record"),
    path("prices/", views.PriceList.as_view(), name="prices"),
    path("usage/", usage.Usage.as_view(), name="usage"),
    path("usage/focus/", usage.Focus.as_view(), name="focus"),
    path("ledger/", LedgerList.as_view(), name="ledger"),
    path("schema/", views.Schema.as_view(), name="schema"),
    path("docs/", views.Docs.as_view(), name="docs"),
]
