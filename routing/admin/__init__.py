"""Routing in the console: providers with their credential, routes with their targets, aliases, compatibility, targets,
drafts, versions."""

from routing.admin import aliases, compatibility, proposals, providers, routes, shadows, targets, versions

__all__ = ["aliases", "compatibility", "proposals", "providers", "routes", "shadows", "targets", "versions"]
