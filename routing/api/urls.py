"""Addresses of routing's part of /api/v1/."""

from django.urls import path

from routing.api.explain import Explain
from routing.api.targets import TargetList

app_name = "routing-api"
urlpatterns = [
    path("explain/", Explain.as_view(), name="explain"),
    path("targets/", TargetList.as_view(), name="targets"),
]
