"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import overview, usage

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
    path("teams/<str:team>/usage/", usage.usage, name="usage"),
    path("teams/<str:team>/usage.csv", usage.usage_csv, name="usage_csv"),
    path("usage/", usage.all_usage, name="all_usage"),
    path("usage.csv", usage.all_usage_csv, name="all_usage_csv"),
]
