"""Addresses of routing's pages."""

from django.urls import path

from routing.pages import explanation, models, trying, views

app_name = "routing"
urlpatterns = [
    path("explain/", views.explain, name="explain"),
    path("teams/<str:team>/models/", models.models, name="models"),
    path("teams/<str:team>/models/tried/<str:request_id>/", trying.tried, name="tried"),
    path("teams/<str:team>/models/<path:name>/try/", trying.try_model, name="try"),
    path("teams/<str:team>/models/<path:name>/", models.model, name="model"),
    path("teams/<str:team>/requests/<str:request_id>/explanation/", explanation.explanation, name="explanation"),
]
