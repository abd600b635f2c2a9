"""Keys of the callers: the document that has them, and the check of each request.

A key is 32 random bytes, so its plain SHA-256 is stored: no dictionary helps to guess it, and a slow hash, which
protects passwords that people choose, would cost milliseconds per request. A key is looked up by its digest; the
time of that depends on the digest alone, which a caller cannot steer towards a stored one, so timing reveals nothing.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.core.documents import Document, FileDocument, Place, document_of
from recsys.core.errors import ConfigError

Scope = Literal["recommend", "browse", "events", "catalog", "view", "merchandise", "operate", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ADMIN: Final = "admin"
"""The scope that includes all others."""

BROWSE: Final = "browse"
"""The scope of keys in pages: lists for items, visitors and sessions; a call with a user id is refused."""

Role = Literal["viewer", "merchandiser", "operator"]
ROLES: Final[Mapping[Role, tuple[Scope, ...]]] = MappingProxyType(
    {
        "viewer": ("recommend", "view"),
        "merchandiser": ("recommend", "view", "merchandise"),
        "operator": ("recommend", "view", "operate"),
    }
)
"""The scopes of people's keys."""

KEYS_SCHEMA_VERSION: Final = 1
PREFIX: Final = "recsys_"
KEY_BYTES: Final = 32
MAX_RATE: Final = 1_000_000
MAX_QUOTA: Final = 10**12
CHALLENGE: Final = 'Bearer realm="recsys"'
_BEARER: Final = b"bearer "

logger = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The stored form of one key.

    Attributes:
        key_id: identifies it in lists and for revocation; not a secret.
        name: its owner, for people.
        sha256: hexadecimal digest of the key.
        scopes: the calls that it allows.
        created_at: time of creation.
        rate: calls per second; 0 for any number, None for the server's own limit, as for `quota`.
        burst: calls that may come at once after a pause; those of one second if None.
        quota: calls per UTC day.
    """

    key_id: str
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    created_at: Annotated[datetime, Meta(tz=True)]
    rate: Annotated[float, Meta(ge=0, le=MAX_RATE)] | None = None
    burst: Annotated[int, Meta(ge=1, le=MAX_RATE)] | None = None
    quota: Annotated[int, Meta(ge=0, le=MAX_QUOTA)] | None = None


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the document of all keys.

    Attributes:
        schema_version: its layout.
        keys: the valid keys.
    """

    schema_version: int
    keys: tuple[Key, ...]


def read_keys(place: Place) -> tuple[Key, ...]:
    """Read the keys of a document.

    Raises:
        ConfigError: the document does not exist, or does not have keys.
    """
    document = document_of(place)
    try:
        file = msgspec.json.decode(document.read(), type=KeyFile)
    except FileNotFoundError:
        raise ConfigError(f"{document} does not exist: make a key with {_creation(place)}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{document} is not a file of keys ({error}): make one with `recsys keys create`") from None
    if file.schema_version != KEYS_SCHEMA_VERSION:
        raise ConfigError(
            f"{document} has schema version {file.schema_version}, this release reads {KEYS_SCHEMA_VERSION}: make new"
            " keys"
        )
    return file.keys


def write_keys(place: Place, keys: Iterable[Key]) -> None:
    """Replace all keys, atomically; only its owner may read a file of them.

    Raises:
        ConfigError: the document cannot be written.
        StoreError: the database cannot be written.
    """
    with _changing(place) as document:
        _write(document, keys)


def change_keys(place: Place, change: Callable[[tuple[Key, ...]], Iterable[Key]]) -> None:
    """Replace the keys by changed ones as `write_keys` does, while other processes wait.

    Args:
        place: of the document; it is created if it does not exist.
        change: returns the new keys for the present ones.

    Raises:
        ConfigError: the document cannot be read or written.
        StoreError: the database cannot be read or written.
    """
    with _changing(place) as document:
        _write(document, change(() if document.signature() is None else read_keys(document)))


@contextmanager
def _changing(place: Place) -> Iterator[Document]:
    document = document_of(place)
    try:
        with document.changing():
            yield document
    except OSError as error:
        raise ConfigError(
            f"{document} cannot be written ({error.strerror}): check its folder and permissions"
        ) from None


def _write(document: Document, keys: Iterable[Key]) -> None:
    file = KeyFile(KEYS_SCHEMA_VERSION, tuple(keys))
    document.write(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n", mode=0o600)


def _creation(place: Place) -> str:
    """Return the command that makes a key at a place."""
    is_file = isinstance(document_of(place), FileDocument)
    return f"`recsys keys create --keys {place if is_file else 'postgresql://…'}`"


def new_key(name: str, scopes: Sequence[Scope], created_at: datetime) -> tuple[Key, str]:
    """Make a key; return its stored form, and the key itself, which is not stored anywhere."""
    secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return Key(secrets.token_hex(4), name, digest, tuple(scopes), created_at), secret


class KeyRing:
    """The valid keys; their document is read again when it changes, so that a key can be revoked at once.

    If the changed document cannot be read, the earlier keys stay valid, and an error is logged.

    Args:
        place: of the document.

    Raises:
        ConfigError: the document cannot be read, or contains no key.
    """

    def __init__(self, place: Place) -> None:
        self._document = document_of(place)
        self._seen = self._document.signature()
        self._keys = _by_digest(read_keys(self._document))
        if not self._keys:
            raise ConfigError(f"{self._document} contains no key: make one with {_creation(place)}")

    def check(self, headers: Iterable[tuple[bytes, bytes]], *scopes: Scope) -> Key:
        """Return the key of a call; refuse a call without a valid one.

        Args:
            headers: of the request, their names in lower case.
            scopes: the call needs one of them.

        Raises:
            HTTPException: 401 without exactly one valid key, 403 if the key lacks the scope.
        """
        offered = offered_keys(headers)
        if len(offered) != 1:
            what = "two different keys were sent" if offered else "no key was sent"
            raise _unknown(f"{what}: send one as `Authorization: Bearer …` or as `X-API-Key`")
        key = self.find(offered.pop())
        if key is None:
            raise _unknown("the key is unknown or revoked: `recsys keys list` lists the valid ones", "invalid_token")
        if ADMIN not in key.scopes and not any(scope in key.scopes for scope in scopes):
            challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scopes[0]}"'
            raise HTTPException(
                403, f"the key lacks the scope {scopes[0]!r}: use one that has it", {"WWW-Authenticate": challenge}
            )
        return key

    def find(self, secret: bytes) -> Key | None:
        """Return a key by itself, None if it is unknown or revoked."""
        return self._current().get(hashlib.sha256(secret).digest())

    def by_id(self, key_id: str) -> Key | None:
        """Return a key by its id, None if it is unknown or revoked."""
        return next((key for key in self._current().values() if key.key_id == key_id), None)

    def _current(self) -> Mapping[bytes, Key]:
        signature = self._document.signature()
        if signature != self._seen:
            self._seen = signature
            try:
                self._keys = _by_digest(read_keys(self._document))
                logger.info("%s has changed: %d keys are valid", self._document, len(self._keys))
            except ConfigError as error:
                logger.error("the earlier keys stay valid: %s", error)
        return self._keys


def offered_keys(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Return the distinct keys of a request; a header without one counts as an empty key.

    Args:
        headers: of the request, their names in lower case.
    """
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


def _by_digest(keys: Iterable[Key]) -> Mapping[bytes, Key]:
    return {bytes.fromhex(key.sha256): key for key in keys}
