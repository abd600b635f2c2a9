"""Stores in PostgreSQL for tests: one server for all tests of a process, and a schema for each store."""

from __future__ import annotations

import atexit
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from benchmarks.postgres_server import PostgresServer
from recsys.eventlog.postgres.store import PostgresStore
from tests.ports import free_port


def own_server(*settings: str) -> PostgresServer:
    """Start a server on a port of this worker's own."""
    return PostgresServer(*settings, port=free_port())


@cache
def shared_server() -> PostgresServer:
    """Return the server of all tests of this process; it ends with the process."""
    server = own_server("fsync=off")
    atexit.register(server.close)
    return server


def digest_name(text: str) -> str:
    """Return a name for a schema that stands for a text."""
    return "s" + blake2b(text.encode(), digest_size=8).hexdigest()


def schema_of(path: Path) -> str:
    """Return the address of a schema that stands for a path."""
    return shared_server().schema(digest_name(str(path)))


def open_postgres(path: Path, **settings: Any) -> PostgresStore:
    """Open the store that stands for a path."""
    return PostgresStore(schema_of(path), **settings)
