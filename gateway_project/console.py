"""The admin site: Django's own, with our name, look and index page."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    default_site = "gateway_project.console_site.ConsoleSite"
