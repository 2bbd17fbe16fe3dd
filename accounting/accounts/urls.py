"""Addresses of the account pages."""

from django.urls import path

from accounting.accounts import views

app_name = "accounts"
urlpatterns = [
    path("login/", views.sign_in, name="login"),
    path("logout/", views.sign_out, name="logout"),
    path("first/<str:token>/", views.first_administrator, name="first_administrator"),
]
