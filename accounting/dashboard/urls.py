"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import overview

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
]
