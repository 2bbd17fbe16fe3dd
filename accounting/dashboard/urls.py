"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import one_request, overview, requests, sessions

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
    path("teams/<str:team>/requests/", requests.requests, name="requests"),
    path("teams/<str:team>/requests/<str:request_id>/", one_request.one_request, name="request"),
    path("teams/<str:team>/sessions/", sessions.session_list, name="sessions"),
    path("teams/<str:team>/sessions/<path:session>/", sessions.one_session, name="session"),
]
