"""Keys of the callers: their file, and who may do what.

A key is 32 random bytes, so its plain SHA-256 is kept: there is no dictionary to try against it, and a slow hash, which
guards passwords that people think up, would cost every request milliseconds. A key is looked up by its digest. How long
that takes depends on the digest alone, which a caller cannot steer towards a stored one, so time tells nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError

Scope = Literal["recommend", "events", "catalog", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ADMIN: Final = "admin"
"""The scope that holds all others."""

KEYS_SCHEMA_VERSION: Final = 1
PREFIX: Final = "recsys_"
KEY_BYTES: Final = 32
CHALLENGE: Final = 'Bearer realm="recsys"'
_BEARER: Final = b"bearer "

logger = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of one key.

    Attributes:
        key_id: names it where it is listed and revoked; no secret.
        name: whose it is, for people.
        sha256: hexadecimal digest of the key.
        scopes: what it is good for.
        created_at: when it was made.
    """

    key_id: str
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    created_at: Annotated[datetime, Meta(tz=True)]


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of all keys.

    Attributes:
        schema_version: its layout.
        keys: those that are good.
    """

    schema_version: int
    keys: tuple[Key, ...]


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        ConfigError: there is no such file, or it is no file of keys.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: make a key with `recsys keys create --keys {path}`") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no file of keys ({error}): `recsys keys create` writes one") from None
    if file.schema_version != KEYS_SCHEMA_VERSION:
        found = file.schema_version
        raise ConfigError(f"{path} has schema version {found}, this release reads {KEYS_SCHEMA_VERSION}: make new keys")
    return file.keys


def write_keys(path: Path, keys: Iterable[Key]) -> None:
    """Replace a file of keys, atomically; only its owner may read it.

    Raises:
        ConfigError: the file cannot be written.
    """
    document = msgspec.json.format(msgspec.json.encode(KeyFile(KEYS_SCHEMA_VERSION, tuple(keys))), indent=1)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(document + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): check its folder and rights") from None


def new_key(name: str, scopes: Sequence[Scope], created_at: datetime) -> tuple[Key, str]:
    """A fresh key: what is kept of it, and the key itself, which is nowhere kept."""
    secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return Key(secrets.token_hex(4), name, digest, tuple(scopes), created_at), secret


class KeyRing:
    """The keys that are good now; the file is read again when it changes, so that a key can be revoked at once.

    A changed file that cannot be read leaves the keys as they were, and the log says so.

    Args:
        path: the file of keys.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _state_of(path)
        self._scopes = _by_digest(read_keys(path))
        if not self._scopes:
            raise ConfigError(f"{path} holds no key: make one with `recsys keys create --keys {path}`")

    def check(self, headers: Iterable[tuple[bytes, bytes]], scope: Scope) -> None:
        """Let a call pass, or not.

        Args:
            headers: of the request, their names in lower case.
            scope: what the call needs.

        Raises:
            HTTPException: 401 without one good key, 403 where it lacks the scope.
        """
        offered = _offered(headers)
        if len(offered) != 1:
            what = "two different keys came" if offered else "no key came"
            raise _unknown(f"{what}: send one as `Authorization: Bearer …` or as `X-API-Key`")
        granted = self._current().get(hashlib.sha256(offered.pop()).digest())
        if granted is None:
            raise _unknown("the key is unknown or revoked: `recsys keys list` has those that are good", "invalid_token")
        if scope not in granted and ADMIN not in granted:
            challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            raise HTTPException(
                403, f"the key lacks the scope {scope!r}: use one that has it", {"WWW-Authenticate": challenge}
            )

    def _current(self) -> Mapping[bytes, frozenset[str]]:
        state = _state_of(self._path)
        if state != self._seen:
            self._seen = state
            try:
                self._scopes = _by_digest(read_keys(self._path))
                logger.info("%s has changed: %d keys are good", self._path, len(self._scopes))
            except ConfigError as error:
                logger.error("the keys stay as they were: %s", error)
        return self._scopes


def _offered(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The distinct keys of a request; a header that is there and holds none counts as an empty one."""
    offered: set[bytes] = set()
    for name, value in headers:
        if name == b"x-api-key":
            offered.add(value.strip())
        elif name == b"authorization":
            is_bearer = value[: len(_BEARER)].lower() == _BEARER
            offered.add(value[len(_BEARER) :].strip() if is_bearer else b"")
    return offered


def _unknown(detail: str, error: str | None = None) -> HTTPException:
    challenge = CHALLENGE if error is None else f'{CHALLENGE}, error="{error}"'
    return HTTPException(401, detail, {"WWW-Authenticate": challenge})


def _by_digest(keys: Iterable[Key]) -> Mapping[bytes, frozenset[str]]:
    return {bytes.fromhex(key.sha256): frozenset(key.scopes) for key in keys}


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does, without reading it; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
