"""Routing in the console: providers with their credential, routes with their targets, aliases."""

from routing.admin import aliases, providers, routes

__all__ = ["aliases", "providers", "routes"]
