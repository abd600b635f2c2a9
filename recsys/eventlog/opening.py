"""Opens live logs by where they are, a file or a PostgreSQL database, and the documents of a database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys.core.errors import ConfigError
from recsys.eventlog import sqlite
from recsys.eventlog.check import CheckedStore

if TYPE_CHECKING:
    from recsys.eventlog.postgres.documents import PostgresDocuments

LogLocation = Path | str
"""The path of a file, or the address of a database, `postgresql://user@host:5432/name`."""

_SCHEME: Final = re.compile(r"postgres(ql)?:/")
_PASSWORDS: Final = re.compile("(password=)[^&]*"), re.compile("(//[^:@/]*:).*(?=@)")


def is_database(location: LogLocation) -> bool:
    """Return whether a live log is in a database.

    >>> is_database("postgresql://shop@db.example/shop"), is_database("models/store.sqlite")
    (True, False)
    """
    return _SCHEME.match(str(location)) is not None


def log_name(location: LogLocation) -> str:
    """Return a location for messages, without the password.

    >>> log_name("postgresql://shop:secret@db.example/shop?password=secret&sslmode=require")
    'postgresql://shop:…@db.example/shop?password=…&sslmode=require'
    """
    name = str(location)
    for password in _PASSWORDS if is_database(location) else ():
        name = password.sub(r"\1…", name)
    return name


def file_of(location: LogLocation, purpose: str) -> Path:
    """Return the path of a log for what only a file allows.

    Raises:
        ConfigError: it is in a database.
    """
    if is_database(location):
        raise ConfigError(f"{log_name(location)} is a database: {purpose}")
    return Path(location)


def open_log(location: LogLocation) -> CheckedStore:
    """Open an existing live log.

    Raises:
        ConfigError: the file does not exist, or psycopg is not installed.
        StoreError: it cannot be opened.
    """
    return create_log(location) if is_database(location) else sqlite.open_log(Path(location))


def create_log(location: LogLocation) -> CheckedStore:
    """Open a live log, which is created if it does not exist; the folder of a file must exist.

    Raises:
        ConfigError: psycopg is not installed, or the address is not one.
        StoreError: it cannot be opened.
    """
    if not is_database(location):
        return sqlite.SqliteStore(Path(location))
    if isinstance(location, Path):
        raise ConfigError(f"{log_name(location)} is a path: give the address of a database as text")
    try:
        from recsys.eventlog.postgres.store import PostgresStore
    except ImportError as error:
        raise _without_driver(error) from None
    return PostgresStore(location)


def open_documents(location: LogLocation) -> PostgresDocuments:
    """Open the documents of a shop in a database, in which there are none at first.

    Raises:
        ConfigError: psycopg is not installed, or the address is not one.
        StoreError: the database cannot be opened.
    """
    if isinstance(location, Path) or not is_database(location):
        raise ConfigError(f"{log_name(location)!r} is not a database: expected postgresql://user@host/name")
    try:
        from recsys.eventlog.postgres.documents import PostgresDocuments
    except ImportError as error:
        raise _without_driver(error) from None
    return PostgresDocuments(location)


def _without_driver(error: ImportError) -> ConfigError:
    return ConfigError(f"what is in PostgreSQL needs psycopg ({error}): pip install 'recsys[postgres]'")
