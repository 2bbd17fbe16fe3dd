"""Addresses under /api/v1/."""

from django.urls import path

from accounting.api import schema as schema
from accounting.api import views

app_name = "api"
urlpatterns = [
    path("requests/", views.RecordList.as_view(), name="records"),
    path("requests/<str:request_id>/", views.RecordDetail.as_view(), name="record"),
    path("prices/", views.PriceList.as_view(), name="prices"),
    path("schema/", views.Schema.as_view(), name="schema"),
    path("docs/", views.Docs.as_view(), name="docs"),
]
