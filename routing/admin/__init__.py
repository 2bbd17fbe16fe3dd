"""Routing in the console: providers with their credential, routes with their targets, aliases, compatibility, versions."""

from routing.admin import aliases, compatibility, proposals, providers, routes, versions

__all__ = ["aliases", "compatibility", "proposals", "providers", "routes", "versions"]
