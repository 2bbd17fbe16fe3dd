"""Addresses of routing's pages."""

from django.urls import path

from routing.pages import explanation, views

app_name = "routing"
urlpatterns = [
    path("explain/", views.explain, name="explain"),
    path("teams/<str:team>/requests/<str:request_id>/explanation/", explanation.explanation, name="explanation"),
]
