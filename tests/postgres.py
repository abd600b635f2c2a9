"""A PostgreSQL server of the tests' own, on a free port, in a temporary folder."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from recsys.eventlog.postgres.store import PostgresStore
from tests.ports import free_port

DEBIAN: Final = Path("/usr/lib/postgresql")
SOON_S: Final = 60

SETTINGS: Final = ("shared_buffers=64MB", "max_connections=200", "listen_addresses=127.0.0.1", "log_statement=none")


def binary(name: str) -> str:
    """Return the path of a program of the server; where it is missing, the tests fail."""
    of_debian = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    found = str(of_debian[-1]) if of_debian else shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"there is no {name} of PostgreSQL: install the Debian package postgresql, or put it on PATH"
        )
    return found


class PostgresServer:
    """A server that can be stopped, killed and started again; its superuser is `recsys`, without a password.

    Args:
        settings: of the server, such as `fsync=off`: a process that is killed loses nothing by it, only a machine.
    """

    def __init__(self, *settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recsys-pg-"))
        self._data, self._settings = self.folder / "data", (*SETTINGS, *settings)
        self._user = (
            "postgres" if os.getuid() == 0 and "postgres" in {each.pw_name for each in pwd.getpwall()} else None
        )
        if os.getuid() == 0:
            self._user = self._user or "nobody"
            shutil.chown(self.folder, self._user)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        command = [binary("initdb"), "-D", self._data, "-U", "recsys", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*command, "--locale=C"], check=True, capture_output=True, **self._as_user())
        self.start()

    def _as_user(self) -> dict[str, Any]:
        """The server refuses to run as root."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": [], "cwd": self.folder}

    @property
    def url(self) -> str:
        return f"postgresql://recsys@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = [
            word for each in (*self._settings, f"unix_socket_directories={self.folder}") for word in ("-c", each)
        ]
        command = [binary("postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        deadline = time.monotonic() + SOON_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends all connections, SIGQUIT stops without writing anything, as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(SOON_S)
            self._process = None

    @property
    def is_stopped(self) -> bool:
        return self._process is None

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def schema(self, name: str) -> str:
        """Return the address of a schema, which is made if it does not exist."""
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(psycopg.sql.Identifier(name)))
        return f"{self.url}?options={quote(f'-csearch_path={name}', safe='')}"


@cache
def shared_server() -> PostgresServer:
    """Return the server of all tests of this process; it ends with the process."""
    server = PostgresServer("fsync=off")
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
