"""Routing in the console: providers with their credential, routes with their targets, aliases, compatibility, targets."""

from routing.admin import aliases, compatibility, providers, routes, targets

__all__ = ["aliases", "compatibility", "providers", "routes", "targets"]
