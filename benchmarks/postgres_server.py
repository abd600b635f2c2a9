"""A PostgreSQL server of its own, on a free port and in a temporary folder, that can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import psycopg

from benchmarks.server_process import HOST, free_port

DEBIAN: Final = Path("/usr/lib/postgresql")
SOON_S: Final = 60

SETTINGS: Final = ("max_connections=200", f"listen_addresses={HOST}")


def binary(name: str) -> str:
    """Return the path of a program of the server.

    Raises:
        RuntimeError: it is not installed.
    """
    of_debian = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    found = str(of_debian[-1]) if of_debian else shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"there is no {name} of PostgreSQL: install the Debian package postgresql, or put it on PATH"
        )
    return found


class PostgresServer:
    """A server that runs from its construction until `close`; its superuser is `recsys`, without a password.

    Args:
        settings: of the server, such as `fsync=off`: a process that is killed loses nothing by it, only a machine.
        port: to listen on; a free one if not given.
    """

    def __init__(self, *settings: str, port: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recsys-pg-"))
        self._data, self._settings = self.folder / "data", (*SETTINGS, *settings)
        self._user: str | None = None
        if os.getuid() == 0:
            self._user = "postgres" if "postgres" in {each.pw_name for each in pwd.getpwall()} else "nobody"
            shutil.chown(self.folder, self._user)
        self.port = free_port() if port is None else port
        self._process: subprocess.Popen[bytes] | None = None
        command = [binary("initdb"), "-D", self._data, "-U", "recsys", "-A", "trust", "-E", "UTF8", "--no-sync"]
        try:
            subprocess.run([*command, "--locale=C"], check=True, capture_output=True, **self._as_user())
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _as_user(self) -> dict[str, Any]:
        """Return the options of a process that is not root's: as root, the server refuses to run."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": [], "cwd": self.folder}

    @property
    def url(self) -> str:
        """Address of its database."""
        return f"postgresql://recsys@{HOST}:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it accepts connections.

        Raises:
            RuntimeError: it does not start; with its log.
        """
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
        """Whether it has been stopped."""
        return self._process is None

    def cpu_s(self) -> float:
        """Return the processor time of its processes that run, in seconds."""
        pids = [] if self._process is None else [self._process.pid]
        ticks = 0
        for pid in pids:
            with suppress(OSError):
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                ticks += int(stat[11]) + int(stat[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def schema(self, name: str) -> str:
        """Return the address of a schema, which is made if it does not exist."""
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(psycopg.sql.Identifier(name)))
        return f"{self.url}?options={quote(f'-csearch_path={name}', safe='')}"
