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

from recsys.core.errors import ConfigError
from recsys.core.files import file_signature
from serving.runtime.auth import offered_keys, read_keys
from serving.runtime.settings import Settings, load_settings

SHOP_FILE: Final = "shop.toml"
KEYS_FILE: Final = "keys.json"
MODELS: Final = "models"
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A shop's name is a label of a host name (RFC 1035)."""

OF_INSTALLATION: Final = frozenset(
    {"models", "host", "port", "workers", "keys", "shops", "shop_domain", "max_open_shops", "metrics_dir", "store"}
    | {"started_at", "logged_until", "page_key", "placements", "experiments", "plan", "demo_shop"}
)
"""Settings that a shop does not set, or that are files of its folder."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shop:
    """One shop.

    Attributes:
        name: of its folder.
        folder: with `models/`, `keys.json`, and `shop.toml` where it has one.
        hosts: names that its calls may be sent to, in lower case.
        overrides: settings of the server that are its own.
    """

    name: str
    folder: Path
    hosts: tuple[str, ...] = ()
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def models(self) -> Path:
        """The folder of its bundles."""
        return self.folder / MODELS

    def settings(self, base: Settings) -> Settings:
        """Return the settings of its server.

        Args:
            base: of the installation.

        Raises:
            ConfigError: a setting of `shop.toml` is wrong.
        """
        shared = {name: getattr(base, name) for name in base.model_fields_set - OF_INSTALLATION}
        keys, files = self.folder / KEYS_FILE, {"experiments": "experiments.toml", "plan": "plan/plan.json"}
        found = {name: self.folder / file for name, file in files.items() if (self.folder / file).is_file()}
        place = {"models": self.models, "store": self.models / "store.sqlite", "host": base.host, "workers": 1}
        given = {**shared, **dict(self.overrides), **found, **place}
        return load_settings(keys=keys if keys.is_file() else None, **given)


def read_shop(folder: Path) -> Shop:
    """Read one shop's folder.

    Raises:
        ConfigError: the name cannot be one, or `shop.toml` is wrong: names the key, the value and what is expected.
    """
    if not NAME.fullmatch(folder.name):
        raise ConfigError(f"{folder.name!r} cannot be the name of a shop: use lower-case letters, digits and '-'")
    path = folder / SHOP_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    unknown = table.keys() - {"hosts", "settings"}
    if unknown:
        raise ConfigError(f"{path} has {sorted(unknown)[0]!r}: expected 'hosts' and the table 'settings'")
    hosts, overrides = table.get("hosts", []), table.get("settings", {})
    if not isinstance(hosts, list) or not all(isinstance(host, str) and host for host in hosts):
        raise ConfigError(f"{path}: hosts is {hosts!r}, expected a list of names such as ['shop.example']")
    if not isinstance(overrides, dict):
        raise ConfigError(f"{path}: settings is {overrides!r}, expected a table")
    wrong = sorted(overrides.keys() & OF_INSTALLATION) or sorted(overrides.keys() - Settings.model_fields.keys())
    if wrong:
        raise ConfigError(f"{path}: settings.{wrong[0]} is no setting of one shop")
    return Shop(folder.name, folder, tuple(host.lower() for host in hosts), tuple(overrides.items()))


class ShopFolders:
    """The shops of a folder, found by host or by key; the folder is looked at again every `poll_s`.

    Not safe to call from several threads.

    Args:
        root: has a folder for each shop.
        domain: `NAME.domain` is a host of the shop of that name; "" for none.
        poll_s: how long a new, changed or removed shop may be missed, in seconds.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, root: Path, domain: str = "", poll_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._suffix = root, f".{domain.lower()}" if domain else ""
        self._poll_s, self._clock = poll_s, clock
        self._looked_at = -poll_s
        self._signatures: dict[str, tuple[object, ...]] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._by_host: dict[str, str] = {}
        self._by_digest: dict[bytes, str] = {}
        self.shops: Mapping[str, Shop] = {}
        self.refused: Mapping[str, str] = {}

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Shop | None:
        """Return the shop of a call: that of its host, else that of its key; None for no shop.

        Args:
            headers: of the request, their names in lower case.
        """
        self.refresh()
        headers = list(headers)
        hosts = [value for name, value in headers if name == b"host"]
        host = _host(hosts[0]) if len(hosts) == 1 else ""
        name = self._by_host.get(host)
        if name is None and self._suffix and host.endswith(self._suffix):
            name = host.removesuffix(self._suffix)
        if name is None:
            offered = offered_keys(headers)
            name = self._by_digest.get(hashlib.sha256(offered.pop()).digest()) if len(offered) == 1 else None
        return None if name is None else self.shops.get(name)

    def refresh(self) -> None:
        """Look at the folders, if the last look is old enough; a shop that has become wrong keeps its earlier form."""
        now = self._clock()
        if now - self._looked_at < self._poll_s:
            return
        self._looked_at = now
        folders = {each.name: each for each in sorted(self._root.iterdir()) if each.is_dir()}
        shops, refused = {}, {}
        for name, folder in folders.items():
            signature = (file_signature(folder / SHOP_FILE), file_signature(folder / KEYS_FILE))
            if self._signatures.get(name) == signature:
                if name in self.shops:
                    shops[name] = self.shops[name]
                if name in self.refused:
                    refused[name] = self.refused[name]
                continue
            try:
                shop = read_shop(folder)
                keys = folder / KEYS_FILE
                digests = tuple(bytes.fromhex(key.sha256) for key in read_keys(keys)) if keys.is_file() else ()
            except ConfigError as error:
                refused[name] = str(error)
                logger.error("shop %s: %s", name, error)
                if name in self.shops:
                    shops[name] = self.shops[name]
            else:
                shops[name], self._digests[name] = shop, digests
            self._signatures[name] = signature
        self.shops, self.refused = shops, refused
        self._signatures = {name: each for name, each in self._signatures.items() if name in folders}
        self._by_host = _distinct((host, shop.name) for shop in shops.values() for host in shop.hosts)
        self._by_digest = _unambiguous((digest, name) for name in shops for digest in self._digests[name])


def _distinct(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the shop of each host; a host of two shops is that of the first."""
    found: dict[str, str] = {}
    for host, name in pairs:
        if found.setdefault(host, name) != name:
            logger.error("host %s is of the shops %s and %s: the first has it", host, found[host], name)
    return found


def _unambiguous(pairs: Iterable[tuple[bytes, str]]) -> dict[bytes, str]:
    """Return the shop of each key; a key of two shops, as in a copied folder, finds neither."""
    found: dict[bytes, str] = {}
    several: set[bytes] = set()
    for digest, name in pairs:
        if found.setdefault(digest, name) != name:
            several.add(digest)
            logger.error("the shops %s and %s have a key in common: it finds neither", found[digest], name)
    return {digest: name for digest, name in found.items() if digest not in several}


def _host(sent: bytes) -> str:
    """Return the name in a `Host` header, in lower case, without its port."""
    text = sent.decode("latin-1").lower().strip()
    name, _, port = text.rpartition(":")
    return name if name and port.isdecimal() else text
