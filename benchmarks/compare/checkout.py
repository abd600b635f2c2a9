"""A commit of the project: its files, its bundle and its server, reached by command line and HTTP only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.compare.answers import OK, AnswerPage
from benchmarks.compare.workload import Call
from benchmarks.server_process import HOST, ServerProcess

CALL_S: Final = 60
SETTLE_S: Final = 30.0
"""Longest wait for the content of changed items; also for a release that has nothing similar to a new item."""

CACHED_S: Final = 1.2
"""Age that a cached answer may have, and a little more."""
NOT_SERVED: Final = ("tests/", "benchmarks/", "scripts/", "docs/")
ENTRY: Final = "from cli.main import main; main()"
SETTINGS: Final = ("RECSYS_", "PROMETHEUS_")


@dataclass(frozen=True)
class Checkout:
    """The files of one side.

    Attributes:
        name: of the side, for people.
        folder: root of the checkout.
    """

    name: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes: its own packages first, and no settings of the caller."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        return kept | {"PYTHONPATH": str(self.folder)}

    def command(self, *words: object) -> list[str]:
        """Return the command line of one of its commands."""
        return [sys.executable, "-c", ENTRY, *map(str, words)]

    def check_imports(self) -> None:
        """Raise SystemExit unless its processes import the packages of this checkout."""
        words = [sys.executable, "-c", "import cli.main; print(cli.main.__file__)"]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        found = done.stdout.strip()
        if not found or not Path(found).resolve().is_relative_to(self.folder.resolve()):
            raise SystemExit(f"{self.name}: imports {found or done.stderr!r}, expected a module below {self.folder}")

    def fingerprint(self) -> str:
        """Return a digest of the Python files that train and serve, tracked or not yet tracked."""
        words = ["git", "ls-files", "-co", "--exclude-standard", "*.py"]
        listed = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True).stdout.split("\n")
        digest = hashlib.sha256()
        for name in sorted({name for name in listed if name and not name.startswith(NOT_SERVED)}):
            if (path := self.folder / name).is_file():
                digest.update(f"{name}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:12]

    def train(self, data: Path, models: Path) -> None:
        """Train its bundle with the default configuration; nothing is done where the bundle is up to date."""
        words = self.command("train", "--data", data.resolve(), "--models", models.resolve(), "--if-changed")
        models.mkdir(parents=True, exist_ok=True)
        print(f"{self.name}: training", file=sys.stderr, flush=True)
        if subprocess.run(words, cwd=self.folder, env=self.environment(), stdout=sys.stderr, check=False).returncode:
            raise SystemExit(f"{self.name}: training failed")


@contextmanager
def commit_of(repository: Path, ref: str) -> Iterator[tuple[str, Path]]:
    """Yield the commit that a reference names and a temporary worktree of it, which is removed at the end.

    Raises:
        SystemExit: if there is no such commit.
    """
    git = ["git", "-C", str(repository)]
    words = [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    commit = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    if not commit:
        raise SystemExit(f"{ref!r} is not a commit of this repository")
    with tempfile.TemporaryDirectory(prefix="compare-") as parent:
        folder = Path(parent) / "reference"
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield commit, folder
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=True)


def bundle_folder(cache: Path, kind: str, key: str, keep_others: bool) -> Path:
    """Return the folder of a side's bundles by the key of its code, and remove those of other keys on request."""
    folder = cache / f"{kind}-{key}"
    if not keep_others:
        for other in cache.glob(f"{kind}-*"):
            if other != folder:
                shutil.rmtree(other)
    return folder


class Server(ServerProcess):
    """A server process of a checkout and a client of it.

    Args:
        checkout: the side whose code runs.
        models: folder of its bundles.
        folder: folder for its live log and its output.
        placements: TOML file of lists; the built-in ones if None.
    """

    def __init__(self, checkout: Checkout, models: Path, folder: Path, placements: Path | None) -> None:
        folder.mkdir(parents=True)
        options: list[object] = ["--models", models.resolve(), "--host", HOST, "--clock", "data"]
        options += ["--store", folder / "store.sqlite"]
        options += [] if placements is None else ["--placements", placements.resolve()]
        super().__init__(
            checkout.name,
            lambda port: checkout.command("serve", *options, "--port", port),
            folder=checkout.folder,
            environment=checkout.environment(),
            log=folder / "server.log",
        )
        self._client = httpx.Client(base_url=f"http://{HOST}:{self.port}", timeout=CALL_S, trust_env=False)

    def stop(self) -> None:
        """Close the client and end the process."""
        self._client.close()
        super().stop()

    def get(self, path: str) -> object:
        """Return the JSON at a path."""
        return self._client.get(path).raise_for_status().json()

    def settle(self, item_id: str) -> None:
        """Wait until the lists follow all changes, which is up to a second after the server has acknowledged them.

        Args:
            item_id: the newest item; its content is computed last, and until then nothing is similar to it.
        """
        path, deadline = f"/v1/items/{item_id}/recommendations", time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            found = self._client.get(path, params={"placement": "similar"})
            if found.status_code == OK and not found.json()["fallback_used"]:
                break
            time.sleep(0.05)
        time.sleep(CACHED_S)

    def pages(self, call: Call) -> list[AnswerPage]:
        """Return the answer of a call and the pages that follow it, each asked for with this server's own token."""
        answered: list[AnswerPage] = []
        token = None
        for _ in range(call.n_pages):
            params, body = call.with_token(token)
            response = self._client.request(call.method, call.path, params=params, json=body)
            answered.append(AnswerPage(response.status_code, response.json()))
            token = answered[-1].body.get("next_page_token") if response.status_code == OK else None
            if token is None:
                break
        return answered


def ask_both(
    servers: Sequence[Server], calls: Sequence[Call]
) -> Iterator[tuple[Call, list[AnswerPage], list[AnswerPage]]]:
    """Yield each call with the answers of both servers, which work at the same time."""
    with ThreadPoolExecutor(len(servers)) as pool:
        for call in calls:
            reference, candidate = pool.map(lambda server, call=call: server.pages(call), servers)
            yield call, reference, candidate
