"""The folders of the shops of one installation, and which shop a call is for."""

from __future__ import annotations

import hashlib
import logging
import re
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recsys.bundles.registry import LIVE_LOG
from recsys.core.errors import ConfigError, RecsysError
from recsys.core.files import file_signature
from serving.runtime.auth import offered_keys, read_keys
from serving.runtime.settings import GivenSettings, Settings, load_settings

SHOP_FILE: Final = "shop.toml"
KEYS_FILE: Final = "keys.json"
MODELS: Final = "models"
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A shop's name is a label of a host name (RFC 1035)."""

HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

OF_INSTALLATION: Final = frozenset(
    {"models", "host", "port", "workers", "keys", "shops", "shop_domain", "max_open_shops", "metrics_dir", "store"}
    | {"started_at", "logged_until", "page_key", "placements", "experiments", "plan", "demo_shop", "key_counts"}
    | {"state"}
)
"""Settings that a shop does not set, or that are files of its folder."""

SHARED: Final = frozenset({"traces"})
"""Settings of the installation that hold for all shops, and that none of them sets."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shop:
    """One shop; a changed one is opened anew.

    Attributes:
        name: of its folder.
        folder: with `models/`, `keys.json`, and `shop.toml` where it has one.
        hosts: names that its calls may be sent to, in lower case.
        overrides: settings of the server that are its own.
        is_guarded: whether it has keys; one without is served on a loopback address only.
        place: device and number of the folder, which another folder of the same name has not.
    """

    name: str
    folder: Path
    hosts: tuple[str, ...] = ()
    overrides: tuple[tuple[str, Any], ...] = ()
    is_guarded: bool = False
    place: tuple[int, int] = (0, 0)

    @property
    def models(self) -> Path:
        """The folder of its bundles."""
        return self.folder / MODELS

    @property
    def keys(self) -> Path:
        """The file of its keys."""
        return self.folder / KEYS_FILE

    def settings(self, base: Settings) -> Settings:
        """Return the settings of its server: its own, else those of the installation; none is from the environment.

        Args:
            base: of the installation.

        Raises:
            ConfigError: a setting of `shop.toml` is wrong.
        """
        shared = {name: getattr(base, name) for name in Settings.model_fields.keys() - OF_INSTALLATION}
        files = {"experiments": "experiments.toml", "plan": "plan/plan.json"}
        found = {name: self.folder / file for name, file in files.items() if (self.folder / file).is_file()}
        place = {"models": self.models, "store": self.models / LIVE_LOG, "host": base.host}
        keys = self.keys if self.is_guarded else None
        return load_settings(GivenSettings, keys=keys, **shared | dict(self.overrides) | found | place)


def read_shop(folder: Path) -> Shop:
    """Read one shop's folder.

    Raises:
        ConfigError: the name cannot be one, there are no keys, or `shop.toml` is wrong: names the key, the value and
            what is expected.
    """
    if not NAME.fullmatch(folder.name):
        raise ConfigError(f"{printable(folder.name)!r} cannot be the name of a shop: use a to z, digits and '-'")
    if folder.is_symlink():
        raise ConfigError(f"{folder.name} is a symbolic link: make a folder of its own for each shop")
    path = folder / SHOP_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    unknown = table.keys() - {"hosts", "open", "settings"}
    if unknown:
        raise ConfigError(f"{path} has {min(unknown)!r}: expected 'hosts', 'open' and the table 'settings'")
    hosts, is_open, overrides = table.get("hosts", []), table.get("open", False), table.get("settings", {})
    if not isinstance(hosts, list) or not all(isinstance(host, str) and HOST.fullmatch(host) for host in hosts):
        raise ConfigError(f"{path}: hosts is {hosts!r}, expected names without port or wildcard, ['shop.example']")
    if not isinstance(is_open, bool):
        raise ConfigError(f"{path}: open is {is_open!r}, expected true or false")
    if not isinstance(overrides, dict):
        raise ConfigError(f"{path}: settings is {overrides!r}, expected a table")
    wrong = sorted(overrides.keys() - (Settings.model_fields.keys() - OF_INSTALLATION - SHARED))
    if wrong:
        raise ConfigError(f"{path}: settings.{wrong[0]} is no setting of one shop")
    keys, at = folder / KEYS_FILE, folder.stat()
    is_guarded = keys.is_file()
    if is_guarded:
        read_keys(keys)
    elif not is_open:
        raise ConfigError(
            f"{folder.name} has no {KEYS_FILE}: run `recsys keys create --keys {keys}`, or set `open = true` in {path}"
            " for a shop on a loopback address that is open to everybody"
        )
    names = tuple(host.lower() for host in hosts)
    return Shop(folder.name, folder, names, tuple(overrides.items()), is_guarded, (at.st_dev, at.st_ino))


class ShopFolders:
    """The shops of a folder, found by host or by key; the folder is looked at again every `poll_s`.

    A shop whose folder has become wrong keeps its earlier form. A host stays with the shop that had it first. Not safe
    to call from several threads.

    Args:
        base: settings of the installation, whose `shops` has a folder for each shop.
        clock: seconds of a clock that never goes back.

    Attributes:
        shops: by name.
        refused: by name of a folder, what is wrong with it.
    """

    def __init__(self, base: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        assert base.shops is not None
        self._root, self._base, self._clock = base.shops, base, clock
        self._suffix = f".{base.shop_domain.lower()}" if base.shop_domain else ""
        self._looked_at = -base.poll_seconds
        self._signatures: dict[str, object] = {}
        self._problems: dict[str, str] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._by_host: dict[str, str] = {}
        self._by_digest: dict[bytes, str] = {}
        self._is_lost = False
        self.shops: Mapping[str, Shop] = {}
        self.refused: Mapping[str, str] = {}

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Shop | None:
        """Return the shop of a call: that of its host, else that of its key; None for no shop.

        Args:
            headers: of the request, their names in lower case.
        """
        self.refresh()
        headers = list(headers)
        hosts = {_host(value) for name, value in headers if name == b"host"}
        host = hosts.pop() if len(hosts) == 1 else ""
        if self._suffix and host.endswith(self._suffix):
            return self.shops.get(host.removesuffix(self._suffix))
        name = self._by_host.get(host)
        if name is None:
            offered = offered_keys(headers)
            name = self._by_digest.get(hashlib.sha256(offered.pop()).digest()) if len(offered) == 1 else None
        return None if name is None else self.shops.get(name)

    def refresh(self) -> None:
        """Look at the folders, if the last look is old enough."""
        now = self._clock()
        if now - self._looked_at < self._base.poll_seconds:
            return
        self._looked_at = now
        try:
            folders = {each.name: each for each in sorted(self._root.iterdir()) if each.is_dir()}
        except OSError as error:  # it is not there for a moment
            if not self._is_lost:
                logger.error("the folder of shops cannot be read, all shops stay as they are: %s", error)
            self._is_lost = True
            return
        self._is_lost = False
        self._problems = {name: why for name, why in self._problems.items() if name in folders}
        self.shops = {name: shop for name, folder in folders.items() if (shop := self._shop(name, folder)) is not None}
        taken = self._assign_hosts()
        self._by_digest = _unambiguous((digest, name) for name in self.shops for digest in self._digests[name])
        refused = {printable(name): why for name, why in (taken | self._problems).items()}
        for name, why in refused.items():
            if self.refused.get(name) != why:
                logger.error("shop %s: %s", name, why)
        self.refused = refused

    def _shop(self, name: str, folder: Path) -> Shop | None:
        """Return a shop as its folder is now, or as it was while nothing was wrong; None for none."""
        before = self.shops.get(name)
        files = (folder / SHOP_FILE, folder / KEYS_FILE)
        try:
            at = folder.stat()
            signature = (at.st_dev, at.st_ino, *map(file_signature, files))
            if self._signatures.get(name) == signature:
                self._problems.pop(name, None)  # what was wrong has been taken back
                return before
            shop = read_shop(folder)
            shop.settings(self._base)
            digests = tuple(bytes.fromhex(key.sha256) for key in read_keys(shop.keys)) if shop.is_guarded else ()
        except (RecsysError, OSError) as error:
            self._problems[name] = str(error)
            return before
        self._signatures[name], self._digests[name] = signature, digests
        self._problems.pop(name, None)
        return shop

    def _assign_hosts(self) -> dict[str, str]:
        """Give each host to one shop: who had it keeps it. Returns what is wrong with the others."""
        before, self._by_host = self._by_host, {}
        refused: dict[str, str] = {}
        claims = [(host, name) for name, shop in self.shops.items() for host in shop.hosts]
        for host, name in sorted(claims, key=lambda claim: before.get(claim[0]) != claim[1]):
            if self._suffix and host.endswith(self._suffix):
                refused[name] = f"hosts has {host!r}: names below {self._suffix[1:]} are those of the folders"
            elif (owner := self._by_host.setdefault(host, name)) != name:
                refused[name] = f"hosts has {host!r}, which shop {owner} has"
        return refused


def printable(name: str) -> str:
    """Return the name of a file as text that can be encoded."""
    return name.encode("utf-8", "backslashreplace").decode()


def _unambiguous(pairs: Iterable[tuple[bytes, str]]) -> dict[bytes, str]:
    """Return the shop of each key; a key of two shops, as in a copied folder, finds neither."""
    found: dict[bytes, str] = {}
    several: set[bytes] = set()
    for digest, name in pairs:
        if found.setdefault(digest, name) != name:
            several.add(digest)
    return {digest: name for digest, name in found.items() if digest not in several}


def _host(sent: bytes) -> str:
    """Return the name in a `Host` header, in lower case, without its port and a dot at its end."""
    text = sent.decode("latin-1").lower().strip()
    name, _, port = text.rpartition(":")
    return (name if name and port.isdecimal() else text).removesuffix(".")
