"""Routing in the console: providers with their credential, routes with their targets, aliases, compatibility, targets,
versions."""

from routing.admin import aliases, compatibility, proposals, providers, routes, targets, versions

__all__ = ["aliases", "compatibility", "proposals", "providers", "routes", "targets", "versions"]
