"""The real server as a process, with its configuration, its databases and a client that sees every byte."""

from tests.harness.cable import Cable
from tests.harness.client import Client, Reply
from tests.harness.config import (
    KEYS,
    SECOND_CREDENTIAL,
    UPSTREAM_CREDENTIAL,
    Config,
    alias,
    provider_entry,
    route,
    standard_config,
    target,
)
from tests.harness.databases import postgres_database
from tests.harness.process import Gateway, Record, Template, send, wait_until

__all__ = [
    "KEYS",
    "SECOND_CREDENTIAL",
    "UPSTREAM_CREDENTIAL",
    "Cable",
    "Client",
    "Config",
    "Gateway",
    "Record",
    "Reply",
    "Template",
    "alias",
    "postgres_database",
    "provider_entry",
    "route",
    "send",
    "standard_config",
    "target",
    "wait_until",
]
