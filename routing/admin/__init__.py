"""Routing in the console: providers with their credential, routes with their targets, aliases, compatibility."""

from routing.admin import aliases, compatibility, providers, routes

__all__ = ["aliases", "compatibility", "providers", "routes"]
