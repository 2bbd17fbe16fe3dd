"""The web console: Django's own admin with our name, look, index page and rules of access.

`site` is the site, `access` who may do what, `editing` how every change is made, `overview` the figures of the index.
Nothing here but `overview` and `site` knows routing, so that both apps can register their tables with it.
"""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    default_site = "gateway_project.console.site.ConsoleSite"
