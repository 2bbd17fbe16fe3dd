"""Addresses of the web pages and the REST API. The gateway's own paths never come here; see asgi.py."""

from django.contrib import admin
from django.urls import include, path

from accounting.accounts.invitation import invitation
from accounting.accounts.views import home

urlpatterns = [
    path("", home, name="home"),
    path("", include("accounting.dashboard.urls")),
    path("invitations/<str:token>/", invitation, name="invitation"),
    path("accounts/", include("accounting.accounts.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("accounting.api.urls")),
    path("api/v1/", include("routing.api.urls")),
    path("", include("routing.pages.urls")),
]

handler400 = "gateway_project.errors.bad_request"
handler403 = "gateway_project.errors.permission_denied"
handler404 = "gateway_project.errors.page_not_found"
handler500 = "gateway_project.errors.server_error"
