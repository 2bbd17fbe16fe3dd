"""Addresses of routing's part of /api/v1/."""

from django.urls import path

from routing.api.explain import Explain

app_name = "routing-api"
urlpatterns = [path("explain/", Explain.as_view(), name="explain")]
